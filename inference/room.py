"""This machine comes in; how many bytes of RAM and of each GPU are free, goes out."""

import ctypes
import re
from pathlib import Path

from errors import ModelError
from inference.fitting import Room

GPU_TYPES = (1, 2)  # GGML_BACKEND_DEVICE_TYPE_GPU and _IGPU (ggml-backend.h)
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
UNLIMITED = 1 << 60  # control groups of version 1 say it by a number near 2⁶³

# limit, use, and what of the use is file cache that gives way; version 2 of the control groups, then version 1
GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
    ),
)


def free_room() -> Room:
    """Return what is free here: RAM within the control group's limit, and the GPUs that llama.cpp is built to see."""
    import psutil

    ram = psutil.virtual_memory().available
    return Room(min(ram, *(_group_free(*files) for files in GROUPS)), _gpus())


def _group_free(limit: str, used: str, stat: str) -> int:
    """Return what a control group may still take; UNLIMITED where there is none, or no limit."""
    try:
        most, taken = Path(limit).read_text().strip(), int(Path(used).read_text())
        found = re.search(r"^(?:total_)?inactive_file (\d+)", Path(stat).read_text(), re.M)
    except OSError:
        return UNLIMITED
    return int(most) - taken + (int(found[1]) if found else 0) if most.isdigit() else UNLIMITED


def _gpus() -> tuple[int, ...]:
    from llama_cpp import llama_cpp

    # Looked up through the loaded libllama: a wheel holds three copies of libggml, each with a registry of its own.
    library = llama_cpp._lib
    library.ggml_backend_dev_count.restype = ctypes.c_size_t
    library.ggml_backend_dev_get.argtypes, library.ggml_backend_dev_get.restype = [ctypes.c_size_t], ctypes.c_void_p
    library.ggml_backend_dev_type.argtypes = [ctypes.c_void_p]
    library.ggml_backend_dev_memory.argtypes = [ctypes.c_void_p] + [ctypes.POINTER(ctypes.c_size_t)] * 2
    found: dict[int, list[int]] = {kind: [] for kind in GPU_TYPES}
    for n in range(library.ggml_backend_dev_count()):
        device = library.ggml_backend_dev_get(n)
        if (kind := library.ggml_backend_dev_type(device)) in found:
            free, total = ctypes.c_size_t(), ctypes.c_size_t()
            library.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(total))
            found[kind].append(free.value)
    return tuple(found[1] or found[2])  # an integrated GPU is used where there is no other


def parse_sizes(text: str) -> tuple[int, ...]:
    """Read sizes such as 8GB,24GB, a GPU each; raise ModelError for anything else."""
    found = []
    for part in text.split(","):
        if not (match := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?\s*", part, re.I)):
            raise ModelError(f"--vram {text}", "this is no size of memory", "Write 8GB, or 8GB,24GB for two GPUs")
        unit = UNITS[match[2].upper()] if not match[3] else 1024 ** "KMGT".index(match[2].upper()) * 1024
        found.append(int(float(match[1]) * unit))
    return tuple(found)
