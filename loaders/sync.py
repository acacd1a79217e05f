"""Files and folders come in; an index that holds exactly what stands in them, and a report on the work, go out."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import file_digest
from pathlib import Path

import numpy as np
from langchain_core.embeddings import Embeddings

from errors import one_line
from loaders.catalog import Catalog, SourceState
from loaders.changes import Changes, remove_source, replace_source, settle
from loaders.documents import no_reader
from loaders.fields import Fields, given_fields
from loaders.files import absolute, find_files
from loaders.kept_answers import forget
from loaders.parsing import Parsed, Parser
from loaders.store import Store, Vectors

GROUP_CHUNKS = 512  # chunks embedded and committed together: enough to keep all cores busy, little to lose
FRESH = 2.0  # seconds; a file changed so lately may change again without its times showing it


@dataclass(frozen=True)
class Problem:
    """A file that is not in the index, or not whole, and why."""

    source: str
    reason: str


@dataclass
class SyncReport:
    """Count what was done: each file that was found is in exactly one of read, unchanged, skipped and failed."""

    read: int = 0
    unchanged: int = 0
    skipped: list[Problem] = field(default_factory=list)
    failed: list[Problem] = field(default_factory=list)
    partial: list[Problem] = field(default_factory=list)  # read, but not all of it
    removed: list[str] = field(default_factory=list)
    chunks: int = 0
    searched: int = 0  # chunks less the dropped duplicates
    embedded: int = 0
    rebuilt: bool = False  # in a new index that took the old one's place
    seconds: float = 0.0


Progress = Callable[[int, int, int], None]  # files done, files in all, chunks embedded so far
File = tuple[SourceState, Path]


@dataclass(frozen=True)
class Filling:
    """How chunks get into a store: what embeds them, which catalog lends vectors, and how alike repeated ones are."""

    store: Store
    embeddings: Embeddings
    duplicates: float
    vectors_from: Catalog | None = None
    report: SyncReport = field(default_factory=SyncReport)


def sync(
    store: Store,
    paths: Sequence[Path],
    *,
    embeddings: Embeddings,
    parser: Parser,
    pages: Mapping[str, Path] | None = None,
    gone: Sequence[str] = (),
    duplicates: float = 0.0,
    vectors_from: Catalog | None = None,
    retry_failed: bool = False,
    keep_missing: bool = False,
    keep_vectors_days: float = 0.0,
    on_progress: Progress = lambda done, total, chunks: None,
) -> SyncReport:
    """Make the index hold exactly the files at `paths` and the web pages in `pages` (URL → file); report on it.

    Unchanged files are left alone and only text without a vector is embedded, here or in the catalog `vectors_from`.
    What was indexed under a given folder and is no longer there is removed, as are the sources in `gone`, unless
    `keep_missing`. A file that can't be read is reported and stops nothing; it is tried again when it changes, or with
    `retry_failed`. Passages at least `duplicates` alike are indexed once. Vectors without a text are forgotten after
    `keep_vectors_days`. Work is committed group by group: what an interruption leaves is a smaller index, never a wrong
    one.
    """
    began = time.perf_counter()
    filling = Filling(store, embeddings, duplicates, vectors_from)
    report, known = filling.report, store.catalog.sources()
    files = {str(file): file for path in paths for file in find_files(absolute(path))} | dict(pages or {})
    given = given_fields({source: path for source, path in files.items() if source not in (pages or {})})
    looked = (_examine(filling, source, path, known.get(source), retry_failed) for source, path in files.items())
    to_read = [file for file in looked if file]
    done = len(files) - len(to_read)
    on_progress(done, len(files), 0)
    if not keep_missing:
        folders = [absolute(path) for path in paths if path.is_dir()]
        missing = (s for s in known if s not in files and any(folder in Path(s).parents for folder in folders))
        report.removed = [*missing, *(source for source in gone if source in known)]
    if to_read or report.removed:
        with store.changing() as change:
            for group in _groups(to_read, parser):
                change(partial(_write, filling, group))
                done += len(group)
                on_progress(done, len(files), report.embedded)
            if report.removed:
                change(partial(_remove, filling, report.removed))
    _give(store, files, given)
    store.forget_unused_vectors(keep_vectors_days)
    _count(store, files, report)
    report.seconds = time.perf_counter() - began
    return report


def remove_sources(store: Store, sources: Sequence[str], *, embeddings: Embeddings, duplicates: float) -> None:
    """Take these files out of the index, their vectors included; passages that they stood for take their place."""
    with store.changing() as change:
        change(partial(_remove, Filling(store, embeddings, duplicates), sources))
    store.forget_unused_vectors(0)


def _examine(filling: Filling, source: str, path: Path, before: SourceState | None, retry_failed: bool) -> File | None:
    """Return a file's state and path when it has to be read; else count it in the report."""
    report = filling.report
    if not source.isprintable():  # SQLite and JSON can't hold the stand-ins of bytes that are no UTF-8
        report.failed.append(Problem(ascii(source), "its name is not plain UTF-8 text: rename it"))
        return None
    if reason := no_reader(path):
        report.skipped.append(Problem(source, reason))
        return None
    try:
        state = _state(source, path, before)
    except OSError as error:  # what was indexed of it stays: the file may be readable again tomorrow
        report.failed.append(Problem(source, one_line(error).lower()))
        return None
    if before is None or before.sha256 != state.sha256 or (before.failure and retry_failed):
        return state, path
    if before != (state := replace(before, mtime_ns=state.mtime_ns, ctime_ns=state.ctime_ns)):
        forget(filling.store.directory)  # a filter by date may find others
        filling.store.catalog.write_source(state)
    if before.failure:
        _report_failure(before, report)
    else:
        report.unchanged += 1
    return None


