"""Ids and unit vectors come in; a Chroma collection that finds the nearest ones goes out.

Chroma keeps ids and vectors only. Text and metadata are the catalog's: Chroma 1.5.9 is not crash-safe while it flushes,
so everything in it must be replaceable.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from errors import StoreError

COLLECTION = "chunks"
BATCH = 250  # rows a call; Chroma refuses more than 5,461 and advises 50 to 250
HNSW: Any = {"hnsw": {"space": "cosine", "sync_threshold": 1000, "ef_search": 200}}


class VectorIndex:
    """Hold one Chroma collection with cosine distance, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        """Open or create the collection; raise StoreError when Chroma can't."""
        import chromadb
        from chromadb.config import Settings as ChromaSettings
        from chromadb.errors import ChromaError

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
                directory, f"Chroma can't open it ({error})", "run: python main.py ingest --rebuild PATH"
            ) from error

    def close(self) -> None:
        """Let go of the files."""
        self._client.close()

    def count(self) -> int:
        """Return the number of vectors."""
        return self._collection.count()

    def ids(self) -> set[str]:
        """Return the ids of all vectors."""
        return set(self._collection.get(include=[])["ids"])

    def upsert(self, ids: Sequence[str], vectors: np.ndarray) -> None:
        """Add or replace vectors: one id for each row of the float32 matrix."""
        for at in range(0, len(ids), BATCH):
            self._collection.upsert(ids=list(ids[at : at + BATCH]), embeddings=vectors[at : at + BATCH])

    def delete(self, ids: Sequence[str]) -> None:
        """Remove vectors by their ids."""
        for at in range(0, len(ids), BATCH):
            self._collection.delete(ids=list(ids[at : at + BATCH]))

    def nearest(self, vector: Sequence[float], limit: int) -> list[tuple[str, float]]:
        """Return (id, cosine similarity in [-1, 1]) of the nearest vectors, nearest first."""
        limit = min(limit, self.count())
        if limit == 0:
            return []
        found = self._collection.query(
            query_embeddings=np.asarray([vector], dtype=np.float32), n_results=limit, include=["distances"]
        )
        distances = found["distances"] or [[]]
        return [(id_, 1.0 - float(d)) for id_, d in zip(found["ids"][0], distances[0], strict=True)]
