"""The name of a model comes in; its weights as transformers trains them, and its tokenizer, go out."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import models
from chat_models import locate
from hashes import file_sha256
from settings import ROOT, Settings

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Base:
    """A causal language model of transformers, in training mode and with nothing frozen, and its tokenizer.

    path: the GGUF file or the folder it is from; sha256: that file's, "" for a folder.
    """

    model: Any
    tokenizer: Any
    path: Path
    sha256: str


def load_base(settings: Settings, folder: str = "", *, dtype: "torch.dtype | None" = None) -> Base:
    """Load the weights of RAG_MODEL's GGUF file, dequantised, or those of a folder or hub:OWNER/REPO.

    dtype: of the weights, torch.float32 where none is named. Raise ModelError for a file that is not there, and for an
    architecture that transformers can't read from GGUF.
    """
    import torch
    from transformers import AutoModelForCausalLM

    path, given = _place(settings, folder)
    model: Any = AutoModelForCausalLM.from_pretrained(dtype=dtype or torch.float32, **given)
    if not folder:  # transformers 5.23 still takes it for quantised, and would not save it
        model.hf_quantizer = None
        model.is_quantized = False
        del model.config.quantization_config
    model.config.use_cache = False
    return Base(model.train(), load_tokenizer(settings, folder), path, "" if folder else file_sha256(path))


def dtype_of(precision: str) -> "torch.dtype":
    """Return the type of frozen weights in a precision: fp32, bf16 or fp16."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


@contextmanager
def without_peft_warning() -> Iterator[None]:
    """Silence one warning: peft 0.21 and trl 1.16 ask transformers 5.23 by a name that goes in its version 6."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".is_gradient_checkpointing. is deprecated", FutureWarning)
        yield


def load_tokenizer(settings: Settings, folder: str = "") -> Any:
    """Load the tokenizer alone."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(**_place(settings, folder)[1])


def _place(settings: Settings, folder: str) -> tuple[Path, dict[str, Any]]:
    """Return the file or folder of the weights, and how transformers is told of it."""
    given: dict[str, Any] = {"local_files_only": True}
    if folder:
        path = models.locate_folder(folder, base=ROOT, offline=settings.offline, cache=settings.cache)
        return path, given | {"pretrained_model_name_or_path": str(path)}
    path = locate(settings)
    return path, given | {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
