"""Retrieval: the fusion's arithmetic by hand, each leg alone, ties, bounds and several queries."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document

from chains.queries import Query
from chains.retrieval import Hits, HybridRetriever

IDS = "abcdefgh"
COSINES = {"a": 0.9, "b": 0.6, "c": 0.45, "d": 0.3}
DENSE: Hits = [("a", 0.9), ("b", 0.6)]
KEYWORD: Hits = [("c", 12.0), ("d", 6.0), ("b", 3.0)]


def documents(ids: Sequence[str]) -> list[Document]:
    return [Document(id=id_, page_content=f"text of {id_}", metadata={"source": f"{id_}.md"}) for id_ in ids]


def unit(cosine: float) -> list[float]:
    """Return a unit vector that has this cosine with (1, 0)."""
    return [cosine, float(np.sqrt(1 - cosine**2))]


def retriever(
    dense: Hits = DENSE, by_words: Hits = KEYWORD, *, limit: int = 10, weight: float = 0.5, **options: Any
) -> HybridRetriever:
    given: dict[str, Any] = {
        "embed": lambda text: [1.0, 0.0],
        "nearest": lambda vector, count: dense[:count],
        "keyword": lambda query, count: by_words[:count],
        "vectors": lambda ids: np.array([unit(COSINES.get(id_, 0.0)) for id_ in ids]),
    }
    return HybridRetriever(**(given | options), fetch=documents, limit=limit, keyword_weight=weight)


def scores(found: Sequence[Document]) -> dict[str | None, float]:
    return {passage.id: passage.metadata["score"] for passage in found}


def must_not_be_called(*_: object) -> Any:
    raise AssertionError("this leg is off")


def test_fusion_by_hand() -> None:
    # as shares of the best: cosines a 1, b 2/3, c 1/2, d 1/3; BM25 c 1, d 1/2, b 1/4, a 0
    found = scores(retriever(weight=0.25).invoke("q"))
    wanted = {"a": 0.75, "c": 0.75 / 2 + 0.25, "b": 0.75 * 2 / 3 + 0.25 / 4, "d": 0.75 / 3 + 0.25 / 2}
    assert found == pytest.approx(wanted)
    assert list(found) == ["a", "c", "b", "d"]


def test_what_only_the_keyword_leg_brings_counts_by_its_true_cosine() -> None:
    asked: list[list[str]] = []

    def vectors(ids: list[str]) -> np.ndarray:
        asked.append(ids)
        return np.array([unit(COSINES[id_]) for id_ in ids])

    found = scores(retriever(vectors=vectors).invoke("q"))
    assert asked == [["c", "d"]]  # of the others the dense leg has told the cosine
    assert found["c"] == pytest.approx(0.5 / 2 + 0.5)


def test_a_negative_cosine_counts_nothing() -> None:
    assert scores(retriever([("a", 0.5), ("c", -0.5)], [], weight=0).invoke("q")) == {"a": 1.0, "c": 0.0}
    assert scores(retriever([("a", -0.5)], [], weight=0).invoke("q")) == {"a": 0.0}


def test_empty_legs_give_what_the_other_leg_gives() -> None:
    assert list(scores(retriever([], KEYWORD).invoke("q"))) == ["c", "b", "d"]  # b is the nearest of them
    assert list(scores(retriever(DENSE, []).invoke("q"))) == ["a", "b"]
    assert retriever([], []).invoke("q") == []


def test_weight_0_asks_the_dense_leg_only() -> None:
    found = retriever(weight=0, keyword=must_not_be_called).invoke("q")
    assert scores(found) == pytest.approx({"a": 1.0, "b": 2 / 3})
    assert all(passage.metadata["keyword"] is None for passage in found)


def test_weight_1_asks_the_keyword_leg_only() -> None:
    found = retriever(weight=1, embed=must_not_be_called, nearest=must_not_be_called).invoke("q")
    assert scores(found) == pytest.approx({"c": 1.0, "d": 0.5, "b": 0.25})
    assert all(passage.metadata["dense"] is None for passage in found)


def test_passages_carry_the_legs_own_scores_beside_the_fused_one() -> None:
    found = {passage.id: passage.metadata for passage in retriever().invoke("q")}
    assert (found["a"]["dense"], found["a"]["keyword"]) == (0.9, None)
    assert (found["b"]["dense"], found["b"]["keyword"]) == (0.6, 3.0)
    assert (found["d"]["dense"], found["d"]["keyword"]) == (None, 6.0)
    assert found["a"]["source"] == "a.md"


def test_ties_are_broken_by_id_whatever_the_order_of_arrival() -> None:
    one = retriever([("b", 0.5), ("a", 0.5)], [], weight=0).invoke("q")
    other = retriever([("a", 0.5), ("b", 0.5)], [], weight=0).invoke("q")
    assert [passage.id for passage in one] == [passage.id for passage in other] == ["a", "b"]


def test_limit_cuts_after_fusion_not_before() -> None:
    found = retriever([("a", 0.9), ("b", 0.8)], [("b", 9.0), ("d", 1.0)], limit=1).invoke("q")
    assert [passage.id for passage in found] == ["b"]


def test_candidates_is_what_each_leg_is_asked_for() -> None:
    asked: list[int] = []

    def leg(query: object, count: int) -> Hits:
        asked.append(count)
        return []

    retriever(nearest=leg, keyword=leg, candidates=17).invoke("q")
    assert asked == [17, 17]


def several(hits: dict[str, Hits], **options: Any) -> HybridRetriever:
    """Return a retriever whose texts are their own vectors: each query has hits of its own in both legs."""
    return retriever(
        embed=lambda text: [float(len(text)), 0.0],
        nearest=lambda vector, count: hits[{3: "one", 4: "four"}[int(vector[0])]],
        keyword=lambda query, count: hits[query],
        vectors=lambda ids: np.zeros((len(ids), 2)),
        **options,
    )


def test_several_queries_count_alike() -> None:
    both = several({"one": [("a", 0.9), ("b", 0.45)], "four": [("b", 0.4), ("d", 0.2)]}, weight=0)
    found = both.fuse(both.legs([Query("one"), Query("four")]))
    assert scores(found) == pytest.approx({"b": (0.5 + 1) / 2, "a": 0.5, "d": 0.25})
    assert {passage.id: passage.metadata["dense"] for passage in found}["b"] == 0.45
    once, twice = (both.fuse(both.legs([Query("one")] * times)) for times in (1, 2))
    assert scores(once) == pytest.approx(scores(twice))


def test_a_query_counts_by_its_weight_in_the_legs_that_read_it() -> None:
    both = several({"one": [("a", 1.0), ("b", 0.5)], "four": [("b", 8.0), ("c", 4.0)]})
    found = scores(both.fuse(both.legs([Query("one", 3.0), Query("four", 1.0, dense=False)])))
    # dense: "one" alone; keyword: three quarters "one", a quarter "four"
    assert found["a"] == pytest.approx(0.5 * 1 + 0.5 * 0.75)
    assert found["b"] == pytest.approx(0.5 * 0.5 + 0.5 * (0.75 * 0.5 + 0.25 * 1))
    assert found["c"] == pytest.approx(0.5 * 0.25 * 0.5)


async def test_it_is_a_langchain_retriever() -> None:
    assert [d.id for d in await retriever(limit=2).ainvoke("q")] == [d.id for d in retriever(limit=2).invoke("q")]
    assert len(retriever().batch(["q", "r"])) == 2


def ranked(lowest: float, highest: float) -> st.SearchStrategy[Hits]:
    found = st.dictionaries(st.sampled_from(IDS), st.floats(lowest, highest, allow_nan=False), max_size=8)
    return found.map(lambda hits: sorted(hits.items(), key=lambda hit: -hit[1]))


@given(dense=ranked(-1, 1), keyword=ranked(0, 60), weight=st.floats(0, 1))
def test_fused_scores_stay_in_0_to_1_and_fall(dense: Hits, keyword: Hits, weight: float) -> None:
    found = scores(retriever(dense, keyword, weight=weight).invoke("q"))
    assert all(-1e-9 <= score <= 1 + 1e-9 for score in found.values())
    assert list(found.values()) == sorted(found.values(), reverse=True)
    legs = (*(dense if weight < 1 else ()), *(keyword if weight > 0 else ()))
    assert found.keys() == {id_ for id_, _ in legs}


@given(dense=ranked(-1, 1), keyword=ranked(0, 60), weight=st.floats(0, 1))
def test_the_same_hits_in_any_order_of_ties_give_the_same_ranking(dense: Hits, keyword: Hits, weight: float) -> None:
    turned = [sorted(hits, key=lambda hit: (-hit[1], -ord(hit[0]))) for hits in (dense, keyword)]
    one, other = (scores(retriever(*legs, weight=weight).invoke("q")) for legs in ((dense, keyword), turned))
    assert list(one) == list(other)
    assert one == pytest.approx(other)
