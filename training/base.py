"""The name of a model comes in; its weights as transformers trains them, and its tokenizer, go out."""

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
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if folder:
        path, sha256, kwargs = (
            models.locate_folder(folder, base=ROOT, offline=settings.offline, cache=settings.cache),
            "",
            {},
        )
        where = path
    else:
        path = locate(settings)
        where, sha256, kwargs = path.parent, file_sha256(path), {"gguf_file": path.name}
    given: dict[str, Any] = {"local_files_only": True, **kwargs}
    tokenizer = AutoTokenizer.from_pretrained(str(where), **given)
    model: Any = AutoModelForCausalLM.from_pretrained(str(where), dtype=dtype or torch.float32, **given)
    if kwargs:  # transformers 5.23 still takes it for quantised, and would not save it
        model.hf_quantizer = None
        model.is_quantized = False
        del model.config.quantization_config
    model.config.use_cache = False
    return Base(model.train(), tokenizer, path, sha256)
