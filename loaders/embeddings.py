"""A local sentence-transformers folder comes in; LangChain Embeddings, their identity and token counter go out."""

import json
import sys
import time
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from langchain_core.embeddings import Embeddings

from errors import ModelError, one_line
from loaders.onnx_encoder import load_onnx_embeddings, longest_input, supported
from loaders.tokens import TokenCounter

TORCH, ONNX_INT8 = "torch", "onnx-int8"
ENCODER = Path("encoder.onnx")  # where the exported form is kept unless told otherwise
MEASURED = 16  # texts of some 130 tokens: a second of torch's time, on two cores


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


def choose_backend(folder: Path, wanted: str = "auto", *, recorded: str = "", cache: Path = ENCODER) -> str:
    """Return `torch` or `onnx-int8`: what is wanted; else what the index was built with; else what is fastest here.

    Which is fastest is measured once, on a few texts, and noted beside the exported encoder `cache`; a GPU needs no
    measuring.
    """
    if wanted != "auto":
        return wanted
    if recorded:
        return recorded  # never loads torch to look for a GPU: a query would wait seconds for the answer
    if not supported(folder) or _has_gpu():
        return TORCH
    speeds = _noted_speeds(cache.with_suffix(".json")) or _measured_speeds(folder, cache)
    return max(speeds, key=lambda form: speeds[form])


def _noted_speeds(note: Path) -> dict[str, float]:
    try:
        noted = json.loads(note.read_text())
        return {form: float(noted[form]) for form in (TORCH, ONNX_INT8)}
    except (OSError, ValueError, KeyError, TypeError):  # not there yet, or cut short: measured again
        return {}


def _measured_speeds(folder: Path, cache: Path) -> dict[str, float]:
    """Return the texts a second of each form, the best of three rounds in turns; note them for the next start."""
    from loaders.onnx_export import PASSAGE

    forms = {form: load_embeddings(folder, backend=form, cache=cache) for form in (ONNX_INT8, TORCH)}
    texts = [f"{number}. {PASSAGE * 2}" for number in range(MEASURED)]
    seconds = dict.fromkeys(forms, float("inf"))
    for form in [*forms] * 3:
        began = time.perf_counter()
        forms[form].embed_documents(texts)
        seconds[form] = min(seconds[form], time.perf_counter() - began)
    speeds = {form: round(MEASURED / least, 1) for form, least in seconds.items()}
    draft = cache.with_suffix(".json.new")
    draft.write_text(json.dumps(speeds))
    draft.replace(cache.with_suffix(".json"))
    return speeds


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
    cache: Path = ENCODER,
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
    return counter, longest_input(folder) - special
