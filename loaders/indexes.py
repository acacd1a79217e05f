"""The name of a kind of vector index comes in; an open index of that kind, all of one shape, goes out.

Each is derived from the catalog's vectors, and made anew from them where a writer was interrupted.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

Originals = Callable[[Sequence[str]], dict[str, np.ndarray]]  # chunk ids → their float32 vectors, from the catalog
DEFAULT = "hnsw"
FOLDERS = {"hnsw": "chroma", "exact": "exact", "pq": "pq"}  # kind → how the names of its directories begin


class VectorIndex(Protocol):
    """Find the unit vectors nearest to another one, by the ids of their chunks; several threads may use it."""

    name: str  # what it is called where something is wrong with it

    def count(self) -> int:
        """Return the number of vectors."""

    def ids(self) -> set[str]:
        """Return the ids of all vectors."""

    def upsert(self, ids: Sequence[str], vectors: np.ndarray) -> None:
        """Add or replace vectors: one id for each row of the float32 matrix."""

    def delete(self, ids: Sequence[str]) -> None:
        """Remove vectors by their ids, known or not."""

    def nearest(self, vector: Sequence[float], limit: int) -> list[tuple[str, float]]:
        """Return (id, cosine similarity in [-1, 1]) of the nearest vectors, nearest first."""

    def save(self) -> None:
        """Write what was changed: until then it may be in memory only."""

    def close(self) -> None:
        """Let go of the files."""


def open_vectors(directory: Path, originals: Originals) -> VectorIndex:
    """Open or create the index in `directory`, of the kind that its name begins with; raise StoreError if damaged."""
    folder = directory.name.partition("-")[0]
    if folder == FOLDERS["exact"]:
        from loaders.exact import ExactIndex

        return ExactIndex(directory)
    if folder == FOLDERS["pq"]:
        from loaders.quantised import QuantisedIndex

        return QuantisedIndex(directory, originals)
    from loaders.vectorstore import ChromaIndex

    return ChromaIndex(directory)
