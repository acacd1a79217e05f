"""Ids and unit vectors come in; a product-quantised index, a sixteenth of their size in memory, goes out.

faiss IVF-PQ (Jégou, Douze and Schmid 2011): vectors are grouped around centroids, and each is kept as a code of one
byte for every four dimensions. The codes choose candidates, which the original vectors then put in order.
"""

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from errors import SettingsError, StoreError, one_line
from loaders.catalog import batches
from loaders.exact import IDS, VECTORS, ExactIndex, ranked, unit
from loaders.indexes import Originals

INDEX, NAMES = "index.faiss", "names.json"
LEAST = 10_000  # vectors under which there is too little to train codes of 256 values on, and little to save
GROWTH = 4  # how many times more vectors than it was trained on make it worth training anew
PER_LIST = 40  # vectors to train each centroid on, about faiss's own minimum
ROUNDS = 10  # of k-means for the codes; faiss's 25 take minutes
PROBED = 32  # of the lists around centroids
DIMENSIONS = 4  # for one byte
RESCORED = 4  # candidates for each vector wanted


class QuantisedIndex:
    """Hold the vectors' codes; the vectors themselves while they are few."""

    name = "the PQ index"

    def __init__(self, directory: Path, originals: Originals) -> None:
        """Open or create it; raise SettingsError without faiss, StoreError where its files are damaged."""
        try:
            import faiss  # noqa: F401
        except ModuleNotFoundError as error:
            remedy = "pip install -c constraints.txt -e '.[pq]', or set RAG_INDEX to hnsw or exact"
            raise SettingsError("RAG_INDEX=pq", f"faiss is not installed ({error})", remedy) from None
        self._directory, self._originals, self._lock = directory, originals, threading.RLock()
        self._few: ExactIndex | None = ExactIndex(directory)
        self._codes: Any = None
        self._trained_on = 0
        self._numbers: dict[str, int] = {}  # id → number under which faiss knows it
        self._names: list[str] = []  # by number, those that are gone included until the next training
        if (directory / NAMES).is_file():
            self._load()

    def close(self) -> None:
        """Let go of the files."""
        self._codes, self._few = None, None

    def count(self) -> int:
        """Return the number of vectors."""
        return self._few.count() if self._few else len(self._numbers)

    def ids(self) -> set[str]:
        """Return the ids of all vectors."""
        with self._lock:
            return self._few.ids() if self._few else set(self._numbers)

    def upsert(self, ids: Sequence[str], vectors: np.ndarray) -> None:
        """Add or replace vectors: one id for each row of the float32 matrix."""
        with self._lock:
            if self._few:
                self._few.upsert(ids, vectors)
            elif len(ids):
                self.delete(ids)
                self._add(ids, unit(vectors))
            if self.count() >= max(LEAST, GROWTH * self._trained_on):
                self._train()

    def delete(self, ids: Sequence[str]) -> None:
        """Remove vectors by their ids, known or not."""
        with self._lock:
            if self._few:
                self._few.delete(ids)
                return
            gone = [self._numbers.pop(id_) for id_ in ids if id_ in self._numbers]
            if gone:
                self._codes.remove_ids(np.asarray(gone, dtype=np.int64))

    def nearest(self, vector: Sequence[float], limit: int) -> list[tuple[str, float]]:
        """Return (id, cosine similarity in [-1, 1]) of the nearest vectors, nearest first."""
        import faiss

        with self._lock:
            if self._few:
                return self._few.nearest(vector, limit)
            wanted = min(RESCORED * limit, self.count())
            probed = max(PROBED, -(-self._codes.nlist * wanted // max(1, self.count())))
            parameters = faiss.SearchParametersIVF()
            parameters.nprobe = min(probed, self._codes.nlist)
            query = unit(np.asarray([vector], dtype=np.float32))
            _, numbers = self._codes.search(query, wanted, params=parameters)
            found = self._originals([self._names[number] for number in numbers[0].tolist() if number >= 0])
        matrix = unit(np.stack(list(found.values()))) if found else np.empty((0, 1), dtype=np.float32)
        return ranked(list(found), matrix, vector, limit)

    def save(self) -> None:
        """Write the codes, or the vectors while they are few."""
        import faiss

        with self._lock:
            if self._few:
                self._few.save()
                return
            faiss.write_index(self._codes, str(self._directory / INDEX))
            names = {"trained_on": self._trained_on, "numbers": self._numbers}
            (self._directory / NAMES).write_text(json.dumps(names))
            for name in (VECTORS, IDS):  # from when they were few
                (self._directory / name).unlink(missing_ok=True)

    def _load(self) -> None:
        import faiss

        try:
            names = json.loads((self._directory / NAMES).read_text())
            self._codes = faiss.read_index(str(self._directory / INDEX))
            if self._codes.ntotal != len(names["numbers"]):
                raise ValueError(f"{len(names['numbers'])} ids for {self._codes.ntotal} codes")
        except (OSError, ValueError, KeyError, RuntimeError) as error:  # RuntimeError: what faiss raises
            reason = f"the PQ index can't be opened ({one_line(error)})"
            raise StoreError(self._directory, reason, "run: python main.py doctor --repair") from error
        self._numbers, self._trained_on, self._few = names["numbers"], names["trained_on"], None
        self._names = [""] * (max(self._numbers.values(), default=-1) + 1)
        for id_, number in self._numbers.items():
            self._names[number] = id_

    def _train(self) -> None:
        """Learn centroids and codes from a sample of the original vectors, then code all of them anew."""
        import faiss

        ids = sorted(self.ids())
        lists = int(2 * len(ids) ** 0.5)
        picked = np.random.default_rng(0).choice(len(ids), min(len(ids), max(LEAST, PER_LIST * lists)), replace=False)
        sample = unit(np.stack(list(self._originals([ids[at] for at in sorted(picked)]).values())))
        size = sample.shape[1]
        parts = next(parts for parts in range(max(1, size // DIMENSIONS), 0, -1) if size % parts == 0)
        codes = faiss.IndexIVFPQ(faiss.IndexFlatL2(size), size, lists, parts, 8)
        codes.pq.cp.niter, codes.pq.cp.max_points_per_centroid = ROUNDS, PER_LIST
        codes.train(sample)
        self._codes, self._few, self._trained_on = codes, None, len(ids)
        self._numbers, self._names = {}, []
        for part in batches(ids):
            found = self._originals(part)
            self._add(list(found), unit(np.stack(list(found.values()))))

    def _add(self, ids: Sequence[str], vectors: np.ndarray) -> None:
        numbers = range(len(self._names), len(self._names) + len(ids))
        self._numbers |= zip(ids, numbers, strict=True)
        self._names += ids
        self._codes.add_with_ids(vectors, np.asarray(numbers, dtype=np.int64))
