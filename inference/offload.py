"""llama.cpp's log of one loading comes in; how many layers and bytes went to which device goes out."""

import re
from collections import Counter
from dataclasses import dataclass

REBUILD = 'make clean && CMAKE_ARGS="-DGGML_CUDA=on" make setup (for other GPUs see README.md)'
CPU = "CPU"
# Not "offloaded 31/31 layers to GPU": 0.3.36 counts there what was asked, also where every layer stayed on the CPU.
ASSIGNED = re.compile(r"layer +\d+ assigned to device (\S+),")
USING = re.compile(r"using device (\S+) \(")
BUFFER = re.compile(r"(\S+) +(model|KV|RS|LoRA|compute|output) buffer size = +([\d.]+) MiB")
WHAT = {"model": "weights", "LoRA": "weights", "KV": "cache", "RS": "cache", "compute": "compute", "output": "compute"}


@dataclass(frozen=True)
class Share:
    """What one device holds of a loaded model; a mapped file counts whole where parts of it lie elsewhere too."""

    device: str  # as llama.cpp names it: CPU, CUDA0, Vulkan0, …
    layers: int  # the output layer counts as one
    weights_bytes: int
    cache_bytes: int  # keys and values
    compute_bytes: int

    def __str__(self) -> str:
        """Name the device and its megabytes."""
        sizes = (self.weights_bytes, self.cache_bytes, self.compute_bytes)
        weights, cache, compute = (f"{size / 1e6:.0f} MB" for size in sizes)
        return f"{self.device} (weights {weights}, cache {cache}, compute {compute})"


@dataclass(frozen=True)
class Offload:
    """Where a loaded model lies; `asked` layers were wanted on a GPU, -1: all."""

    asked: int
    backends: tuple[str, ...]  # that this build of llama.cpp has besides the CPU's
    shares: tuple[Share, ...]

    @property
    def layers(self) -> int:
        """Count the model's layers, the output layer as one."""
        return sum(share.layers for share in self.shares)

    @property
    def on_gpu(self) -> int:
        """Count the layers that are not on the CPU."""
        return sum(share.layers for share in self.shares if share.device != CPU)

    @property
    def shortfall(self) -> str:
        """Say in one sentence what was asked and did not happen, and the remedy; nothing where all happened."""
        wanted = self.layers if self.asked < 0 else min(self.asked, self.layers)
        if self.on_gpu >= wanted:
            return ""
        told = f"{self.on_gpu} of {wanted} layers that RAG_GPU_LAYERS={self.asked} asks for are on a GPU: "
        if not self.backends:
            return f"{told}llama.cpp is built without GPU support. Rebuild: {REBUILD}, or set RAG_GPU_LAYERS=0."
        found = f"llama.cpp has {', '.join(self.backends)} built in, but found no device for it"
        return f"{told}{found}. See that its driver runs, or set RAG_GPU_LAYERS=0."

    def __str__(self) -> str:
        """Say in one sentence how many layers are where, in how many bytes."""
        return "; ".join(f"{share.layers} of {self.layers} layers on {share}" for share in self.shares) + "."


def read_offload(log: str, asked: int) -> Offload:
    """Read where layers and buffers went from llama.cpp's log of one loading, the debug level included."""
    layers = Counter(ASSIGNED.findall(log))
    devices = {CPU: None} | dict.fromkeys([*USING.findall(log), *layers])
    buffers: Counter[tuple[str, str]] = Counter()
    for name, kind, mebibytes in BUFFER.findall(log):
        size = int(float(mebibytes) * 2**20)
        # To compute in, one is measured again when the graph changes: the last counts. Others come one by one.
        buffers[name, kind] = size if kind == "compute" else buffers[name, kind] + size
    sizes: Counter[tuple[str, str]] = Counter()
    for (name, kind), size in buffers.items():
        # A buffer is called after its device: CUDA0, MTL0_Mapped, RPC0[…]. CUDA_Host is memory of the CPU.
        owner = max((device for device in devices if name.startswith(device)), key=len, default=CPU)
        sizes[owner, WHAT[kind]] += size
    shares = (
        Share(d, layers[d], *(sizes[d, kind] for kind in ("weights", "cache", "compute")))
        for d in devices
        if layers[d] or any(sizes[d, kind] for kind in ("weights", "cache", "compute"))
    )
    return Offload(asked, built_backends(), tuple(shares))


def built_backends() -> tuple[str, ...]:
    """Name the backends that this build of llama.cpp has besides the CPU's, devices or none: CUDA, Metal, RPC, …"""
    import ctypes

    from llama_cpp import llama_cpp

    # Looked up through the loaded libllama: a wheel holds three copies of libggml, each with a registry of its own.
    library = llama_cpp._lib
    library.ggml_backend_reg_count.restype = ctypes.c_size_t
    library.ggml_backend_reg_get.argtypes, library.ggml_backend_reg_get.restype = [ctypes.c_size_t], ctypes.c_void_p
    library.ggml_backend_reg_name.argtypes, library.ggml_backend_reg_name.restype = [ctypes.c_void_p], ctypes.c_char_p
    registered = [library.ggml_backend_reg_get(n) for n in range(library.ggml_backend_reg_count())]
    names = [library.ggml_backend_reg_name(backend).decode() for backend in registered]
    return tuple(name for name in names if name not in (CPU, "BLAS"))
