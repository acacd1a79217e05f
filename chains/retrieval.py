"""Queries come in; passages found by meaning and by words, fused into one ranking, go out."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from chains.queries import Query

Hits = list[tuple[str, float]]  # (chunk id, score), best first
Vector = Sequence[float]


class Found(NamedTuple):
    """What the legs brought for one query: by cosine and by BM25; its vector where the dense leg ran, else nothing."""

    query: Query
    vector: Vector
    dense: Hits
    keyword: Hits


class HybridRetriever(BaseRetriever):
    """Find passages by a dense and a keyword leg; `metadata["score"]` is the fused score, at most 1.

    Each passage also carries `metadata["dense"]` (cosine) and `metadata["keyword"]` (BM25), None where that leg did not
    bring it, and `metadata["best"]`, the highest that each leg brought at all, 0 for nothing.

    embed: text → unit vector. nearest: vector, how many → hits. keyword: text, how many → hits. vectors: ids → their
    unit vectors, a row each. fetch: ids → chunks in the same order.
    """

    embed: Callable[[str], Vector]
    nearest: Callable[[Vector, int], Hits]
    keyword: Callable[[str, int], Hits]
    vectors: Callable[[list[str]], np.ndarray]
    fetch: Callable[[list[str]], list[Document]]
    limit: int
    candidates: int = 100
    keyword_weight: float = 0.45

    def legs(self, queries: Sequence[Query]) -> list[Found]:
        """Ask each leg for the best `candidates` chunks of every query that it is to read."""
        found = []
        for query in queries:
            vector: Vector = ()
            dense, keyword = [], []
            if query.dense and self.keyword_weight < 1:
                vector = self.embed(query.text)
                dense = self.nearest(vector, self.candidates)
            if query.keyword and self.keyword_weight > 0:
                keyword = self.keyword(query.text, self.candidates)
            found.append(Found(query, vector, dense, keyword))
        return found

    def fuse(self, found: Sequence[Found]) -> list[Document]:
        """Return the best `limit` passages of all queries together, each query counting by its weight."""
        ids = list(dict.fromkeys(id_ for each in found for hits in (each.dense, each.keyword) for id_, _ in hits))
        total = np.zeros(len(ids))
        for leg, share, scores in (
            ("dense", 1 - self.keyword_weight, self._cosines(found, ids)),
            ("keyword", self.keyword_weight, _matrix([each.keyword for each in found], ids)),
        ):
            weights = np.array([each.query.weight if getattr(each.query, leg) else 0.0 for each in found])
            best = np.maximum(scores.max(axis=1, initial=0.0, keepdims=True), 1e-9)
            total += share * (weights / (weights.sum() or 1.0)) @ np.clip(scores / best, 0, None)
        best_first = sorted(range(len(ids)), key=lambda at: (-total[at], ids[at]))[: self.limit]
        passages = self.fetch([ids[at] for at in best_first])
        legs = {leg: _highest(getattr(each, leg) for each in found) for leg in ("dense", "keyword")}
        top = {leg: max(hits.values(), default=0.0) for leg, hits in legs.items()}
        for passage, at in zip(passages, best_first, strict=True):
            passage.metadata |= {"score": float(total[at]), "best": top}
            passage.metadata |= {leg: hits.get(ids[at]) for leg, hits in legs.items()}
        return passages

    def _cosines(self, found: Sequence[Found], ids: list[str]) -> np.ndarray:
        """Return each query's cosine to every candidate, (queries, candidates), also to those of the keyword leg.

        Counted as 0 instead, nDCG@10 is 0.001 (hotpotqa100) to 0.014 (cacm) lower; a missing BM25 score may be 0.
        """
        cosines = _matrix([each.dense for each in found], ids)
        asked = [row for row, each in enumerate(found) if len(each.vector)]
        if missing := [at for at in range(len(ids)) if not cosines[asked, at].all()]:
            queries = np.array([found[row].vector for row in asked], dtype=np.float32)
            there = np.ix_(asked, missing)
            looked_up = queries @ self.vectors([ids[at] for at in missing]).T
            cosines[there] = np.where(cosines[there], cosines[there], looked_up)
        return cosines

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return self.fuse(self.legs([Query(query)]))


def _matrix(hits: Sequence[Hits], ids: list[str]) -> np.ndarray:
    """Return the scores, a row for each query and a column for each id; 0 where a leg did not bring it."""
    column = {id_: at for at, id_ in enumerate(ids)}
    scores = np.zeros((len(hits), len(ids)))
    for row, each in zip(scores, hits, strict=True):
        for id_, score in each:
            row[column[id_]] = score
    return scores


def _highest(hits: Iterable[Hits]) -> dict[str, float]:
    best: dict[str, float] = {}
    for each in hits:
        for id_, score in each:
            best[id_] = max(score, best.get(id_, score))
    return best
