"""The callbacks of one run come in; where each passage stood in every stage, and where one was lost, goes out."""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple
from uuid import UUID

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage

from chains.evidence import best_sentence
from chains.retrieval import Found
from chains.retrieval_qa import as_quoted
from chains.trace import RANKING, Trace

LEGS = ("dense", "keyword")


class Ranked(NamedTuple):
    """A passage in a ranking: the ids of the chunks in it, and its score there."""

    chunks: frozenset[str]
    score: float


@dataclass(frozen=True)
class Place:
    """Where a passage stood, from 1, and its score there."""

    rank: int
    score: float


@dataclass(frozen=True)
class Explained:
    """A passage that was found, with its place in each stage that had it; also fit, where a model was to read it.

    read: whole, sentence (the model saw its best sentence only), dropped (it did not fit), or empty.
    """

    n: int
    source: str
    page: int | None
    line: int | None
    section: str
    start: int
    stages: dict[str, Place]
    read: str = ""


@dataclass(frozen=True)
class Expected:
    """What became of a passage that was expected.

    lost_at: ingest, chunk, filter, retrieve, fuse, light, rerank, diversify, cut, fit or read; empty where it was not
    lost. remedies: changes of which each alone would have kept it.
    """

    expected: str
    lost_at: str
    why: str
    remedies: tuple[str, ...] = ()
    stages: dict[str, Place] | None = None


@dataclass(frozen=True)
class Explanation:
    """The queries of a run, the milliseconds of its stages, its passages, and what became of the expected ones."""

    queries: tuple[dict[str, Any], ...]
    timings: dict[str, float]
    passages: tuple[Explained, ...]
    expected: tuple[Expected, ...] = ()


class Recorder(Trace):
    """Collect besides what the legs found, each stage's ranking as it was then, and what the model was given.

    Scores are noted at once: later stages change them in the same Documents.
    """

    def __init__(self) -> None:
        """Start the clock, with nothing seen."""
        super().__init__()
        self.found: list[Found] = []
        self.rankings: dict[str, list[Ranked]] = {}  # of the stages, in the order in which they ran
        self.passages: list[Document] = []  # that the search gave out
        self.kept: list[Document] | None = None  # of these, what fits the model's context
        self.prompt = ""

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **rest: Any) -> None:
        """Note what a stage gave out."""
        name = self._names.get(run_id, "")
        super().on_chain_end(outputs, run_id=run_id, **rest)
        if name == "legs":
            self.found = list(outputs)
        elif name in RANKING:
            self.passages = list(outputs)
            self.rankings[name] = [Ranked(chunks_of(p), float(p.metadata["score"])) for p in outputs]
        elif name == "fit":
            self.kept = list(outputs["source_documents"])

    def on_chat_model_start(self, serialized: Any, messages: list[list[BaseMessage]], **_: Any) -> None:
        """Note what the model reads for its answer; what it reads to write queries comes before the passages."""
        if self.rankings:
            self.prompt = "\n".join(str(message.content) for message in messages[0])

    @property
    def final(self) -> str:
        """Return the name of the search's last stage."""
        return next(reversed(self.rankings), "")


def chunks_of(passage: Document) -> frozenset[str]:
    """Return the ids of the chunks in a passage."""
    return frozenset([str(passage.id), *passage.metadata.get("chunks", ())])


def explain_run(seen: Recorder) -> Explanation:
    """Return what a run tells by itself."""
    passages = []
    for n, passage in enumerate(seen.passages, 1):
        at = {key: passage.metadata[key] for key in ("source", "page", "line", "section", "start")}
        ids = chunks_of(passage)
        stages = places(seen, ids)
        is_dropped = seen.kept is not None and "fit" not in stages
        passages.append(Explained(n=n, **at, stages=stages, read="dropped" if is_dropped else how_read(seen, ids)))
    queries = tuple(each.query._asdict() for each in seen.found)
    return Explanation(queries, seen.total(), tuple(passages))


def places(seen: Recorder, ids: Collection[str]) -> dict[str, Place]:
    """Return the best place of any of these chunks in each stage that had one, in the stages' order."""
    found: dict[str, Place] = {}
    for leg in LEGS:
        hits = [hits for each in seen.found for hits in enumerate(getattr(each, leg), 1)]
        here = [Place(rank, round(float(score), 4)) for rank, (id_, score) in hits if id_ in ids]
        if here:
            found[leg] = min(here, key=lambda place: place.rank)
    for stage, ranking in seen.rankings.items():
        for rank, (chunks, score) in enumerate(ranking, 1):
            if not chunks.isdisjoint(ids):
                found[stage] = Place(rank, round(score, 4))
                break
    for rank, passage in enumerate(seen.kept or (), 1):
        if not chunks_of(passage).isdisjoint(ids):
            found["fit"] = Place(rank, round(float(passage.metadata["score"]), 4))
            break
    return found


def how_read(seen: Recorder, ids: Collection[str]) -> str:
    """Tell how much of the passage with one of these chunks the model read: whole, sentence or nothing."""
    for passage in (seen.kept or ()) if seen.prompt else ():
        if not chunks_of(passage).isdisjoint(ids):
            if any(as_quoted(passage.page_content, datamark=mark) in seen.prompt for mark in (False, True)):
                return "whole"
            sentence = " ".join(as_quoted(best_sentence(passage).text).split())
            return "sentence" if sentence in " ".join(seen.prompt.split()) else ""
    return ""


def lost_at(seen: Recorder, ids: Collection[str], limit: int) -> str:
    """Return the stage at which the last of these chunks was lost, or "" where one was not.

    Of the stages that rank, it is the last one that moved the best of them from the first `limit` places to a later
    one; `cut` where it was never among these.
    """
    at = places(seen, ids)
    if at.keys().isdisjoint(LEGS):
        return "retrieve"
    if seen.final in at:
        if seen.kept is None:
            return ""
        return "fit" if "fit" not in at else "" if how_read(seen, ids) else "read"
    if "fuse" not in at:
        return "fuse"
    ranks = [("legs", min(at[leg].rank for leg in LEGS if leg in at))]
    ranks += [(stage, at[stage].rank) for stage in seen.rankings if stage in at]
    moved = [stage for (_, before), (stage, after) in pairwise(ranks) if before <= limit < after]
    return moved[-1] if moved else "cut"
