"""Files come in; each goes out as chunks, or as the reason why there are none, made in a spawned worker with limits.

A file may be hostile: it is parsed in a process of its own that is bounded in memory and time and kept off the network.
"""

import multiprocessing.context
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

from langchain_core.documents import Document

from errors import DocumentError, FormatError
from loaders.cleaning import searchable
from loaders.documents import DEFAULT, load_documents, unread
from loaders.duplicates import exact_key, in_context, signature, signature_version
from loaders.entries import Drop, Entry
from loaders.fields import Fields, front_matter
from loaders.formats.reading import Reading
from loaders.furniture import drop_furniture
from loaders.languages import language_of
from loaders.noise import is_noise
from loaders.splitter import split_documents

AHEAD = 8  # files a worker may be ahead of the one that is waited for
TASKS = 500  # files after which a worker is replaced: parsers leak
VERSION = 2  # raise it when the same file would give other chunks


@dataclass(frozen=True)
class Cutting:
    """How files become chunks: sizes in the embedder's tokens, counted by `count_tokens`, which must be picklable."""

    count_tokens: Callable[[str], int]
    chunk_tokens: int
    overlap_tokens: int
    reading: Reading = DEFAULT

    @property
    def fingerprint(self) -> str:
        """Change whenever the same file would be cut otherwise."""
        return f"v{VERSION} {self.chunk_tokens}/{self.overlap_tokens} {signature_version()}"


@dataclass(frozen=True)
class Limits:
    """What one file may cost: seconds of wall and of CPU time, and megabytes of memory (on Linux)."""

    seconds: int = 60
    memory_mb: int = 2000


@dataclass(frozen=True)
class Parsed:
    """A file's chunks and what was dropped of it; or why it failed, or was skipped; note: what of it was not read.

    language and fields: by what filters may choose it.
    """

    entries: tuple[Entry, ...] = ()
    drops: tuple[Drop, ...] = ()
    failure: str = ""
    note: str = ""
    skipped: bool = False
    language: str = ""
    fields: Fields = field(default_factory=dict)


