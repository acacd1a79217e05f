"""A loaded model and a LoRA adapter's GGUF file come in; the same model with the adapter at work goes out."""

import ctypes
import mmap
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import ModelError
from hashes import file_sha256
from inference.gguf_layout import Tensor, read_layout
from inference.llama_log import llama_log

if TYPE_CHECKING:
    from llama_cpp import Llama

BASE = "groundwork.base_sha256"  # the adapter's entry that names the weights it was made for
ALORA = "adapter.alora.invocation_tokens"
TYPES = {"F32", "F16", "BF16", "Q8_0"}  # that llama.cpp's own conversion writes
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

    entries, tensors = _read(path)
    base = str(entries.get(BASE, ""))
    if reason := _misfit(llama, entries, tensors):
        raise ModelError(path, reason, REMEDY)
    # Not Llama(lora_path=…): 0.3.36 switches mmap off with it.
    log, _ = llama_log()
    log.clear()
    adapter = llama_cpp.llama_adapter_lora_init(llama.model, str(path).encode())
    if not adapter:
        told = re.search(r"failed to apply lora adapter: (.*?)(?: \(hint.*)?\n", "".join(log))
        raise ModelError(path, f"llama.cpp refuses it ({told[1] if told else 'unreadable'})", REMEDY)
    llama_cpp.llama_set_adapters_lora(
        llama.ctx, (llama_cpp.llama_adapter_lora_p_ctypes * 1)(adapter), 1, (ctypes.c_float * 1)(scale)
    )
    return Adapter(path, scale, base)


def _read(path: Path) -> tuple[dict[str, Any], tuple[Tensor, ...]]:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            entries, tensors, size = read_layout(data)
            if size > len(data):
                raise ValueError("it is cut")
            return entries, tensors
    except (ValueError, OSError) as error:
        raise ModelError(path, f"it can't be read as a GGUF file ({error})", REMEDY) from None


def _misfit(llama: "Llama", entries: dict[str, Any], tensors: tuple[Tensor, ...]) -> str:
    """Say why an adapter can't be this model's, before llama.cpp, which ends the process over odd entries, reads it."""
    kind, architecture = entries.get("general.type"), llama.metadata.get("general.architecture")
    if kind != "adapter" or entries.get("adapter.type") != "lora" or not tensors:
        return f"it is no LoRA adapter but of the type {kind}"
    if entries.get("general.architecture") != architecture:
        return f"it is for the architecture {entries.get('general.architecture')}, and the model's is {architecture}"
    if type(entries.get("adapter.lora.alpha", 1.0)) is not float or {tensor.type for tensor in tensors} - TYPES:
        return f"its alpha is no float of 32 bits, or its tensors are of other types than {', '.join(sorted(TYPES))}"
    if ALORA in entries:
        return "it is to be switched on by certain tokens only (aLoRA), which is not done here"
    if (base := entries.get(BASE)) and base != (actual := file_sha256(Path(llama.model_path))):
        return f"it was made for the weights {base}, not for {llama.model_path} ({actual})"
    return ""