def _report_failure(state: SourceState, report: SyncReport) -> None:
    (report.skipped if state.skipped else report.failed).append(Problem(state.source, state.failure))


def _state(source: str, path: Path, known: SourceState | None) -> SourceState:
    """Return the file's state; its bytes are hashed only when its size or times differ from what is known."""
    stat = path.stat()
    if known and (known.size, known.mtime_ns, known.ctime_ns) == (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns):
        return known
    with path.open("rb") as stream:
        digest = file_digest(stream, "sha256").hexdigest()
    settled = abs(time.time() - stat.st_ctime) > FRESH
    return SourceState(source, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns if settled else 0, digest)


def _groups(files: Sequence[File], parser: Parser) -> Iterator[list[tuple[SourceState, Parsed]]]:
    """Yield the files as parsed, in groups of about GROUP_CHUNKS chunks."""
    group: list[tuple[SourceState, Parsed]] = []
    parsed_files = parser.parse_all([(state.source, path) for state, path in files])
    for (state, _), parsed in zip(files, parsed_files, strict=True):
        state = replace(
            state, failure=parsed.failure, note=parsed.note, skipped=parsed.skipped, language=parsed.language
        )
        group.append((state, parsed))
        if sum(len(parsed.entries) for _, parsed in group) >= GROUP_CHUNKS:
            yield group
            group = []
    if group:
        yield group


def _write(filling: Filling, group: list[tuple[SourceState, Parsed]], changes: Changes) -> Vectors:
    """Put a group of files into the catalog, inside its transaction; return the vectors of what is new to search."""
    for state, parsed in group:
        replace_source(filling.store.catalog, state, parsed.entries, parsed.drops, changes)
        filling.store.catalog.write_fields(state.source, parsed.fields)
    vectors = _settled(filling, changes)
    for state, _ in group:
        if state.failure:
            _report_failure(state, filling.report)
        else:
            filling.report.read += 1
    return vectors


def _remove(filling: Filling, sources: Iterable[str], changes: Changes) -> Vectors:
    """Take files out of the catalog, inside its transaction; return the vectors of what takes their place."""
    for source in sources:
        remove_source(filling.store.catalog, source, changes)
    return _settled(filling, changes)


def _settled(filling: Filling, changes: Changes) -> Vectors:
    """Decide what is kept, embed what has no vector yet, and return the vector of each chunk that is new to search."""
    catalog = filling.store.catalog
    settle(catalog, filling.duplicates, changes)
    keys = catalog.vector_keys(changes.new)
    vectors = catalog.known_vectors(keys.values())
    if filling.vectors_from:
        borrowed = filling.vectors_from.known_vectors(key for key in keys.values() if key not in vectors)
        catalog.add_vectors(borrowed)
        vectors |= borrowed
    texts = {key: changes.new[id_] for id_, key in keys.items() if key not in vectors}
    order = sorted(texts, key=lambda key: -len(texts[key]))  # the longest first, so that no core waits for it
    for part in (order[at : at + GROUP_CHUNKS] for at in range(0, len(order), GROUP_CHUNKS)):
        made = filling.embeddings.embed_documents([texts[key] for key in part])
        new = {key: np.asarray(vector, dtype=np.float32) for key, vector in zip(part, made, strict=True)}
        catalog.add_vectors(new)
        vectors |= new
    filling.report.embedded += len(texts)
    return {id_: vectors[key] for id_, key in keys.items()}


def _give(store: Store, files: Iterable[str], given: Mapping[str, Fields]) -> None:
    """Keep of each file the fields that are given to it now, which its own bytes don't tell."""
    catalog = store.catalog
    known = catalog.given_fields()
    if not (given or known):
        return
    with catalog.transaction():
        for source in catalog.sources().keys() & set(files):
            fields = given.get(source, {})
            if known.get(source, set()) != {(key, value) for key, values in fields.items() for value in values}:
                forget(store.directory)
                catalog.write_fields(source, fields, given=True)


def _count(store: Store, files: Iterable[str], report: SyncReport) -> None:
    counts, states = store.catalog.chunk_counts(), store.catalog.sources()
    for source in files:
        all_, searched = counts.get(source, (0, 0))
        report.chunks += all_
        report.searched += searched
        if source in states and states[source].note:
            report.partial.append(Problem(source, states[source].note))
