"""What can be chosen when a GGUF file is loaded goes in; one value that engine, planning and tuning share goes out."""

from dataclasses import dataclass
from pathlib import Path

# Prompt tokens/s by n_batch (SmolLM2-135M Q4_1, 1,800 tokens, 2 CPU cores): 64: 403, 128: 412, 256: 407,
# 512: 388, 1024: 394, 2048: 393. Flat on a CPU, where a small batch loses less of the reused prefix (see
# inference/prefix.py) and lets go sooner when cancelled. A GPU wants llama.cpp's own 512.
CPU_BATCH, GPU_BATCH = 64, 512


@dataclass(frozen=True)
class Loading:
    """How a model is loaded; what each choice costs and gains is in benchmarks/model.md."""

    gpu_layers: int = -1  # -1: all
    context_tokens: int = 4096  # prompt and answer together
    threads: int = 0  # for generation; 0: all physical cores
    prompt_threads: int = 0  # for reading prompts; 0: all processors
    batch: int = 0  # prompt tokens at a time; 0: CPU_BATCH or GPU_BATCH
    cache_type: str = "f16"  # of keys and values: f16, or q8_0, which needs flash attention
    flash_attention: bool = False
    mmap: bool = True
    full_window: bool = True  # sliding layers keep the whole context, or a reused prefix lacks what they forgot
    queue: int = 32  # completions that may wait for the model
    adapter: Path | None = None  # a LoRA adapter's GGUF file
    adapter_scale: float = 1.0
    states_mb: int = 256  # of memory for the KV states of earlier prompts (inference/prefix.py); 0: none are kept

    @property
    def uses_flash_attention(self) -> bool:
        """Tell whether flash attention is on: llama.cpp takes values of fewer bits with it only."""
        return self.flash_attention or self.cache_type != "f16"

    def batch_size(self, on_gpu: bool) -> int:
        """Return n_batch, 0 resolved."""
        return self.batch or (GPU_BATCH if on_gpu else CPU_BATCH)


DEFAULTS = Loading()
