"""An index directory comes in; its Store, locked and of the right embedder, goes out.

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
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from errors import StoreError, StoreLocked, StoreMismatch
from loaders.catalog import Catalog
from loaders.embeddings import EmbedderIdentity
from loaders.store import CATALOG, Store, needs_repair

CURRENT = "CURRENT"
EMBEDDER = "embedder"  # the catalog's note of what made its vectors
FIRST = "0001"
ROOM = "make room on the disk or set RAG_STORE to another one, then run the command again: nothing indexed is lost"
REBUILD = "build it anew: python main.py ingest --rebuild PATH"


@contextmanager
def open_store(directory: Path, embedder: EmbedderIdentity, *, write: bool = False) -> Iterator[Store]:
    """Open the index in `directory` under a lock.

    Raise StoreError when there is none to read or its files can't be used, StoreLocked when another process changes it,
    StoreMismatch when another embedder built it.
    """
    if not write and not (directory / CURRENT).is_file():
        raise StoreError(directory, "there is no index here", "run: python main.py ingest PATH")
    with _locked(directory, exclusive=write) as lock, _errors_of(directory):
        name = _current(directory)
        if not write and needs_repair(directory / name):
            _take(lock, directory, exclusive=True)
            name = _current(directory)
        store = Store(directory / name)
        if not write:
            _take(lock, directory, exclusive=False)  # the repair is done: other readers may come in
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
        old = [path for path in directory.iterdir() if path.name.isdigit()]
        name = f"{max([int(path.name) for path in old], default=0) + 1:04d}"
        store = Store(directory / name)
        try:
            store.catalog.write_meta(EMBEDDER, embedder.as_json())
            yield store
        except BaseException:
            store.close()
            shutil.rmtree(directory / name, ignore_errors=True)
            raise
        store.close()
        _switch(directory, name)
        for path in old:
            shutil.rmtree(path, ignore_errors=True)


def recorded_backend(directory: Path) -> str:
    """Return which form of the embedder built the index in `directory`; an empty string where there is no index."""
    if not (directory / CURRENT).is_file():
        return ""
    with _errors_of(directory):
        catalog = Catalog(directory / _current(directory) / CATALOG)
        try:
            built_by = catalog.read_meta(EMBEDDER)
        finally:
            catalog.close()
    return str(json.loads(built_by).get("backend", "torch")) if built_by else ""


def _current(directory: Path) -> str:
    """Return the name of the generation in use, the first one's in a new directory."""
    pointer = directory / CURRENT
    if not pointer.is_file():
        return FIRST
    name = pointer.read_text(errors="replace").strip()
    if not re.fullmatch(r"\d{4,}", name) or not (directory / name / CATALOG).is_file():
        raise StoreError(pointer, f"it names no generation ({name[:40]!r}), or one without its catalog", REBUILD)
    return name


def _switch(directory: Path, name: str) -> None:
    """Make `name` the generation in use, at once and for good."""
    draft = directory / f"{CURRENT}.new"
    with draft.open("w") as stream:
        stream.write(name)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(directory / CURRENT)


@contextmanager
def _locked(directory: Path, *, exclusive: bool) -> Iterator[TextIO]:
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)  # vectors give away their text
        lock = (directory / "lock").open("a+")
    except OSError as error:
        reason = f"no index can be kept here ({error.strerror})"
        raise StoreError(directory, reason, "set RAG_STORE to a folder of yours with room in it") from None
    with lock:
        _take(lock, directory, exclusive=exclusive)
        yield lock


def _take(lock: TextIO, directory: Path, *, exclusive: bool) -> None:
    try:
        fcntl.flock(lock, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StoreLocked(directory, "another process is using this index", "try again when it is done") from None


@contextmanager
def _errors_of(directory: Path) -> Iterator[None]:
    """Turn what SQLite and a full disk raise into one line; what was stored before is safe in the catalog."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        remedy = ROOM if re.search("full|I/O", str(error)) else REBUILD
        raise StoreError(directory, f"the catalog can't be used ({error})", remedy) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS):
            raise
        raise StoreError(directory, f"it can't be written ({error.strerror})", ROOM) from error
