"""Retrieval: the fusion's arithmetic by hand, each leg alone, ties, bounds and several queries."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document

from chains.queries import Query
from chains.retrieval import Hits, HybridRetriever, fuse

DENSE: Hits = [("a", 0.9), ("b", 0.7), ("c", 0.5)]
KEYWORD: Hits = [("c", 12.0), ("d", 6.0), ("b", 4.0)]


def documents(ids: Sequence[str]) -> list[Document]:
    return [Document(id=id_, page_content=f"text of {id_}", metadata={"source": f"{id_}.md"}) for id_ in ids]


def retriever(dense: Hits = DENSE, keyword: Hits = KEYWORD, *, limit: int = 10, weight: float = 0.5) -> HybridRetriever:
    return HybridRetriever(
        dense=lambda query, count: dense[:count],
        keyword=lambda query, count: keyword[:count],
        fetch=documents,
        limit=limit,
        keyword_weight=weight,
    )


def must_not_be_called(query: str, count: int) -> Hits:
    raise AssertionError("this leg is off")


def test_fusion_by_hand() -> None:
    # dense scaled: a 1, b 0.5, c 0; keyword scaled: c 1, d 0.25, b 0
    fused = fuse(DENSE, KEYWORD, 0.25)
    assert fused == [
        ("a", pytest.approx(0.75)),
        ("b", pytest.approx(0.375)),
        ("c", pytest.approx(0.25)),
        ("d", pytest.approx(0.0625)),
    ]


def test_a_leg_whose_hits_are_all_equal_counts_them_whole() -> None:
    assert fuse([("a", 0.3), ("b", 0.3)], [], 0.5) == [("a", 0.5), ("b", 0.5)]
    assert fuse([("a", -0.3)], [], 0.25) == [("a", 0.75)]


def test_negative_cosines_are_scaled_as_any_other() -> None:
    assert fuse([("a", 0.5), ("b", 0.0), ("c", -0.5)], [], 0.0) == [("a", 1.0), ("b", 0.5), ("c", 0.0)]


def test_empty_legs_give_what_the_other_leg_gives() -> None:
    assert fuse([], [], 0.5) == []
    assert [id_ for id_, _ in fuse([], KEYWORD, 0.5)] == ["c", "d", "b"]
    assert [id_ for id_, _ in fuse(DENSE, [], 0.5)] == ["a", "b", "c"]
    assert retriever([], []).invoke("q") == []


def test_weight_0_asks_the_dense_leg_only() -> None:
    found = HybridRetriever(
        dense=lambda q, n: DENSE, keyword=must_not_be_called, fetch=documents, limit=9, keyword_weight=0
    ).invoke("q")
    assert [d.id for d in found] == ["a", "b", "c"]
    assert [d.metadata["score"] for d in found] == pytest.approx([1.0, 0.5, 0.0])
    assert all(d.metadata["keyword"] is None for d in found)


def test_weight_1_asks_the_keyword_leg_only() -> None:
    found = HybridRetriever(
        dense=must_not_be_called, keyword=lambda q, n: KEYWORD, fetch=documents, limit=9, keyword_weight=1
    ).invoke("q")
    assert [d.id for d in found] == ["c", "d", "b"]
    assert [d.metadata["score"] for d in found] == pytest.approx([1.0, 0.25, 0.0])
    assert all(d.metadata["dense"] is None for d in found)


def test_passages_carry_the_legs_own_scores_beside_the_fused_one() -> None:
    found = {d.id: d.metadata for d in retriever().invoke("q")}
    assert (found["a"]["dense"], found["a"]["keyword"]) == (0.9, None)
    assert (found["c"]["dense"], found["c"]["keyword"]) == (0.5, 12.0)
    assert (found["d"]["dense"], found["d"]["keyword"]) == (None, 6.0)
    assert found["a"]["source"] == "a.md"


def test_ties_are_broken_by_id_whatever_the_order_of_arrival() -> None:
    one = retriever([("b", 0.5), ("a", 0.5)], [("d", 1.0), ("c", 1.0)]).invoke("q")
    other = retriever([("a", 0.5), ("b", 0.5)], [("c", 1.0), ("d", 1.0)]).invoke("q")
    assert [d.id for d in one] == [d.id for d in other] == ["a", "b", "c", "d"]


def test_limit_cuts_after_fusion_not_before() -> None:
    found = retriever([("a", 0.9), ("b", 0.8), ("z", 0.1)], [("b", 9.0), ("y", 1.0)], limit=1).invoke("q")
    assert [d.id for d in found] == ["b"]


def test_candidates_is_what_each_leg_is_asked_for() -> None:
    asked: list[tuple[str, int]] = []

    def leg(query: str, count: int) -> Hits:
        asked.append((query, count))
        return []

    HybridRetriever(dense=leg, keyword=leg, fetch=documents, limit=3, candidates=17).invoke("q")
    assert asked == [("q", 17), ("q", 17)]


def test_several_queries_count_alike() -> None:
    hits: dict[str, Hits] = {"one": [("a", 0.9), ("b", 0.8), ("c", 0.0)], "two": [("b", 0.4), ("d", 0.2), ("e", 0.1)]}
    several = HybridRetriever(
        dense=lambda q, n: hits[q], keyword=must_not_be_called, fetch=documents, limit=9, keyword_weight=0
    )
    scores = {d.id: d.metadata["score"] for d in several.search([Query("one"), Query("two")])}
    assert scores["a"] == pytest.approx(0.5)
    assert scores["b"] == pytest.approx((8 / 9 + 1) / 2)
    assert scores["d"] == pytest.approx(1 / 6)
    assert next(iter(scores)) == "b"
    best_cosine = {d.id: d.metadata["dense"] for d in several.search([Query("one"), Query("two")])}
    assert best_cosine["b"] == 0.8
    same_twice = several.search([Query("one"), Query("one")])
    assert [(d.id, d.metadata["score"]) for d in same_twice] == [
        (d.id, pytest.approx(d.metadata["score"])) for d in several.search([Query("one")])
    ]


def test_a_query_counts_by_its_weight_in_the_legs_that_read_it() -> None:
    hits: dict[str, Hits] = {"one": [("a", 1.0), ("b", 0.5), ("z", 0.0)], "two": [("b", 8.0), ("c", 4.0), ("z", 0.0)]}
    legs = HybridRetriever(dense=lambda q, n: hits[q], keyword=lambda q, n: hits[q], fetch=documents, limit=9)
    scores = {d.id: d.metadata["score"] for d in legs.search([Query("one", 3.0), Query("two", 1.0, dense=False)])}
    # dense: "one" alone; keyword: three quarters "one", a quarter "two"
    assert scores["a"] == pytest.approx(0.5 * 1 + 0.5 * 0.75)
    assert scores["b"] == pytest.approx(0.5 * 0.5 + 0.5 * (0.75 * 0.5 + 0.25 * 1))
    assert scores["c"] == pytest.approx(0.5 * 0.25 * 0.5)


async def test_it_is_a_langchain_retriever() -> None:
    assert [d.id for d in await retriever(limit=2).ainvoke("q")] == [d.id for d in retriever(limit=2).invoke("q")]
    assert len(retriever().batch(["q", "r"])) == 2


def ranked(lowest: float, highest: float) -> st.SearchStrategy[Hits]:
    scores = st.floats(lowest, highest, allow_nan=False)
    hits = st.dictionaries(st.sampled_from("abcdefgh"), scores, max_size=8)
    return hits.map(lambda found: sorted(found.items(), key=lambda hit: -hit[1]))


@given(dense=ranked(-1, 1), keyword=ranked(0, 60), weight=st.floats(0, 1))
def test_fused_scores_stay_in_0_to_1_and_fall(dense: Hits, keyword: Hits, weight: float) -> None:
    fused = fuse(dense, keyword, weight)
    scores = [score for _, score in fused]
    assert all(-1e-9 <= score <= 1 + 1e-9 for score in scores)
    assert scores == sorted(scores, reverse=True)
    assert {id_ for id_, _ in fused} == {id_ for id_, _ in (*dense, *keyword)}


@given(dense=ranked(-1, 1), keyword=ranked(0, 60), weight=st.floats(0, 1))
def test_the_same_hits_in_any_order_of_ties_give_the_same_ranking(dense: Hits, keyword: Hits, weight: float) -> None:
    turned = [sorted(hits, key=lambda hit: (-hit[1], -ord(hit[0]))) for hits in (dense, keyword)]
    assert fuse(dense, keyword, weight) == fuse(turned[0], turned[1], weight)
