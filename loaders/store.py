"""An index directory comes in; a locked, healthy Store that can be searched (and, when asked for, changed) goes out.

store/
  lock              held by every process that uses the index: shared to search, alone to change it
  CURRENT           the name of the generation in use
  0001/             a generation: all that one embedder made
    catalog.sqlite    sources, chunks, vectors, keywords: the truth
    chroma-0001/      Chroma, derived from it
"""

import errno
import fcntl
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from langchain_core.documents import Document

from errors import StoreError, StoreLocked, StoreMismatch
from loaders.catalog import Catalog
from loaders.embeddings import EmbedderIdentity
from loaders.vectorstore import VectorIndex

CURRENT = "CURRENT"
SPACE = "make room on the disk or set RAG_STORE to another one, then run the command again: nothing indexed is lost"
EMBEDDER, CHROMA, CLEAN = "embedder", "chroma", "chroma_clean"


class Store:
    """Join the catalog and the Chroma collection of one generation; chunks are named by their ids in both."""

    def __init__(self, directory: Path) -> None:
        """Open the generation in `directory`; rebuild Chroma from the catalog where its last writer was interrupted."""
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.catalog = Catalog(directory / "catalog.sqlite")
        name = self.catalog.read_meta(CHROMA)
        if not name or self.catalog.read_meta(CLEAN) != "yes" or not (directory / name).is_dir():
            name = self._rebuild(name)
        self.vectors = VectorIndex(directory / name)

    def _rebuild(self, old: str) -> str:
        """Fill a new Chroma directory from the catalog's vectors, embedding nothing; return its name."""
        name = f"chroma-{int(old.partition('-')[2] or 0) + 1:04d}"  # Chroma 1.5.9 can't reuse a path in one process
        shutil.rmtree(self.directory / name, ignore_errors=True)
        index = VectorIndex(self.directory / name)
        for ids, vectors in self.catalog.stream_vectors():
            index.upsert(ids, vectors)
        index.close()
        self.catalog.write_meta(CHROMA, name)
        self.catalog.write_meta(CLEAN, "yes")
        for path in self.directory.glob("chroma-*"):
            if path.name != name:
                shutil.rmtree(path, ignore_errors=True)
        return name

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Mark Chroma as unfinished while it is written: whoever opens the store after a crash rebuilds it."""
        self.catalog.write_meta(CLEAN, "no")
        yield
        self.catalog.write_meta(CLEAN, "yes")

    def close(self) -> None:
        """Let go of the files."""
        self.vectors.close()
        self.catalog.close()

    def dense(self, vector: list[float], limit: int) -> list[tuple[str, float]]:
        """Return (chunk id, cosine similarity) of the chunks nearest to a query's vector."""
        return self.vectors.nearest(vector, limit)

    def keyword(self, query: str, limit: int) -> list[tuple[str, float]]:
        """Return (chunk id, BM25 score) of the chunks that hold the query's words."""
        return self.catalog.search_keywords(query, limit)

    def chunks(self, ids: list[str]) -> list[Document]:
        """Return the chunks with these ids."""
        return self.catalog.chunks(ids)

    def damage(self) -> list[str]:
        """Compare Chroma with the catalog; return one line for each thing that is wrong."""
        wanted, held = set(self.catalog.chunk_ids()), self.vectors.ids()
        lines = []
        if missing := len(wanted - held):
            lines.append(f"{missing} of {len(wanted)} chunks are missing from Chroma")
        if stray := len(held - wanted):
            lines.append(f"{stray} vectors in Chroma belong to no chunk")
        lost = tried = 0
        for ids, vectors in self.catalog.stream_vectors():
            for at in range(0, len(ids), max(1, len(wanted) // 64)):  # about 64 canaries over the whole index
                tried += 1
                near = self.vectors.nearest(vectors[at].tolist(), 1)
                lost += not near or float(near[0][1]) < 0.999  # an equal text elsewhere is as good
        if lost:
            lines.append(f"{lost} of {tried} stored vectors do not find themselves")
        return lines


@contextmanager
def open_store(directory: Path, embedder: EmbedderIdentity, *, write: bool = False) -> Iterator[Store]:
    """Open the index in `directory` under a lock.

    Raise StoreError when there is none to read or its files can't be used, StoreLocked when another process changes it,
    StoreMismatch when another embedder built it.
    """
    if not write and not (directory / CURRENT).is_file():
        raise StoreError(directory, "there is no index here", "run: python main.py ingest PATH")
    name = current_generation(directory)
    with _locked(directory, exclusive=write or not _is_clean(directory / name)), _errors_of(directory):
        store = Store(directory / name)
        try:
            built_by = store.catalog.read_meta(EMBEDDER)
            if not built_by:
                store.catalog.write_meta(EMBEDDER, embedder.as_json())
            elif built_by != embedder.as_json():
                raise StoreMismatch(
                    directory,
                    f"it was built by another embedder ({built_by})",
                    f"set it back, or re-embed everything with {embedder.name}: python main.py ingest --rebuild PATH",
                )
            if write:
                _switch(directory, name)
            yield store
        finally:
            store.close()


@contextmanager
def open_new_generation(directory: Path, embedder: EmbedderIdentity) -> Iterator[Store]:
    """Open an empty index beside the present one; it takes the other's place when the block ends without an error."""
    with _locked(directory, exclusive=True), _errors_of(directory):
        old = current_generation(directory)
        name = f"{int(old) + 1:04d}"
        shutil.rmtree(directory / name, ignore_errors=True)  # what an interrupted rebuild left
        store = Store(directory / name)
        try:
            store.catalog.write_meta(EMBEDDER, embedder.as_json())
            yield store
        finally:
            store.close()
        _switch(directory, name)
        shutil.rmtree(directory / old, ignore_errors=True)


def current_generation(directory: Path) -> str:
    """Return the name of the generation in use, 0001 in a new directory."""
    pointer = directory / CURRENT
    return pointer.read_text().strip() if pointer.is_file() else "0001"


def recorded_backend(directory: Path) -> str:
    """Return which form of the embedder built the index in `directory`; an empty string where there is no index."""
    if not (directory / CURRENT).is_file():
        return ""
    with _errors_of(directory):
        catalog = Catalog(directory / current_generation(directory) / "catalog.sqlite")
        try:
            built_by = catalog.read_meta(EMBEDDER)
        finally:
            catalog.close()
    return str(json.loads(built_by).get("backend", "torch")) if built_by else ""


def _is_clean(generation: Path) -> bool:
    """Tell whether the generation's last writer came to its end."""
    with _errors_of(generation):
        catalog = Catalog(generation / "catalog.sqlite")
        try:
            return catalog.read_meta(CLEAN) == "yes"
        finally:
            catalog.close()


def _switch(directory: Path, name: str) -> None:
    draft = directory / f"{CURRENT}.new"
    draft.write_text(name)
    draft.replace(directory / CURRENT)


@contextmanager
def _locked(directory: Path, *, exclusive: bool) -> Iterator[None]:
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)  # vectors give away their text
        with (directory / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreLocked(
                    directory, "another process is using this index", "try again when it is done"
                ) from None
            yield
    except PermissionError as error:
        raise StoreError(directory, f"no permission ({error.strerror})", "set RAG_STORE to a folder of yours") from None


@contextmanager
def _errors_of(directory: Path) -> Iterator[None]:
    """Turn what SQLite and a full disk raise into one line; what was stored before is safe in the catalog."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise StoreError(directory, f"the catalog can't be used ({error})", SPACE) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS):
            raise
        raise StoreError(directory, f"it can't be written ({error.strerror})", SPACE) from error
