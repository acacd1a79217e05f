"""A GGUF path comes in; one llama.cpp context, with the queue of its users, goes out."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from errors import ModelError
from inference.adapters import Adapter, attach_adapter
from inference.llama_log import llama_log
from inference.loading import Loading
from inference.offload import Offload, read_offload
from inference.prefix import State
from inference.turns import Turns

if TYPE_CHECKING:
    from llama_cpp import Llama

CACHE_TYPES = {"f16": 1, "q8_0": 8}  # their numbers in ggml
REMEDY = "Download the file again, or choose another"


@dataclass(eq=False)
class Engine:
    """One loaded context, the queue before it and what it last read; every copy of a chat model shares it."""

    llama: "Llama"
    model_name: str
    offload: Offload
    turns: Turns
    adapter: Adapter | None = None
    prompt_size: int = 0  # tokens of the last prompt
    states: list[State] = field(default_factory=list)  # of earlier prompts, the last used last
    states_bytes: int = 0  # that they may have together

    def close(self) -> None:
        """Free the weights; what runs ends, and later calls fail."""
        self.turns.close()
        self.llama.close()

    @property
    def context_tokens(self) -> int:
        """Return how many tokens prompt and answer may have together."""
        # llama.cpp rounds n_ctx up to a multiple of 256, but 0.3.36 sizes input_ids by what was asked.
        return min(self.llama.n_ctx(), len(self.llama.input_ids))

    @property
    def parameters(self) -> int:
        """Return how many weights the model has."""
        import llama_cpp

        return int(llama_cpp.llama_model_n_params(self.llama.model))

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Return the model's tokens; special makes control tokens of their texts. Needs no lock."""
        # No BOS is added: the chat template writes it where the model wants one.
        return self.llama.tokenize(text.encode("utf-8", "replace"), add_bos=False, special=special)


def open_engine(path: Path, loading: Loading) -> Engine:
    """Load weights without printing.

    Raises ModelError for a file that is no GGUF or won't load, and for a context beyond what the model was
    trained on: answers turn to noise there, and clamping would change the caller's token budget unseen.
    """
    _check_gguf(path)
    import llama_cpp
    from jinja2 import TemplateError

    log, _ = llama_log()
    log.clear()
    on_gpu = loading.gpu_layers != 0 and llama_cpp.llama_supports_gpu_offload()
    try:
        llama = llama_cpp.Llama(
            str(path),
            n_gpu_layers=loading.gpu_layers,
            n_ctx=loading.context_tokens,
            n_batch=loading.batch_size(on_gpu),
            n_threads=threads_of(loading)[0],
            n_threads_batch=threads_of(loading)[1],
            flash_attn=loading.uses_flash_attention,
            type_k=CACHE_TYPES[loading.cache_type],
            type_v=CACHE_TYPES[loading.cache_type],
            use_mmap=loading.mmap,
            swa_full=loading.full_window,
            verbose=False,
        )
    except (ValueError, RuntimeError, OSError, TemplateError) as error:
        told = [line for line in "".join(log).splitlines() if re.search("error|failed", line)]
        raise ModelError(path, f"llama.cpp can't load it ({[*told, error][0]})", REMEDY) from error
    trained = llama_cpp.llama_model_n_ctx_train(llama.model)
    if loading.context_tokens > trained:
        llama.close()
        reason = f"{path.name} was trained on {trained}"
        raise ModelError(
            f"{loading.context_tokens} context tokens", reason, f"Set RAG_CONTEXT_TOKENS to {trained} or less"
        )
    offload, adapter = read_offload("".join(log), loading.gpu_layers), None
    if loading.adapter:
        try:
            adapter = attach_adapter(llama, loading.adapter, loading.adapter_scale)
        except ModelError:
            llama.close()
            raise
    return Engine(llama, path.name, offload, Turns(loading.queue), adapter, states_bytes=loading.states_mb * 1_000_000)


def _check_gguf(path: Path) -> None:
    if not path.is_file():
        raise ModelError(path, "there is no such file", REMEDY)
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ModelError(path, "it is not a GGUF file", REMEDY)


def threads_of(loading: Loading) -> tuple[int, int]:
    """Return the threads that write an answer and those that read a prompt.

    Tokens/s here with one and two threads: generation 85 and 106, prompt 203 and 388.
    """
    return loading.threads or physical_cores(), loading.prompt_threads or loading.threads or usable_cpus()


def usable_cpus() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def physical_cores() -> int:
    """Count the cores this process may use; hyperthreads of a core count once where the system tells."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    cpus = os.sched_getaffinity(0)
    siblings = [Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") for cpu in cpus]
    return len({path.read_text() for path in siblings if path.exists()}) or len(cpus)
