"""Ids and unit vectors come in; a Chroma collection that finds the nearest ones goes out.

Chroma keeps ids and vectors only. Text and metadata are the catalog's: Chroma 1.5.9 is not crash-safe while it flushes,
so everything in it must be replaceable.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from errors import StoreError, one_line

COLLECTION = "chunks"
BATCH = 250  # rows a call; Chroma refuses more than 5,461 and advises 50 to 250
HNSW: Any = {"hnsw": {"space": "cosine", "sync_threshold": 1000, "ef_search": 200}}


class ChromaIndex:
    """Hold one Chroma collection with cosine distance, in a directory of its own."""

    name = "Chroma"

    def __init__(self, directory: Path) -> None:
        """Open or create the collection; raise StoreError when Chroma can't."""
        import chromadb
        from chromadb.config import Settings as ChromaSettings
        from chromadb.errors import ChromaError

        self._directory = directory
        try:
            self._client: Any = chromadb.PersistentClient(
                str(directory), settings=ChromaSettings(anonymized_telemetry=False)
            )
            # embedding_function=None: vectors always come with the call. Chroma's default would download a model.
            self._collection = self._client.get_or_create_collection(
                COLLECTION, configuration=HNSW, embedding_function=None
            )
        except (ChromaError, ValueError) as error:
            raise StoreError(
                directory, f"Chroma can't open it ({error})", "run: python main.py doctor --repair"
            ) from error

    def close(self) -> None:
        """Let go of the files."""
        self._client.close()

    def save(self) -> None:
        """Do nothing: Chroma has written what it was given."""

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what Chroma raises, a full disk included, into one line."""
        from chromadb.errors import ChromaError

        try:
            yield
        except ChromaError as error:
            reason, remedy = (
                f"Chroma can't use it ({one_line(error)})",
                "make room on the disk, then run the command again",
            )
            raise StoreError(self._directory, reason, remedy) from error

    def count(self) -> int:
        """Return the number of vectors."""
        return self._collection.count()

    def ids(self) -> set[str]:
        """Return the ids of all vectors."""
        with self._errors():
            return set(self._collection.get(include=[])["ids"])

    def upsert(self, ids: Sequence[str], vectors: np.ndarray) -> None:
        """Add or replace vectors: one id for each row of the float32 matrix."""
        with self._errors():
            for at in range(0, len(ids), BATCH):
                self._collection.upsert(ids=list(ids[at : at + BATCH]), embeddings=vectors[at : at + BATCH])

    def delete(self, ids: Sequence[str]) -> None:
        """Remove vectors by their ids."""
        with self._errors():
            for at in range(0, len(ids), BATCH):
                self._collection.delete(ids=list(ids[at : at + BATCH]))

    def nearest(self, vector: Sequence[float], limit: int) -> list[tuple[str, float]]:
        """Return (id, cosine similarity in [-1, 1]) of the nearest vectors, nearest first."""
        with self._errors():
            limit = min(limit, self._collection.count())
            if limit == 0:
                return []
            query = np.asarray([vector], dtype=np.float32)
            found = self._collection.query(query_embeddings=query, n_results=limit, include=["distances"])
        distances = found["distances"] or [[]]
        return [(id_, 1.0 - float(d)) for id_, d in zip(found["ids"][0], distances[0], strict=True)]
