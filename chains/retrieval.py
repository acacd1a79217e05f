"""Queries come in; passages found by meaning and by words, fused into one ranking, go out."""

from collections.abc import Callable, Sequence

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from chains.queries import Query

Hits = list[tuple[str, float]]  # (chunk id, score), best first
Leg = Callable[[str, int], Hits]  # query, how many at most
Fetch = Callable[[list[str]], list[Document]]  # ids → chunks, in the same order


class HybridRetriever(BaseRetriever):
    """Find passages by a dense and a keyword leg; `metadata["score"]` is the fused score in [0, 1].

    Each passage also carries `metadata["dense"]` (cosine) and `metadata["keyword"]` (BM25), None where that leg did not
    bring it.
    """

    dense: Leg
    keyword: Leg
    fetch: Fetch
    limit: int
    candidates: int = 100
    keyword_weight: float = 0.5

    def search(self, queries: Sequence[Query]) -> list[Document]:
        """Return the best `limit` passages for all queries together, each by its weight in the legs that read it."""
        fused: dict[str, float] = {}
        cosine: dict[str, float] = {}
        bm25: dict[str, float] = {}
        dense_sum = sum(query.weight for query in queries if query.dense)
        keyword_sum = sum(query.weight for query in queries if query.keyword)
        for query in queries:
            dense = self.dense(query.text, self.candidates) if query.dense and self.keyword_weight < 1 else []
            keyword = self.keyword(query.text, self.candidates) if query.keyword and self.keyword_weight > 0 else []
            for hits, total in (
                (fuse(dense, [], self.keyword_weight), dense_sum),
                (fuse([], keyword, self.keyword_weight), keyword_sum),
            ):
                for id_, score in hits:
                    fused[id_] = fused.get(id_, 0.0) + score * query.weight / total
            for seen, hits in ((cosine, dense), (bm25, keyword)):
                for id_, score in hits:
                    seen[id_] = max(score, seen.get(id_, score))
        best = sorted(fused, key=lambda id_: (-fused[id_], id_))[: self.limit]
        passages = self.fetch(best)
        for passage in passages:
            key = str(passage.id)
            passage.metadata |= {"score": fused[key], "dense": cosine.get(key), "keyword": bm25.get(key)}
        return passages

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return self.search([Query(query)])


def fuse(dense: Hits, keyword: Hits, keyword_weight: float) -> Hits:
    """Return the weighted sum of both legs' scores, each scaled to [0, 1] over its hits, best first.

    A chunk that a leg did not bring counts 0 there. This convex combination keeps how far apart the scores are, which
    reciprocal rank fusion throws away (Bruch, Gai and Ingber 2023, arXiv 2210.11934).
    """
    total: dict[str, float] = {}
    for hits, weight in ((dense, 1 - keyword_weight), (keyword, keyword_weight)):
        if not hits:
            continue
        lowest, highest = hits[-1][1], hits[0][1]
        for id_, score in hits:
            scaled = (score - lowest) / (highest - lowest) if highest > lowest else 1.0
            total[id_] = total.get(id_, 0.0) + weight * scaled
    return sorted(total.items(), key=lambda hit: (-hit[1], hit[0]))
