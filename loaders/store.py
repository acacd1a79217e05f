"""A generation's directory comes in; a healthy Store, the catalog and its vector index as one, goes out."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from langchain_core.documents import Document

from loaders.catalog import PLACE, Catalog
from loaders.changes import Changes, rebuild_keywords
from loaders.filters import Allowed, Filter, resolve
from loaders.indexes import DEFAULT, FOLDERS, VectorIndex, open_vectors
from loaders.kept_answers import forget
from loaders.nearest import Hits, nearest_allowed
from loaders.pointer import CATALOG

INDEX = "index"  # the catalog's note of the vector index's directory
# The catalog's notes of its last change, and of the last one that the index holds too; after a crash the two differ.
CHANGE, IN_INDEX = "change", "change_in_index"
TIDIED = "change_tidied"  # the last change after which unused vectors were looked for
FILTERS = 8  # whose results are kept for the next question
Vectors = dict[str, np.ndarray]  # chunk id → float32 vector
Edit = Callable[[Changes], Vectors]  # writes to the catalog, says what that changed; returns the vectors of what is new


class Store:
    """Join the catalog and the vector index of one generation; chunks are named by their ids in both."""

    def __init__(self, directory: Path, *, kind: str = "", rebuild: bool = False) -> None:
        """Open the generation in `directory`; fill a new index where the last writer was interrupted.

        `kind` is that of the vector index (loaders.indexes): another than there was is filled too; without it, any
        will do. With `rebuild`, make it and the keyword index anew from the catalog in any case, embedding nothing.
        """
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.catalog = Catalog(directory / CATALOG)
        self._behind = ThreadPoolExecutor(1, thread_name_prefix="index")
        self._writing: Future[None] | None = None
        self._change = self._in_index = int(self.catalog.read_meta(CHANGE) or 0)
        if rebuild:
            with self.catalog.transaction():
                rebuild_keywords(self.catalog)
        self._opening = threading.Lock()
        self._vectors: VectorIndex | None = None
        self._allowed: dict[tuple[Filter, int], Allowed | None] = {}
        if rebuild or not is_sound(self.catalog, directory, kind):
            self._vectors = self._filled_index(kind)

    @property
    def vectors(self) -> VectorIndex:
        """Return the vector index, opened when it is first asked for: listing documents needs none."""
        with self._opening:
            if self._vectors is None:
                self._vectors = open_vectors(self.directory / self.catalog.read_meta(INDEX), self.catalog.vectors_of)
            return self._vectors

    def close(self) -> None:
        """Let go of the files."""
        self._behind.shutdown()
        if self._vectors:
            self._vectors.close()
        self.catalog.close()

    @contextmanager
    def changing(self) -> Iterator[Callable[[Edit], None]]:
        """Yield a function that applies an edit: to the catalog in one transaction, to the index in the background.

        The index has caught up when the block ends; whoever opens the store after a crash inside it rebuilds it.
        """
        try:
            yield self._apply
        finally:
            self._wait()
            if self._in_index == self._change and self.catalog.read_meta(IN_INDEX) != str(self._change):
                self.vectors.save()
                self.catalog.write_meta(IN_INDEX, str(self._change))

    def _apply(self, edit: Edit) -> None:
        changes = Changes()
        with self.catalog.transaction():
            vectors = edit(changes)
            forget(self.directory)
            self.catalog.write_meta(CHANGE, str(self._change + 1))
            self._change += 1
        self._wait()
        self._writing = self._behind.submit(self._follow, sorted(changes.gone), vectors, self._change)

    def _follow(self, gone: list[str], vectors: Vectors, change: int) -> None:
        self.vectors.delete(gone)
        if vectors:
            self.vectors.upsert(list(vectors), np.stack(list(vectors.values())))
        self._in_index = change

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

    def _filled_index(self, kind: str) -> VectorIndex:
        forget(self.directory)  # an approximate index may find other neighbours
        folder, _, number = self.catalog.read_meta(INDEX).partition("-")
        folder = FOLDERS[kind] if kind else folder or FOLDERS[DEFAULT]
        name = f"{folder}-{int(number or 0) + 1:04d}"  # Chroma 1.5.9 can't reuse a path in one process
        shutil.rmtree(self.directory / name, ignore_errors=True)
        index = open_vectors(self.directory / name, self.catalog.vectors_of)
        for ids, vectors in self.catalog.stream_vectors():
            index.upsert(ids, vectors)
        index.save()
        with self.catalog.transaction():
            self.catalog.write_meta(INDEX, name)
            self.catalog.write_meta(IN_INDEX, str(self._change))
        for path in (path for folder in FOLDERS.values() for path in self.directory.glob(f"{folder}-*")):
            if path.name != name:
                shutil.rmtree(path, ignore_errors=True)
        return index

    def allowed(self, where: Filter | None) -> Allowed | None:
        """Return what a filter allows of the catalog as it is now; None without one, or if that is everything."""
        if where is None:
            return None
        key = (where, self.catalog.connection.total_changes)  # nobody else writes while this store is open
        with self._opening:
            if key not in self._allowed:
                while len(self._allowed) >= FILTERS:
                    del self._allowed[next(iter(self._allowed))]
                self._allowed[key] = resolve(self.catalog, where)
            return self._allowed[key]

    def dense(self, vector: list[float], limit: int, where: Filter | None = None) -> Hits:
        """Return (chunk id, cosine similarity) of the chunks nearest to a query's vector, among those allowed."""
        allowed = self.allowed(where)
        return nearest_allowed(self.catalog, self.vectors, allowed, vector, limit)

    def keyword(self, query: str, limit: int, where: Filter | None = None) -> Hits:
        """Return (chunk id, BM25 score) of the chunks that hold the query's words, among those allowed."""
        allowed = self.allowed(where)
        hits = self.catalog.search_keywords(query, limit, allowed.rows if allowed else None)
        return [(allowed.shown[id_], score) for id_, score in hits] if allowed else hits

    def prospect(self, query: str) -> tuple[float, float]:
        """Return the highest BM25 score that a query can have, and the share of it in words that any chunk holds."""
        return self.catalog.prospect(query)

    def dictionary(self) -> dict[str, int]:
        """Return each word of the searched chunks, as it is spelt in lower case, with the number that hold it."""
        return self.catalog.dictionary()

    def spelt(self, words: Sequence[str]) -> set[str]:
        """Return those of the words, in lower case, that the searched chunks hold."""
        sql = "SELECT word FROM spellings WHERE word IN (SELECT value FROM json_each(?))"
        return {word for (word,) in self.catalog.rows(sql, [json.dumps(list(words))])}

    def vectors_of(self, ids: list[str]) -> np.ndarray:
        """Return the unit vectors of these chunks, a row each."""
        return np.stack(list(self.catalog.vectors_of(ids).values()))

    def chunks(self, ids: list[str], where: Filter | None = None) -> list[Document]:
        """Return the chunks with these ids; other sources that hold the same text are named if they are allowed."""
        allowed = self.allowed(where)
        return self.catalog.chunks(ids, allowed.sources if allowed else None)

    def section_of(self, id_: str, reach: int) -> list[Document]:
        """Return the chunks of a chunk's page and section, up to `reach` places before and after it, itself included.

        They are in the order of the text; repeated ones are among them. Metadata: the place.
        """
        columns = ", ".join(f"k.{column}" for column in PLACE)
        rows = self.catalog.rows(
            f"SELECT k.id, k.text, {columns} FROM chunks c JOIN chunks k ON k.source = c.source"  # noqa: S608
            " AND k.position BETWEEN c.position - ? AND c.position + ? AND k.page IS c.page AND k.section = c.section"
            " WHERE c.id = ? ORDER BY k.position",
            (reach, reach, id_),
        )
        return [
            Document(id=row[0], page_content=row[1], metadata=dict(zip(PLACE, row[2:], strict=True))) for row in rows
        ]


def needs_repair(directory: Path, kind: str) -> bool:
    """Tell whether opening the generation would write to it: an interrupted writer, a lost index, or another kind."""
    catalog = Catalog(directory / CATALOG)
    try:
        return not is_sound(catalog, directory, kind)
    finally:
        catalog.close()


def is_sound(catalog: Catalog, directory: Path, kind: str) -> bool:
    """Tell whether an index of this kind holds what the catalog holds, as far as the catalog's notes tell."""
    index = catalog.read_meta(INDEX)
    same = catalog.read_meta(CHANGE) == catalog.read_meta(IN_INDEX)
    right = not kind or index.startswith(f"{FOLDERS[kind]}-")
    return bool(index) and same and right and (directory / index).is_dir()
