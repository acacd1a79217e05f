"""Ids and unit vectors come in; an exact search over all of them, one matrix product a query, goes out."""

import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from errors import StoreError

VECTORS, IDS = "vectors.npy", "ids.json"


class ExactIndex:
    """Hold the vectors as one float32 matrix, in a file that is mapped into memory and shared by all processes."""

    name = "the exact index"

    def __init__(self, directory: Path) -> None:
        """Open or create it; raise StoreError where its files are damaged."""
        self._directory, self._lock = directory, threading.RLock()
        self._blocks: list[np.ndarray] = []
        self._order: list[str] = []  # ids, row by row, when settled
        self._rows: dict[str, int] = {}  # id → row of all blocks together, some of which may be in use no more
        self._is_settled = True
        directory.mkdir(parents=True, exist_ok=True)
        if (directory / IDS).is_file():
            ids, matrix = _load(directory)
            self._order, self._rows, self._blocks = ids, {id_: row for row, id_ in enumerate(ids)}, [matrix]

    def close(self) -> None:
        """Let go of the files."""
        self._blocks, self._order, self._rows = [], [], {}

    def count(self) -> int:
        """Return the number of vectors."""
        return len(self._rows)

    def ids(self) -> set[str]:
        """Return the ids of all vectors."""
        with self._lock:
            return set(self._rows)

    def upsert(self, ids: Sequence[str], vectors: np.ndarray) -> None:
        """Add or replace vectors: one id for each row of the float32 matrix."""
        if not len(ids):
            return
        with self._lock:
            height = sum(map(len, self._blocks))
            self.delete(ids)  # dropped, so that the order of ids is that of rows
            self._rows |= {id_: height + row for row, id_ in enumerate(ids)}
            self._blocks.append(unit(vectors))
            self._is_settled = False

    def delete(self, ids: Sequence[str]) -> None:
        """Remove vectors by their ids, known or not."""
        with self._lock:
            for id_ in ids:
                self._is_settled &= self._rows.pop(id_, None) is None

    def nearest(self, vector: Sequence[float], limit: int) -> list[tuple[str, float]]:
        """Return (id, cosine similarity in [-1, 1]) of the nearest vectors, nearest first, equal ones in order."""
        with self._lock:
            ids, matrix = self._settled()
        return ranked(ids, matrix, vector, limit)

    def save(self) -> None:
        """Write the vectors, for good."""
        with self._lock:
            ids, matrix = self._settled()
            with (self._directory / f"{VECTORS}.new").open("wb") as file:  # the old one is mapped: it must not shrink
                np.save(file, matrix)
                file.flush()
                os.fsync(file.fileno())
            (self._directory / f"{VECTORS}.new").replace(self._directory / VECTORS)
            (self._directory / IDS).write_text(json.dumps(ids))

    def _settled(self) -> tuple[list[str], np.ndarray]:
        """Return ids and matrix, row by row, the blocks joined and what is no more in use left out."""
        if not self._is_settled:
            blocks = [block for block in self._blocks if len(block)]  # an empty one may have another width
            matrix = np.concatenate(blocks)[list(self._rows.values())]
            self._order, self._blocks = list(self._rows), [matrix]
            self._rows = {id_: row for row, id_ in enumerate(self._order)}
            self._is_settled = True
        return self._order, self._blocks[0] if self._blocks else np.empty((0, 1), dtype=np.float32)


def ranked(ids: Sequence[str], matrix: np.ndarray, vector: Sequence[float], limit: int) -> list[tuple[str, float]]:
    """Return (id, cosine) of the unit rows nearest to a vector, nearest first, equal ones in order."""
    limit = min(limit, len(ids))
    if limit <= 0:
        return []
    scores = matrix @ unit(np.asarray([vector], dtype=np.float32))[0]
    best = np.arange(len(ids)) if limit == len(ids) else np.argpartition(-scores, limit - 1)[:limit]
    best = best[np.lexsort((best, -scores[best]))]
    return [(ids[row], float(score)) for row, score in zip(best, np.clip(scores[best], -1, 1), strict=True)]


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return the rows at length 1, as float32; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)


def _load(directory: Path) -> tuple[list[str], np.ndarray]:
    try:
        ids = json.loads((directory / IDS).read_text())
        matrix = np.load(directory / VECTORS, mmap_mode="r", allow_pickle=False)
        if matrix.shape[:1] != (len(ids),) or matrix.dtype != np.float32:
            raise ValueError(f"{len(ids)} ids for an array of {matrix.shape}")
    except (OSError, ValueError, EOFError) as error:
        raise StoreError(
            directory, f"the exact index can't be opened ({error})", "run: python main.py doctor --repair"
        ) from error
    return ids, matrix
