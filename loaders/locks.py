"""A folder comes in; its lock, shared with others or held alone, goes out."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from errors import StoreError, StoreLocked

LOCK = "lock"  # the file's name


@contextmanager
def open_lock(folder: Path) -> Iterator[TextIO]:
    """Open a folder's lock file; raise StoreError where that can't be."""
    try:
        lock = (folder / LOCK).open("a+")
    except OSError as error:
        reason = f"no index can be kept here ({error.strerror})"
        raise StoreError(folder, reason, "set RAG_STORE to a folder of yours with room in it") from None
    with lock:
        yield lock


def take(lock: TextIO, directory: Path, wait: float, *, exclusive: bool) -> None:
    """Take the lock within `wait` seconds, or raise StoreLocked that names the index directory."""
    until = time.monotonic() + wait
    while not try_to_take(lock, exclusive=exclusive):
        if time.monotonic() > until:
            raise StoreLocked(directory, "another process is using this index", "try again when it is done")
        time.sleep(0.05)


def try_to_take(lock: TextIO, *, exclusive: bool) -> bool:
    """Take the lock if it is free for that now; what was held of it before is lost where it is not."""
    try:
        fcntl.flock(lock, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
