"""What can be chosen when a GGUF file is loaded goes in; one value that engine, planning and tuning share goes out."""

from dataclasses import dataclass
from pathlib import Path


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


DEFAULTS = Loading()
