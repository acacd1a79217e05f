"""A generation's directory comes in; a healthy Store, the catalog and Chroma as one, goes out."""

import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from langchain_core.documents import Document

from loaders.catalog import Catalog
from loaders.changes import Changes, rebuild_keywords
from loaders.vectorstore import VectorIndex

CATALOG = "catalog.sqlite"
CHROMA = "chroma"  # the catalog's note of Chroma's directory
# The catalog's notes of its last change, and of the last one that Chroma holds too; after a crash the two differ.
CHANGE, IN_CHROMA = "change", "change_in_chroma"
TIDIED = "change_tidied"  # the last change after which unused vectors were looked for
Vectors = dict[str, np.ndarray]  # chunk id → float32 vector
Edit = Callable[[Changes], Vectors]  # writes to the catalog, says what that changed; returns the vectors of what is new


class Store:
    """Join the catalog and the Chroma collection of one generation; chunks are named by their ids in both."""

    def __init__(self, directory: Path, *, rebuild: bool = False) -> None:
        """Open the generation in `directory`; fill a new Chroma where the last writer was interrupted.

        With `rebuild`, make Chroma and the keyword index anew from the catalog in any case, embedding nothing.
        """
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.catalog = Catalog(directory / CATALOG)
        self._behind = ThreadPoolExecutor(1, thread_name_prefix="chroma")
        self._writing: Future[None] | None = None
        self._change = self._in_chroma = int(self.catalog.read_meta(CHANGE) or 0)
        if rebuild:
            with self.catalog.transaction():
                rebuild_keywords(self.catalog)
        self._opening = threading.Lock()
        self._vectors: VectorIndex | None = None
        if rebuild or not is_sound(self.catalog, directory):
            self._vectors = self._filled_index()

    @property
    def vectors(self) -> VectorIndex:
        """Return Chroma's collection, opened when it is first asked for: listing documents needs none."""
        with self._opening:
            if self._vectors is None:
                self._vectors = VectorIndex(self.directory / self.catalog.read_meta(CHROMA))
            return self._vectors

    def close(self) -> None:
        """Let go of the files."""
        self._behind.shutdown()
        if self._vectors:
            self._vectors.close()
        self.catalog.close()

    @contextmanager
    def changing(self) -> Iterator[Callable[[Edit], None]]:
        """Yield a function that applies an edit: the catalog first, in one transaction, then Chroma, in the background.

        Chroma has caught up when the block ends; whoever opens the store after a crash inside it rebuilds Chroma.
        """
        try:
            yield self._apply
        finally:
            self._wait()
            if self._in_chroma == self._change:
                self.catalog.write_meta(IN_CHROMA, str(self._change))

    def _apply(self, edit: Edit) -> None:
        changes = Changes()
        with self.catalog.transaction():
            vectors = edit(changes)
            self.catalog.write_meta(CHANGE, str(self._change + 1))
            self._change += 1
        self._wait()
        self._writing = self._behind.submit(self._follow, sorted(changes.gone), vectors, self._change)

    def _follow(self, gone: list[str], vectors: Vectors, change: int) -> None:
        self.vectors.delete(gone)
        if vectors:
            self.vectors.upsert(list(vectors), np.stack(list(vectors.values())))
        self._in_chroma = change

    def _wait(self) -> None:
        writing, self._writing = self._writing, None
        if writing:
            writing.result()

    def forget_unused_vectors(self, after_days: float) -> None:
        """Delete the vectors of text that no source has held for so long; looks for them only after a change."""
        with self.catalog.transaction():
            if self.catalog.read_meta(TIDIED) != str(self._change):
                self.catalog.mark_unused_vectors()
                self.catalog.write_meta(TIDIED, str(self._change))
            self.catalog.forget_vectors(after_days)

    def _filled_index(self) -> VectorIndex:
        old = self.catalog.read_meta(CHROMA)
        name = f"chroma-{int(old.partition('-')[2] or 0) + 1:04d}"  # Chroma 1.5.9 can't reuse a path in one process
        shutil.rmtree(self.directory / name, ignore_errors=True)
        index = VectorIndex(self.directory / name)
        for ids, vectors in self.catalog.stream_vectors():
            index.upsert(ids, vectors)
        with self.catalog.transaction():
            self.catalog.write_meta(CHROMA, name)
            self.catalog.write_meta(IN_CHROMA, str(self._change))
        for path in self.directory.glob("chroma-*"):
            if path.name != name:
                shutil.rmtree(path, ignore_errors=True)
        return index

    def dense(self, vector: list[float], limit: int) -> list[tuple[str, float]]:
        """Return (chunk id, cosine similarity) of the chunks nearest to a query's vector."""
        return self.vectors.nearest(vector, limit)

    def keyword(self, query: str, limit: int) -> list[tuple[str, float]]:
        """Return (chunk id, BM25 score) of the chunks that hold the query's words."""
        return self.catalog.search_keywords(query, limit)

    def dictionary(self) -> dict[str, int]:
        """Return each word of the searched chunks, as it is spelt in lower case, with the number that hold it."""
        return self.catalog.dictionary()

    def chunks(self, ids: list[str]) -> list[Document]:
        """Return the chunks with these ids."""
        return self.catalog.chunks(ids)


def needs_repair(directory: Path) -> bool:
    """Tell whether opening the generation would write to it: its last writer was interrupted, or Chroma is gone."""
    catalog = Catalog(directory / CATALOG)
    try:
        return not is_sound(catalog, directory)
    finally:
        catalog.close()


def is_sound(catalog: Catalog, directory: Path) -> bool:
    """Tell whether Chroma holds what the catalog holds, as far as the catalog's notes tell."""
    chroma = catalog.read_meta(CHROMA)
    same = catalog.read_meta(CHANGE) == catalog.read_meta(IN_CHROMA)
    return bool(chroma) and same and (directory / chroma).is_dir()
