"""Passages come in with the query that found them; the same passages in better order go out."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypedDict

from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableLambda

from errors import ModelError

Score = Callable[[str, Sequence[Document]], Sequence[float]]  # query, passages → how well each answers it
PRIOR = "search_weight"  # a key of config.json


class Ranked(TypedDict):
    """What a re-ranker reads."""

    query: str
    passages: list[Document]


def build_reranker(
    score: Score, *, candidates: int, limit: int, batch: int = 8, budget_ms: float = 0
) -> Runnable[Ranked, list[Document]]:
    """Return a Runnable that puts the first `candidates` passages in the order of `score` and keeps `limit` of all.

    Its score becomes `metadata["score"]`; `metadata["fused"]` keeps the one before. Passages that were not read stay
    behind the others, their scores moved down as far as that takes.

    budget_ms: the longest that it may take, 0 for no end. It reads `batch` passages at a time and stops before a batch
    that would end too late, judged by the one before it. Then nothing of what it read counts and the search's order
    stands: scores of a few passages can't be put beside those of the others.
    """

    def rerank(ranked: Ranked) -> list[Document]:
        head, tail = ranked["passages"][:candidates], ranked["passages"][candidates:]
        scores = _within(score, ranked["query"], head, batch, budget_ms / 1000 or float("inf"))
        if len(scores) < len(head):
            return ranked["passages"][:limit]
        before = [passage.metadata["score"] for passage in tail]
        down = max(0.0, before[0] - min(scores)) if head and tail else 0.0
        scores += [old - down for old in before]
        for passage, new in zip(ranked["passages"], scores, strict=True):
            # equal texts differ behind the fifth digit, by place in the batch
            passage.metadata |= {"score": round(new, 5), "fused": passage.metadata["score"]}
        head.sort(key=lambda passage: -passage.metadata["score"])  # a stable sort: ties keep their order
        return [*head, *tail][:limit]

    return RunnableLambda(rerank, name="rerank")


def _within(score: Score, query: str, passages: list[Document], batch: int, seconds: float) -> list[float]:
    """Score in batches; return fewer scores than passages where the time would not do."""
    began = last = time.perf_counter()
    scores: list[float] = []
    took = 0.0
    for at in range(0, len(passages), batch):
        if last - began + took > seconds:
            break
        scores += map(float, score(query, passages[at : at + batch]))
        now = time.perf_counter()
        took, last = now - last, now
    return scores if last - began <= seconds else []


def readable(passage: Document) -> str:
    """Return what a model reads of a passage: its text, under its headings where the text does not begin with them."""
    section, text = str(passage.metadata.get("section", "")), passage.page_content
    last = section.rpartition(" > ")[2]
    return text if not section or last in text[: len(last) + 10] else f"{section}\n{text}"


def cross_encoder(folder: Path) -> Score:
    """Load a cross-encoder, which reads query and passage together (Nogueira and Cho 2019, arXiv 1901.04085).

    One that `training/` made says in its config.json how much of the search's own score belongs to its own.
    """
    from safetensors import SafetensorError
    from sentence_transformers import CrossEncoder

    try:
        model = CrossEncoder(str(folder), local_files_only=True)
    except (OSError, ValueError, SafetensorError) as error:  # what transformers raises for missing or foreign weights
        raise ModelError(folder, f"not a cross-encoder ({error})", "check RAG_RERANKER, or set it to light") from error
    prior = float(getattr(model.config, PRIOR, 0.0))

    def score(query: str, passages: Sequence[Document]) -> list[float]:
        pairs = [(query, readable(passage)) for passage in passages]
        scores = model.predict(pairs, show_progress_bar=False)
        return [float(new) + prior * p.metadata["score"] for new, p in zip(scores, passages, strict=True)]

    return score
