"""Files and folders come in; an index that holds exactly what stands in them, and a report on the work, go out."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b, file_digest
from pathlib import Path

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from errors import DocumentError, one_line
from loaders.catalog import SourceState
from loaders.cleaning import searchable
from loaders.documents import SUFFIXES, load_documents
from loaders.files import absolute, find_files
from loaders.splitter import split_documents
from loaders.store import Store

GROUP_CHUNKS = 512  # chunks embedded and committed together: enough to sort by length, little to lose
SPLITTER_VERSION = 2  # raise it when the splitter or `searchable` changes what they return


@dataclass(frozen=True)
class Problem:
    """A file that is not in the index, and why."""

    source: str
    reason: str


@dataclass
class SyncReport:
    """Count what was done: each file that was found is in exactly one of read, unchanged, skipped and failed."""

    read: int = 0
    unchanged: int = 0
    skipped: list[Problem] = field(default_factory=list)
    failed: list[Problem] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    chunks: int = 0
    embedded: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Splitting:
    """How files are cut: sizes in the embedder's tokens, counted by `count_tokens`."""

    count_tokens: Callable[[str], int]
    chunk_tokens: int
    overlap_tokens: int

    @property
    def fingerprint(self) -> str:
        """Change whenever the same file would be cut otherwise."""
        return f"v{SPLITTER_VERSION} {self.chunk_tokens}/{self.overlap_tokens}"


Progress = Callable[[int, int, int], None]  # files done, files in all, chunks embedded so far


def sync(
    store: Store,
    paths: Sequence[Path],
    *,
    embeddings: Embeddings,
    splitting: Splitting,
    retry_failed: bool = False,
    keep_missing: bool = False,
    on_progress: Progress = lambda done, total, chunks: None,
) -> SyncReport:
    """Make the index hold exactly the files at `paths`, and return what was done.

    Unchanged files are left alone and only text without a vector is embedded. What was indexed under a given
    folder and is no longer there is removed, unless `keep_missing`. A file that can't be read is reported and
    stops nothing. Files that failed are tried again when they change, or all of them with `retry_failed`. Work is
    committed group by group: what an interruption leaves is a smaller index, never a wrong one.
    """
    began, report = time.perf_counter(), SyncReport()
    files = list(dict.fromkeys(file for path in paths for file in find_files(absolute(path))))
    known = store.catalog.sources()
    group: list[tuple[SourceState, list[Document]]] = []
    for number, path in enumerate(files, 1):
        if loaded := _examine(path, known.get(str(path)), splitting, report, store, retry_failed=retry_failed):
            group.append(loaded)
        if sum(len(chunks) for _, chunks in group) >= GROUP_CHUNKS or number == len(files):
            report.embedded += _commit(store, group, embeddings)
            group = []
        on_progress(number, len(files), report.embedded)
    if not keep_missing:
        found = {str(path) for path in files}
        folders = [absolute(path) for path in paths if path.is_dir()]
        report.removed = [s for s in known if s not in found and any(f in Path(s).parents for f in folders)]
        remove_sources(store, report.removed)
    store.catalog.drop_unused_vectors()
    counts = store.catalog.chunk_counts()
    report.chunks = sum(counts.get(str(path), 0) for path in files)
    report.seconds = time.perf_counter() - began
    return report


def remove_sources(store: Store, sources: Sequence[str]) -> None:
    """Take these files out of the index, their vectors included."""
    if not sources:
        return
    with store.changing():
        with store.catalog.transaction():
            gone = [id_ for source in sources for id_ in store.catalog.remove_source(source)]
            store.catalog.drop_unused_vectors()
        store.vectors.delete(gone)


def _examine(
    path: Path, known: SourceState | None, splitting: Splitting, report: SyncReport, store: Store, *, retry_failed: bool
) -> tuple[SourceState, list[Document]] | None:
    """Return a file's state and chunks when the index has to change for it; count it in the report."""
    source = str(path)
    if not source.isprintable():  # SQLite and JSON can't hold the stand-ins of bytes that are no UTF-8
        report.failed.append(Problem(ascii(source), "its name is not plain UTF-8 text: rename it"))
        return None
    if path.suffix.lower() not in SUFFIXES:
        report.skipped.append(Problem(source, f"no loader for suffix '{path.suffix}'" if path.suffix else "no suffix"))
        return None
    try:
        state = _state(path, known, splitting)
    except OSError as error:  # what was indexed of it stays: the file may be readable again tomorrow
        report.failed.append(Problem(source, one_line(error).lower()))
        return None
    same = known is not None and (known.sha256, known.splitting) == (state.sha256, state.splitting)
    if known and same and not (known.failure and retry_failed):
        if known.mtime_ns != state.mtime_ns:
            store.catalog.touch_source(state)
        if known.failure:
            report.failed.append(Problem(source, known.failure))
        else:
            report.unchanged += 1
        return None
    try:
        documents = load_documents(path)
    except DocumentError as error:
        report.failed.append(Problem(source, f"{error.reason}: {error.remedy}"))
        return replace(state, failure=f"{error.reason}: {error.remedy}"), []
    report.read += 1
    chunks = split_documents(
        documents,
        count_tokens=splitting.count_tokens,
        chunk_tokens=splitting.chunk_tokens,
        overlap_tokens=splitting.overlap_tokens,
    )
    return state, chunks


def _state(path: Path, known: SourceState | None, splitting: Splitting) -> SourceState:
    """Return the file's state; its bytes are hashed only when its size or time differ from what is known."""
    stat = path.stat()
    if known and (known.size, known.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
        digest = known.sha256
    else:
        with path.open("rb") as stream:
            digest = file_digest(stream, "sha256").hexdigest()
    return SourceState(str(path), stat.st_size, stat.st_mtime_ns, digest, splitting.fingerprint)


def _commit(store: Store, group: list[tuple[SourceState, list[Document]]], embeddings: Embeddings) -> int:
    """Embed what has no vector yet, write the group's files and return how many texts were embedded."""
    if not group:
        return 0
    texts = {_key(text): text for _, chunks in group for text in map(searchable, chunks)}
    vectors = store.catalog.known_vectors(texts)
    missing = [key for key in texts if key not in vectors]
    if missing:
        made = embeddings.embed_documents([texts[key] for key in missing])
        vectors |= {key: np.asarray(vector, dtype=np.float32) for key, vector in zip(missing, made, strict=True)}
    old: set[str] = set()
    new: dict[str, np.ndarray] = {}
    with store.changing():
        with store.catalog.transaction():
            store.catalog.add_vectors({key: vectors[key] for key in missing})
            for state, chunks in group:
                keys = [_key(searchable(chunk)) for chunk in chunks]
                old.update(store.catalog.replace_source(state, chunks, keys))
                new |= {str(chunk.id): vectors[key] for chunk, key in zip(chunks, keys, strict=True)}
        store.vectors.delete(sorted(old - new.keys()))
        if new:
            store.vectors.upsert(list(new), np.stack(list(new.values())))
    return len(missing)


def _key(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()
