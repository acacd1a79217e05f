"""An index directory comes in; its Store, locked and of the right kind, goes out.

store/
  lock              held by whoever changes the index
  CURRENT           the name of the generation in use
  secret            by which the model's passages are fenced (chains/fences.py)
  0001/             a generation: all that one embedder and one way of cutting made
    lock              held by every process that uses it: shared to search, alone to change it
    catalog.sqlite    sources, chunks, vectors, keywords: the truth
    chroma-0001/      the vector index, derived from it: Chroma, or exact-0001/ or pq-0001/
    answers.sqlite    answers to be given again, until the catalog changes
  0002/             another one: under construction, or kept for `documents rollback`
"""

import errno
import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from errors import StoreError, StoreMismatch
from loaders.catalog import Catalog
from loaders.embeddings import EmbedderIdentity
from loaders.locks import open_lock, take, try_to_take
from loaders.pointer import CATALOG, CURRENT, REBUILD, current, switch
from loaders.store import Store, needs_repair

EMBEDDER, CUTTING = "embedder", "cutting"  # the catalog's notes of what made its vectors, and its chunks
FIRST = "0001"
WAIT = 10.0  # seconds that a process waits for another one to be done
ROOM = "make room on the disk or set RAG_STORE to another one, then run the command again: nothing indexed is lost"


@contextmanager
def open_store(
    directory: Path,
    embedder: EmbedderIdentity | None = None,
    *,
    write: bool = False,
    kind: str = "",
    rebuild: bool = False,
    wait: float = WAIT,
) -> Iterator[Store]:
    """Open the generation in use, waiting up to `wait` seconds for whoever holds it.

    Raise StoreError when there is none to read or its files can't be used, StoreLocked when another process goes on
    using it, StoreMismatch when another embedder built it; without `embedder`, any will do. A vector index of another
    `kind` (loaders.indexes) is made anew from the catalog, and with `rebuild` all that is derived from it.
    """
    if not write and current(directory) is None:
        raise StoreError(directory, "there is no index here", "run: python main.py ingest PATH")
    with (
        _writing(directory, wait if write else None),
        _errors_of(directory),
        _generation(directory, wait, write=write, kind=kind) as name,
    ):
        store = Store(directory / name, kind=kind, rebuild=rebuild)
        try:
            if embedder:
                check_embedder(directory, embedder)
                if not store.catalog.read_meta(EMBEDDER):
                    store.catalog.write_meta(EMBEDDER, embedder.as_json())
            if write and not (directory / CURRENT).is_file():
                switch(directory, name)
            yield store
        finally:
            store.close()


@contextmanager
def open_new_generation(
    directory: Path, embedder: EmbedderIdentity, *, kind: str = "", wait: float = WAIT
) -> Iterator[tuple[Store, Catalog | None]]:
    """Open an empty index beside the one in use, which goes on answering; give that one's catalog with it.

    When the block ends without an error the new one takes its place, and the old one is kept for a rollback.
    """
    with _writing(directory, wait), _errors_of(directory):
        before, names = _usable(directory), generations(directory)
        name = f"{int(names[-1]) + 1:04d}" if names else FIRST
        store = Store(directory / name, kind=kind)
        old = Catalog(directory / before / CATALOG) if before else None
        try:
            store.catalog.write_meta(EMBEDDER, embedder.as_json())
            yield store, old
        except BaseException:
            store.close()
            shutil.rmtree(directory / name, ignore_errors=True)
            raise
        finally:
            if old:
                old.close()
        store.close()
        switch(directory, name)
        for unused in names:
            if unused != before:
                _delete_unused(directory / unused)


def use_earlier(directory: Path) -> str:
    """Make the generation before the one in use the one in use again, and return its name."""
    with _writing(directory, WAIT), _errors_of(directory):
        now = current(directory)
        earlier = [name for name in generations(directory) if now and name < now]
        if not earlier:
            raise StoreError(directory, "there is no earlier index to go back to", "ingest --rebuild makes a new one")
        switch(directory, earlier[-1])
        return earlier[-1]


def forget_earlier(directory: Path) -> None:
    """Delete every generation but the one in use: what was removed from that one must not come back."""
    with _writing(directory, WAIT):
        for name in generations(directory):
            if name != current(directory):
                _delete_unused(directory / name)


def generations(directory: Path) -> list[str]:
    """Return the names of all generations, oldest first."""
    return sorted(path.parent.name for path in directory.glob(f"*/{CATALOG}") if path.parent.name.isdigit())


def is_wanted(directory: Path) -> bool:
    """Tell whether a process is about to change the index, or makes a new generation beside the one in use."""
    with open_lock(directory) as lock:
        return not try_to_take(lock, exclusive=False)


def read_note(directory: Path, key: str) -> str:
    """Return what the catalog in use notes under EMBEDDER, CUTTING or another key; an empty string without an index."""
    with _errors_of(directory):
        name = current(directory)
        if name is None:
            return ""
        with closing(Catalog(directory / name / CATALOG)) as catalog:
            return catalog.read_meta(key)


def recorded_backend(directory: Path) -> str:
    """Return which form of the embedder built the index in `directory`; an empty string where there is no index."""
    built_by = read_note(directory, EMBEDDER)
    return str(json.loads(built_by).get("backend", "torch")) if built_by else ""


def check_embedder(directory: Path, embedder: EmbedderIdentity) -> None:
    """Raise StoreMismatch when another embedder built the index in use."""
    built_by = read_note(directory, EMBEDDER)
    if built_by not in ("", embedder.as_json()):
        raise StoreMismatch(
            directory,
            f"it was built by another embedder ({built_by})",
            f"set it back, or embed everything again with {embedder.name}: python main.py ingest --rebuild",
        )


@contextmanager
def _writing(directory: Path, wait: float | None) -> Iterator[None]:
    """Hold the index directory's lock, unless `wait` is None; make the directory where it is missing."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)  # vectors give away their text
    except OSError as error:
        reason = f"no index can be kept here ({error.strerror})"
        raise StoreError(directory, reason, "set RAG_STORE to a folder of yours with room in it") from None
    if wait is None:
        yield
        return
    with open_lock(directory) as lock:
        take(lock, directory, wait, exclusive=True)
        yield


@contextmanager
def _generation(directory: Path, wait: float, *, write: bool, kind: str) -> Iterator[str]:
    """Hold the lock of the generation in use, alone while it is repaired, and yield its name."""
    while True:
        name = current(directory) or FIRST
        (directory / name).mkdir(exist_ok=True)
        with open_lock(directory / name) as lock:
            take(lock, directory, wait, exclusive=write)
            if not write and needs_repair(directory / name, kind):
                take(lock, directory, wait, exclusive=True)
                Store(directory / name, kind=kind).close()
                take(lock, directory, wait, exclusive=False)
            if name == (current(directory) or FIRST):  # else it was switched while this process waited
                yield name
                return


def _usable(directory: Path) -> str | None:
    """Return the generation in use; None when there is none, or its catalog is too damaged or too old to be read."""
    try:
        name = current(directory)
        if name:
            with closing(Catalog(directory / name / CATALOG)) as catalog:
                catalog.read_meta(EMBEDDER)
    except (StoreError, sqlite3.DatabaseError):
        return None
    return name


def _delete_unused(folder: Path) -> None:
    """Delete a generation, unless a process that opened it before still reads it: the next rebuild will then."""
    with open_lock(folder) as lock:
        if try_to_take(lock, exclusive=True):
            shutil.rmtree(folder, ignore_errors=True)


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
