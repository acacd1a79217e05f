"""What to tune on comes in; a bench that measures any change of the settings over its questions goes out."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from errors import EvaluationError
from evaluation.ablation import LIMIT
from evaluation.climbing import Change
from evaluation.collection import Judgements, read_collection
from evaluation.questions import read_questions
from evaluation.runs import Label, ingested, percentiles, score_each, search_all
from ingestion import ingest, is_address, roots_of
from loaders.sync import Progress
from pipeline import open_index, open_store_to_read
from searching import Index
from settings import Settings

DEPTH = 20  # documents ranked for each question, and the most passages that a model is given
Opened = tuple[Settings, Index, Label]


@dataclass(frozen=True)
class Task:
    """Questions with judgements, those without an answer, and how to open a store for settings.

    chunks: whether other sizes of chunks are to be tried, in stores made for them.
    """

    queries: dict[str, str]
    relevant: Judgements
    unanswerable: dict[str, str]
    store: Callable[[Settings], AbstractContextManager[tuple[Settings, Label]]]
    chunks: bool


@dataclass(frozen=True)
class Bench:
    """The present settings, a task, and the indexes opened so far, by size of chunks; `stack` closes them."""

    settings: Settings
    task: Task
    stack: ExitStack
    opened: dict[int, Opened] = field(default_factory=dict)

    def open(self, change: Change) -> Opened:
        """Return the changed settings, an index cut as they say, and what labels its passages."""
        tried = self.settings.model_copy(update=change)
        if tried.chunk_tokens not in self.opened:
            stored, label = self.stack.enter_context(self.task.store(tried))
            self.opened[tried.chunk_tokens] = (stored, self.stack.enter_context(open_index(stored)), label)
        stored, index, label = self.opened[tried.chunk_tokens]
        return tried.model_copy(update={"store": stored.store}), index, label

    def scores(
        self, queries: Mapping[str, str], change: Change, measures: list[str]
    ) -> tuple[dict[str, np.ndarray], float]:
        """Return each question's score by ir-measures' names, and the median milliseconds."""
        settings, index, label = self.open(change)
        run, milliseconds = search_all(settings, index, queries, label, limit=LIMIT, depth=DEPTH)
        relevant = {id_: self.task.relevant[id_] for id_ in queries}
        return score_each(relevant, run, measures), percentiles(milliseconds)["query_ms_p50"]


def open_task(
    settings: Settings, target: Path, *, chunks: bool, on_progress: Progress, on_note: Callable[[str], None]
) -> Task:
    """Read a folder in the BEIR layout, or questions about the user's index, which stays as it is."""
    return (
        _folder_task(target, on_progress=on_progress, on_note=on_note)
        if target.is_dir()
        else _index_task(settings, target, chunks=chunks, on_progress=on_progress)
    )


def _folder_task(folder: Path, *, on_progress: Progress, on_note: Callable[[str], None]) -> Task:
    collection = read_collection(folder)
    if collection.notes:
        on_note("; ".join(collection.notes))

    @contextmanager
    def store(tried: Settings) -> Iterator[tuple[Settings, Label]]:
        with ingested(tried, collection.documents, on_progress=on_progress) as corpus:
            yield corpus.settings, corpus.label

    return Task(collection.queries, collection.relevant, {}, store, chunks=True)


def _index_task(settings: Settings, path: Path, *, chunks: bool, on_progress: Progress) -> Task:
    with open_store_to_read(settings) as opened:
        questions, roots = read_questions(path, opened.catalog), roots_of(opened.catalog)
    if chunks and any(map(is_address, roots)):
        raise EvaluationError("--chunks", "the index holds web pages, which would be fetched again", "leave it out")

    @contextmanager
    def store(tried: Settings) -> Iterator[tuple[Settings, Label]]:
        if tried.chunk_tokens == settings.chunk_tokens:
            yield tried, questions.label
            return
        with tempfile.TemporaryDirectory(prefix="groundwork-") as directory:
            stored = tried.model_copy(update={"store": Path(directory) / "store"})
            ingest(stored, roots, on_progress=on_progress)
            yield stored, questions.label

    return Task(questions.queries, questions.relevant, questions.unanswerable, store, chunks=chunks)
