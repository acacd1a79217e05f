"""A local sentence-transformers folder comes in; LangChain Embeddings, their identity and token counter go out."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from langchain_core.embeddings import Embeddings

from errors import ModelError


@dataclass(frozen=True)
class EmbedderIdentity:
    """Say which vectors an index holds; an index built with another identity must not be searched."""

    name: str
    weights_sha256: str
    query_prompt: str
    passage_prompt: str

    def as_json(self) -> str:
        """Return the identity as a JSON object, the form in which the catalog keeps it."""
        return json.dumps(asdict(self), sort_keys=True)


def identify_embedder(name: str, folder: Path, *, query_prompt: str = "", passage_prompt: str = "") -> EmbedderIdentity:
    """Return the identity of the model in `folder`, without loading it."""
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise ModelError(folder, "no .safetensors weights", "pickled weights are not loaded: use a model that has them")
    digest = sha256()
    for path in weights:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return EmbedderIdentity(name, digest.hexdigest(), query_prompt, passage_prompt)


def load_embeddings(
    folder: Path, *, batch_size: int = 32, query_prompt: str = "", passage_prompt: str = ""
) -> Embeddings:
    """Load the model in `folder` as unit-length embeddings, on the GPU where PyTorch finds one."""
    from langchain_huggingface import HuggingFaceEmbeddings

    shared = {"normalize_embeddings": True, "batch_size": batch_size}
    try:
        return HuggingFaceEmbeddings(
            model_name=str(folder),
            model_kwargs={"local_files_only": True},
            encode_kwargs=shared | ({"prompt": passage_prompt} if passage_prompt else {}),
            query_encode_kwargs=shared | ({"prompt": query_prompt} if query_prompt else {}),
        )
    except (OSError, ValueError, RuntimeError) as error:  # what transformers raises for damaged or foreign weights
        raise ModelError(folder, f"not a sentence-transformers model ({error})", "check RAG_EMBEDDER") from error


def load_token_counter(folder: Path) -> tuple[Callable[[str], int], int]:
    """Return a function text → tokens, special ones left out, with the most such tokens that the model reads."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    special = tokenizer.num_special_tokens_to_add(is_pair=False)
    settings = folder / "sentence_bert_config.json"
    longest = json.loads(settings.read_text()).get("max_seq_length") if settings.is_file() else None
    if longest is None:
        longest = json.loads((folder / "config.json").read_text())["max_position_embeddings"]
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids), int(longest) - special
