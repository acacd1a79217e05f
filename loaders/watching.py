"""Files and folders to watch come in; the paths that changed, once they have come to rest, go out.

The kernel's events only say when to look: what changed is found by comparing two looks at the same files that
`find_files` would index. So a lost event costs time and never a change, and ignored files count for nothing.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from errors import DocumentError
from loaders.files import IGNORE_FILE, absolute, find_files

if TYPE_CHECKING:
    from watchfiles import Change

RETRY_TICKS = 60  # times `quiet` until the kernel is asked again to watch what it would not
Look = dict[Path, object]  # a path → whatever differs when it has changed


def watch(
    paths: Sequence[Path],
    *,
    stop: threading.Event | None = None,
    quiet_ms: int = 500,
    sweep_ms: int = 30_000,
) -> Iterator[set[Path]]:
    """Yield the files that were added, changed or deleted, each once it has been at rest for `quiet_ms`, until `stop`.

    The first look is taken at once, before the first set is asked for: nothing that happens in between is missed.
    Every `sweep_ms` there is a look without an event, for drives of which the kernel tells nothing. A watched path
    that can't be read, or is not there, is itself yielded when that begins and when it ends; its files are
    not taken for deleted.
    """
    roots = [absolute(path) for path in paths]
    return _changes(roots, _look(roots, {}), stop or threading.Event(), quiet_ms / 1000, sweep_ms / 1000)


def _changes(roots: list[Path], told: Look, stop: threading.Event, quiet: float, sweep: float) -> Iterator[set[Path]]:
    resting: dict[Path, tuple[object, float]] = {}  # changed path → how it was seen, and since when
    stirred, due, free = False, 0.0, 0.0
    for woken in _wakes(roots, stop, quiet):
        now = time.monotonic()
        stirred |= woken
        if now < free or not (stirred or resting or now >= due):
            continue
        seen = _look(roots, told)
        stirred, due = False, now + sweep
        free = 3 * time.monotonic() - 2 * now  # looking at many files takes a third of the time at most
        changed = [path for path in told.keys() | seen.keys() if told.get(path) != seen.get(path)]
        resting = {path: _since(resting.get(path), seen.get(path), now) for path in changed}
        ready = {path for path, (_, since) in resting.items() if now - since >= quiet}
        if ready:
            told = {path: how for path in seen | told if (how := (seen if path in ready else told).get(path))}
            resting = {path: rest for path, rest in resting.items() if path not in ready}
            yield ready


def _since(before: tuple[object, float] | None, how: object, now: float) -> tuple[object, float]:
    """Return how a path is and since when: as long as before if it is still the same."""
    return before if before and before[0] == how else (how, now)


def _look(roots: list[Path], before: Look) -> Look:
    """Return the state of every file; of a root that can't be read, the earlier state and why."""
    seen: Look = {}
    for root in roots:
        try:
            for path in find_files(root):
                if how := _how(path):
                    seen[path] = how
        except DocumentError as error:
            seen |= {path: how for path, how in before.items() if path.is_relative_to(root)} | {root: error.reason}
    return seen


def _how(path: Path) -> tuple[int, ...]:
    """Return what tells one state of a file from another; () if it has just vanished."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_size, found.st_mtime_ns, found.st_ino


def _wakes(roots: list[Path], stop: threading.Event, quiet: float) -> Iterator[bool]:
    """Yield about every `quiet` seconds until `stop`, True when the kernel told of something that may count."""
    from watchfiles import watch as events

    while not stop.is_set():
        there = {root: _identity(root) for root in roots}
        found = events(
            *[root for root, identity in there.items() if identity],
            watch_filter=None,
            debounce=max(1, round(quiet * 1000)),
            rust_timeout=max(1, round(quiet * 1000)),  # 0 would be: never
            yield_on_timeout=True,
            stop_event=stop,
            ignore_permission_denied=True,
        )
        with closing(found):
            yield from _until_replaced(found, there)
        for _ in range(RETRY_TICKS if _same(there) else 0):
            if not stop.wait(quiet):
                yield False


def _until_replaced(found: Iterable[set["tuple[Change, str]"]], there: Mapping[Path, object]) -> Iterator[bool]:
    """Yield as _wakes does, for as long as the roots are those that the kernel watches."""
    fresh = True  # what happened before the kernel began to watch, it does not tell
    try:
        for changes in found:
            yield fresh or any(_may_count(Path(name), there) for _, name in changes)
            fresh = False
            if not _same(there):
                return
    except OSError:  # more folders than the kernel will watch, or one has just gone: the sweeps see what happens
        return


def _same(there: Mapping[Path, object]) -> bool:
    return all(_identity(root) == identity for root, identity in there.items())


def _identity(root: Path) -> tuple[int, int] | None:
    try:
        found = root.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _may_count(path: Path, roots: Iterable[Path]) -> bool:
    """Say whether a path can be one that `find_files` yields, or decide about one."""
    inside = [path.relative_to(root).parts for root in roots if path.is_relative_to(root)]
    shown = [not any(part.startswith(".") and part != IGNORE_FILE for part in parts) for parts in inside]
    return any(shown) or not inside  # macOS tells of /tmp as /private/tmp