class Parser:
    """Parse files in spawned workers, which start at the begin of a with statement, or with the first file."""

    def __init__(self, cutting: Cutting, *, workers: int = 0, limits: Limits = Limits()) -> None:
        """Keep what the workers need; 0 workers means one a CPU."""
        self.cutting, self.limits = cutting, limits or Limits()
        self._workers = workers or os.cpu_count() or 1
        self._pool: Any = None

    def __enter__(self) -> "Parser":
        """Start the workers, so that they are there when the first file is, and return itself."""
        self._pool = self._open_pool()
        self._pool.schedule(os.getpid)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the workers."""
        self.close()

    def close(self) -> None:
        """Stop the workers, whatever they are doing."""
        if self._pool:
            self._pool.stop()
            self._pool.join()
            self._pool = None

    def parse_all(self, files: Sequence[tuple[str, Path]]) -> Iterator[Parsed]:
        """Yield what each (source, path) gives, in order; a few files are parsed ahead."""
        if files and not self._pool:
            self._pool = self._open_pool()
        queue = iter(files)
        ahead = deque(self._submit(*file) for file in islice(queue, AHEAD * self._workers))
        while ahead:
            yield self._result(ahead.popleft())
            ahead.extend(self._submit(*file) for file in islice(queue, 1))

    def _open_pool(self) -> Any:
        from pebble import ProcessPool

        return ProcessPool(
            max_workers=self._workers,
            max_tasks=TASKS,
            initializer=_start_worker,
            initargs=(self.cutting, self.limits),
            context=SpawnContext(),
        )

    def _submit(self, source: str, path: Path) -> Any:
        return self._pool.schedule(_parse_here, args=(source, path), timeout=self.limits.seconds)

    def _result(self, future: Any) -> Parsed:
        from pebble import ProcessExpired

        try:
            parsed: Parsed = future.result()
        except TimeoutError:
            return Parsed(failure=f"reading it took more than {self.limits.seconds} s: raise RAG_PARSE_SECONDS")
        except MemoryError:
            memory = f"{self.limits.memory_mb} MB of memory"
            return Parsed(failure=f"reading it took more than {memory}: raise RAG_PARSE_MEMORY")
        except ProcessExpired as error:
            return Parsed(failure=f"its reader crashed (exit code {error.exitcode}): repair the file or leave it out")
        return parsed


class SpawnedProcess(multiprocessing.context.SpawnProcess):
    """A process that does not run the program's main script again, as spawned ones do, to look for names in it.

    So a script without an `if __name__ == "__main__"` may index files, and a worker starts sooner.
    """

    @staticmethod
    def _Popen(process: Any) -> Any:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            return multiprocessing.context.SpawnProcess._Popen(process)
        finally:
            sys.modules["__main__"] = main


class SpawnContext(multiprocessing.context.SpawnContext):
    """Start SpawnedProcesses."""

    Process = SpawnedProcess


def parse(source: str, path: Path, cutting: Cutting) -> Parsed:
    """Read, clean and cut one file, in this process; `source` is the name under which it is indexed."""
    try:
        documents = load_documents(path, cutting.reading)
    except DocumentError as error:
        return Parsed(failure=f"{error.reason}: {error.remedy}", skipped=isinstance(error, FormatError))
    note = "; ".join(unread(documents))
    for document in documents:
        document.metadata["source"] = source
    fields = front_matter(path, documents[0].page_content)
    documents, furniture = drop_furniture(documents)
    drops = [Drop(drop.page, drop.start, drop.reason, drop.text) for drop in furniture]
    entries = []
    for chunk in split_documents(
        documents,
        count_tokens=cutting.count_tokens,
        chunk_tokens=cutting.chunk_tokens,
        overlap_tokens=cutting.overlap_tokens,
    ):
        at = chunk.metadata
        if reason := is_noise(chunk.page_content):
            drops.append(Drop(at["page"], at["start"], reason, chunk.page_content))
        else:
            entries.append(_entry(chunk))
    failure = "" if entries else "nothing in it is worth keeping: documents --dropped lists what it holds"
    language = language_of([entry.text for entry in entries])
    return Parsed(tuple(entries), tuple(drops), failure, note, language=language, fields=fields)


def _entry(chunk: Document) -> Entry:
    at, text = chunk.metadata, chunk.page_content
    told = in_context(at["section"], text)
    return Entry(
        id=str(chunk.id),
        page=at["page"],
        line=at["line"],
        section=at["section"],
        start=at["start"],
        text=text,
        vector_key=blake2b(searchable(chunk).encode(), digest_size=16).hexdigest(),
        exact=exact_key(told),
        bands=tuple(signature(told)),
    )


_worker: list[tuple[Cutting, Limits]] = []  # what a worker was started with


def _start_worker(cutting: Cutting, limits: Limits) -> None:
    """Bound this process, cut it off the network, and let it die with its parent."""
    import resource
    import signal
    import threading
    from multiprocessing import connection, parent_process

    _worker.append((cutting, limits))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which stops its workers
    if sys.platform == "linux":  # counts what is written to; macOS knows the limit and does not keep it
        size = limits.memory_mb << 20
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))
    sys.addaudithook(_refuse_network)
    parent = parent_process()
    if parent:

        def follow() -> None:
            connection.wait([parent.sentinel])
            os.kill(os.getpid(), signal.SIGKILL)

        threading.Thread(target=follow, daemon=True).start()


def _refuse_network(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.getaddrinfo", "socket.gethostbyname") or (
        event in ("socket.connect", "socket.sendto") and not isinstance(arguments[1], str | bytes)
    ):
        raise PermissionError("a parser tried to use the network")


def _parse_here(source: str, path: Path) -> Parsed:
    import resource

    cutting, limits = _worker[0]
    spent = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    _, hardest = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(spent) + limits.seconds + 1, hardest))  # for its children too
    return parse(source, path, cutting)
