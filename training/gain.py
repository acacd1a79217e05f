"""Questions and two ways to find their passages come in; what the second gains on the first, and the noise, go out."""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from langchain_core.documents import Document

from chains.queries import Query, normalise
from errors import EvaluationError
from loaders.store import Store
from searching import Index, build_search
from settings import Settings
from training.mining import Question, answers

FEWEST = 30  # questions: a fifth of them are as few as can tell, 2 / 2**6 being under 0.05
RANKS = 10  # that count
RESAMPLES = 2_000
MEASURES = ("ndcg@10", "mrr@10")
CHUNKS = {"merge": False, "parent_tokens": 0}  # settings of a search that brings chunks as they are indexed
Find = Callable[[str], Sequence[str]]  # a question's text → ids of chunks, best first
Scores = dict[str, np.ndarray]  # "dense" and "search" → a row for each question, a column for each measure


@dataclass(frozen=True)
class Judged:
    """A question with the ids of all chunks in the index that answer it; there is at least one."""

    question: Question
    right: frozenset[str]

    @property
    def text(self) -> str:
        """Return the question as it is searched for."""
        return normalise(self.question.text)


def judge(store: Store, questions: Iterable[Question], path: object) -> list[Judged]:
    """Return the questions whose answer the index holds; right is what `mine` takes for right.

    Raise EvaluationError, with the path of the questions, for too few of them.
    """
    sources = store.catalog.sources()
    shown = "SELECT coalesce(k.id, c.id) FROM chunks c LEFT JOIN chunks k ON k.rowid = c.kept_by WHERE c.source = ?"
    chunks: dict[str, list[Document]] = {}  # by source
    found = []
    for question in questions:
        named = {s for s in sources for name in question.documents if s == name or s.endswith(f"/{name}")}
        for source in named - chunks.keys():
            chunks[source] = store.chunks([id_ for (id_,) in store.catalog.rows(shown, (source,))])
        right = {str(each.id) for source in named for each in chunks[source] if answers(each, question)}
        found += [Judged(question, frozenset(right))] if right else []
    check_enough(found, path)
    return found


def check_enough(found: Sequence[object], path: object) -> None:
    """Raise EvaluationError for fewer questions than can tell a gain from noise when a fifth is held back."""
    if len(found) < FEWEST:
        reason = f"{len(found)} questions whose answer was found in the index; {FEWEST} are needed"
        raise EvaluationError(path, reason, "give more questions, or check that doc_id names indexed files")


def split(questions: Sequence[Question], parts: int = 5, *, seed: int = 0) -> list[list[int]]:
    """Return the questions' numbers in `parts` parts of like size, those that share a document in the same one.

    Where this would put over a third of them into one group, as with a single file, each goes where it falls.
    """
    group = list(range(len(questions)))
    owner: dict[str, int] = {}
    for at, question in enumerate(questions):
        joined = {group[owner[name]] for name in question.documents if name in owner}
        group = [at if each in joined else each for each in group]
        owner |= dict.fromkeys(question.documents, at)
    members: dict[int, list[int]] = {}
    order = random.Random(seed).sample(range(len(group)), len(group))  # noqa: S311  (an order, not a secret)
    for at in order:
        members.setdefault(group[at], []).append(at)
    groups = sorted(members.values(), key=len, reverse=True)
    if groups and len(groups[0]) > len(group) / 3:
        groups = [[at] for at in order]
    found: list[list[int]] = [[] for _ in range(parts)]
    for each in groups:
        min(found, key=len).extend(each)
    return found


def measure(settings: Settings, index: Index, questions: Sequence[Judged]) -> Scores:
    """Score the dense leg alone, and the whole search with its re-ranking."""
    search = build_search(settings.model_copy(update=CHUNKS), index, limit=RANKS)

    def dense(text: str) -> list[str]:
        return [id_ for id_, _ in index.store.dense(index.aim(text), RANKS)]

    def whole(text: str) -> list[str]:
        return [str(passage.id) for passage in search.invoke([Query(text)])]

    return {"dense": score(dense, questions), "search": score(whole, questions)}


def score(find: Find, questions: Iterable[Judged]) -> np.ndarray:
    """Return nDCG@10 and the reciprocal rank of the first right chunk within 10, a row for each question."""
    discount = 1 / np.log2(np.arange(2, RANKS + 2))
    rows = []
    for each in questions:
        right = np.array([id_ in each.right for id_ in find(each.text)[:RANKS]], dtype=float)
        first = 1 / (1 + right.argmax()) if right.any() else 0.0
        rows.append((right @ discount[: len(right)] / discount[: len(each.right)].sum(), first))
    return np.array(rows).reshape(-1, len(MEASURES))


def interval(differences: np.ndarray) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap of a mean (Efron and Tibshirani 1993, chapter 13), with a fixed seed."""
    draw, count = np.random.default_rng(0), len(differences)
    means = differences[draw.integers(0, count, (RESAMPLES, count))].mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def compare(before: Scores, after: Scores) -> dict[str, Any]:
    """Return a flat report: each measure before and after, and the interval of what nDCG@10 gained.

    "pays": whether the whole search gained beyond noise, its interval lying above 0.
    """
    report: dict[str, Any] = {}
    gained = {name: interval(after[name][:, 0] - before[name][:, 0]) for name in before}
    for name, (low, high) in gained.items():
        for at, measure_ in enumerate(MEASURES):
            report[f"{name}_{measure_}_before"] = round(float(before[name][:, at].mean()), 4)
            report[f"{name}_{measure_}_after"] = round(float(after[name][:, at].mean()), 4)
        report[f"{name}_gain_95"] = [round(low, 4), round(high, 4)]
    return report | {"pays": gained["search"][0] > 1e-12}
