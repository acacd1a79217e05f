"""A file that `finetune query-adapter` made and an embedder come in; what it makes of a query's vector goes out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from errors import ModelError, one_line
from loaders.embeddings import EmbedderIdentity
from loaders.exact import unit

MATRIX = "matrix"
SPACE = ("weights_sha256", "query_prompt", "passage_prompt")  # what of an embedder's identity decides its vectors
Adapt = Callable[[list[float]], list[float]]


def save_query_adapter(path: Path, matrix: np.ndarray, identity: EmbedderIdentity, about: Mapping[str, str]) -> None:
    """Write a square matrix with the embedder that it belongs to, and what is to be known `about` it."""
    known: dict[str, Any] = asdict(identity)
    save_file({MATRIX: matrix.astype(np.float32)}, path, metadata={**about, **{name: known[name] for name in SPACE}})


def load_query_adapter(path: Path, identity: EmbedderIdentity) -> Adapt:
    """Return a function: a query's vector → the unit vector to search with.

    Raise ModelError for a file that is missing, damaged, or made for another embedder or other prompts.
    """
    remedy = "run: python main.py finetune query-adapter, or leave RAG_QUERY_ADAPTER empty"
    try:
        with safe_open(path, framework="numpy") as file:
            about, matrix = file.metadata() or {}, file.get_tensor(MATRIX)
    except (OSError, SafetensorError) as error:
        raise ModelError(path, f"not a query adapter ({one_line(error)})", remedy) from None
    if other := [name for name in SPACE if about.get(name) != getattr(identity, name)]:
        raise ModelError(path, f"it was made for another embedder ({', '.join(other)} differs)", remedy)
    return partial(multiplied, matrix)


def multiplied(matrix: np.ndarray, vector: Sequence[float]) -> list[float]:
    """Return the product at length 1."""
    product: list[float] = unit((matrix @ np.asarray(vector, dtype=np.float32))[None])[0].tolist()
    return product
