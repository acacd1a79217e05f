"""A local sentence-transformers folder comes in; LangChain Embeddings, their identity and token counter go out."""

import json
import sys
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from langchain_core.embeddings import Embeddings

from errors import ModelError, one_line
from loaders.onnx_encoder import load_onnx_embeddings, supported
from loaders.tokens import TokenCounter

TORCH, ONNX_INT8 = "torch", "onnx-int8"


@dataclass(frozen=True)
class EmbedderIdentity:
    """Say which vectors an index holds; an index built with another identity must not be searched."""

    name: str
    weights_sha256: str
    query_prompt: str
    passage_prompt: str
    backend: str = TORCH

    def as_json(self) -> str:
        """Return the identity as a JSON object, the form in which the catalog keeps it; no backend means torch."""
        return json.dumps({k: v for k, v in asdict(self).items() if (k, v) != ("backend", TORCH)}, sort_keys=True)


def choose_backend(folder: Path, wanted: str = "auto", *, recorded: str = "") -> str:
    """Return `torch` or `onnx-int8`: what is wanted; else what the index was built with; else what is fastest here."""
    if wanted != "auto":
        return wanted
    if recorded:
        return recorded  # never loads torch to look for a GPU: a query would wait seconds for the answer
    return ONNX_INT8 if supported(folder) and not _has_gpu() else TORCH


def identify_embedder(
    name: str, folder: Path, *, query_prompt: str = "", passage_prompt: str = "", backend: str = TORCH
) -> EmbedderIdentity:
    """Return the identity of the model in `folder`, without loading it."""
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise ModelError(folder, "no .safetensors weights", "pickled weights are not loaded: use a model that has them")
    digest = sha256()
    for path in weights:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return EmbedderIdentity(name, digest.hexdigest(), query_prompt, passage_prompt, backend)


def load_embeddings(
    folder: Path,
    *,
    backend: str = TORCH,
    cache: Path = Path("encoder.onnx"),
    batch_size: int = 32,
    query_prompt: str = "",
    passage_prompt: str = "",
) -> Embeddings:
    """Load the model in `folder` as unit-length embeddings.

    `torch` runs on the GPU where PyTorch finds one; `onnx-int8` runs on the CPU, from the file `cache`, which is made
    when it is missing or damaged, and has no use for `batch_size`.
    """
    if backend == ONNX_INT8:
        return load_onnx_embeddings(folder, cache, query_prompt=query_prompt, passage_prompt=passage_prompt)
    from langchain_huggingface import HuggingFaceEmbeddings
    from safetensors import SafetensorError

    shared = {"normalize_embeddings": True, "batch_size": batch_size}
    try:
        return HuggingFaceEmbeddings(
            model_name=str(folder),
            model_kwargs={"local_files_only": True},
            encode_kwargs=shared | ({"prompt": passage_prompt} if passage_prompt else {}),
            query_encode_kwargs=shared | ({"prompt": query_prompt} if query_prompt else {}),
        )
    except (
        OSError,
        ValueError,
        RuntimeError,
        SafetensorError,
    ) as error:  # what transformers raises for damaged or foreign weights
        raise ModelError(folder, f"not a sentence-transformers model ({error})", "check RAG_EMBEDDER") from error


def _has_gpu() -> bool:
    devices = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # NVIDIA, AMD, WSL: without one torch needs no asking
    if sys.platform == "linux" and not any(Path(device).exists() for device in devices):
        return False
    import torch

    return torch.cuda.is_available() or torch.backends.mps.is_available()


def load_token_counter(folder: Path) -> tuple[TokenCounter, int]:
    """Return the model's token counter, with the most tokens that it reads, special ones left out."""
    try:
        counter = TokenCounter(folder / "tokenizer.json")
    except Exception as error:  # tokenizers 0.23 raises nothing more exact
        reason = f"its tokenizer.json can't be read ({one_line(error)})"
        raise ModelError(folder, reason, "choose an embedder with one") from error
    special = counter.tokenizer.num_special_tokens_to_add(is_pair=False)
    settings = folder / "sentence_bert_config.json"
    longest = json.loads(settings.read_text()).get("max_seq_length") if settings.is_file() else None
    if longest is None:
        longest = json.loads((folder / "config.json").read_text())["max_position_embeddings"]
    return counter, int(longest) - special
