"""A loaded model and a LoRA adapter's GGUF file come in; the same model with the adapter at work goes out."""

import ctypes
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from errors import ModelError
from inference.llama_log import llama_log

if TYPE_CHECKING:
    from llama_cpp import Llama

BASE = "groundwork.base_sha256"  # the adapter's entry that names the weights it was made for
REMEDY = "Set RAG_ADAPTER to an adapter of this model, or to nothing"


@dataclass(frozen=True)
class Adapter:
    """An adapter at work, and the SHA-256 of the weights that it was made for: "" where it names none."""

    path: Path
    scale: float
    base_sha256: str

    def __str__(self) -> str:
        """Say in one sentence how far it is known to belong to the model."""
        fits = "its tensors' names and shapes fit these weights, which it does not name"
        known = "made for these very weights" if self.base_sha256 else fits
        return f"{self.path}, scale {self.scale:g}: {known}."


def attach_adapter(llama: "Llama", path: Path, scale: float = 1.0) -> Adapter:
    """Put a LoRA adapter to work in a context, W + scale · alpha/r · B A; the model's weights stay mapped.

    llama.cpp frees it with the model. Raises ModelError, the model being as it was, for a file that is no adapter, one
    of another architecture or other tensors, and one that names other weights than these.
    """
    import llama_cpp

    # Not Llama(lora_path=…): 0.3.36 switches mmap off with it.
    log, _ = llama_log()
    log.clear()
    adapter = llama_cpp.llama_adapter_lora_init(llama.model, str(path).encode())
    if not adapter:
        told = re.search(r"failed to apply lora adapter: (.*?)(?: \(hint.*)?\n", "".join(log))
        raise ModelError(path, f"it is no LoRA adapter of this model ({told[1] if told else 'unreadable'})", REMEDY)
    meant = ctypes.create_string_buffer(65)
    llama_cpp.llama_adapter_meta_val_str(adapter, BASE.encode(), meant, len(meant))
    reason, base = "", meant.value.decode("utf-8", "replace")
    if base and base != (actual := _sha256(Path(llama.model_path))):
        reason = f"it was made for the weights {base}, not for {llama.model_path} ({actual})"
    elif llama_cpp.llama_adapter_get_alora_n_invocation_tokens(adapter):
        reason = "it is to be switched on by certain tokens only (aLoRA), which is not done here"
    if reason:
        llama_cpp.llama_adapter_lora_free(adapter)
        raise ModelError(path, reason, REMEDY)
    llama_cpp.llama_set_adapters_lora(
        llama.ctx, (llama_cpp.llama_adapter_lora_p_ctypes * 1)(adapter), 1, (ctypes.c_float * 1)(scale)
    )
    return Adapter(path, scale, base)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
