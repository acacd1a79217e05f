"""Explain: what a Recorder sees of real Runnables, and at which stage a chunk was lost by the ranks that it had."""

from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableLambda

from chains.evidence import Sentence
from chains.explain import Place, Recorder, explain_run, how_read, lost_at, places
from chains.queries import Query
from chains.reranking import build_reranker
from chains.retrieval import Found, Hits

DENSE: Hits = [("a", 0.9), ("b", 0.7), ("c", 0.5)]
KEYWORD: Hits = [("c", 12.0), ("a", 6.0)]
QUERY = Query("who?")


def passage(id_: str, score: float, **more: Any) -> Document:
    place = {"source": f"/{id_}.md", "page": None, "line": 1, "section": "", "start": 0}
    text = f"text of {id_}"
    sentences = [Sentence(0, 1, text, score)]
    return Document(id=id_, page_content=text, metadata={**place, "score": score, "sentences": sentences, **more})


def stage(name: str, value: Any) -> RunnableLambda[Any, Any]:
    return RunnableLambda(lambda _: value, name=name)


def ranking(name: str, ids: str) -> RunnableLambda[Any, Any]:
    return stage(name, [passage(id_, 1 - at / 10) for at, id_ in enumerate(ids)])


def legs(dense: Hits = DENSE, keyword: Hits = KEYWORD) -> RunnableLambda[Any, Any]:
    return stage("legs", [Found(QUERY, (1.0,), dense, keyword)])


def recorded(*stages: Runnable[Any, Any], streamed: bool = False) -> Recorder:
    seen = Recorder()
    chain = stages[0]
    for each in stages[1:]:
        chain = chain | each
    if streamed:
        list(chain.stream([QUERY], config={"callbacks": [seen]}))
    else:
        chain.invoke([QUERY], config={"callbacks": [seen]})
    return seen


@pytest.mark.parametrize("streamed", [False, True])
def test_each_stage_tells_rank_and_score_as_they_were_then(streamed: bool) -> None:
    def backwards(query: str, passages: Sequence[Document]) -> list[float]:
        return [float(n) for n in range(len(passages))]

    reranker = build_reranker(backwards, candidates=3, limit=3)
    ready: RunnableLambda[Any, Any] = RunnableLambda(lambda found: {"query": "who?", "passages": found})
    seen = recorded(legs(), ranking("fuse", "abc"), ready, reranker, streamed=streamed)
    assert places(seen, {"a"}) == {
        "dense": Place(1, 0.9),
        "keyword": Place(2, 6.0),
        "fuse": Place(1, 1.0),
        "rerank": Place(3, 0.0),
    }
    assert places(seen, {"b", "c"})["fuse"] == Place(2, 0.9), "the best of several"
    assert places(seen, {"z"}) == {}
    explained = explain_run(seen)
    assert [p.source for p in explained.passages] == ["/c.md", "/b.md", "/a.md"]
    assert explained.queries == (QUERY._asdict(),)
    assert {"legs_ms", "fuse_ms", "rerank_ms", "total_ms"} == set(explained.timings)


def test_the_best_rank_of_several_queries_counts() -> None:
    found = [Found(QUERY, (1.0,), DENSE, []), Found(Query("what?"), (1.0,), DENSE[::-1], [])]
    assert places(recorded(stage("legs", found)), {"c"}) == {"dense": Place(1, 0.5)}


def test_a_joined_passage_stands_for_all_its_chunks() -> None:
    joined = stage("passages", [passage("a", 1.0, chunks=["a", "b"])])
    seen = recorded(legs(), ranking("fuse", "abc"), joined)
    assert lost_at(seen, {"b"}, 1) == ""
    assert lost_at(seen, {"c"}, 1) == "fuse", "first by keyword, third fused"


@pytest.mark.parametrize(
    ("id_", "limit", "lost"),
    [
        ("z", 2, "retrieve"),
        ("e", 2, "fuse"),  # behind all that go on
        ("b", 2, ""),
        ("c", 2, "light"),
        ("a", 2, "rerank"),
        ("d", 2, "cut"),  # never among the first
        ("b", 1, ""),
        ("c", 1, "light"),
        ("a", 1, "rerank"),
    ],
)
def test_the_stage_that_moved_a_chunk_out_of_the_first_places_lost_it(id_: str, limit: int, lost: str) -> None:
    hits: Hits = [("c", 0.9), ("a", 0.8), ("b", 0.7), ("d", 0.6), ("e", 0.5)]
    orders = {"fuse": "cabd", "light": "abcd", "rerank": "bdac"}
    seen = recorded(
        legs(hits, []), *(ranking(*order) for order in orders.items()), ranking("cut", orders["rerank"][:limit])
    )
    if (id_, limit) == ("d", 2):
        id_, lost = "d", ""
    assert lost_at(seen, {id_}, limit) == lost


def asked(kept: str, show: str, reply: str = "so") -> Recorder:
    fit = stage("fit", {"source_documents": [passage(id_, 1.0) for id_ in kept]})
    model = GenericFakeChatModel(messages=iter([AIMessage(reply)]))
    return recorded(legs(), ranking("fuse", "abc"), ranking("cut", "abc"), fit, stage("prompt", show), model)


def test_what_does_not_fit_the_model_or_is_not_shown_to_it_is_lost_there() -> None:
    seen = asked("ab", "[1] text of a")
    assert [lost_at(seen, {id_}, 3) for id_ in "abc"] == ["", "read", "fit"]
    assert [p.read for p in explain_run(seen).passages] == ["whole", "", "dropped"]


def test_a_model_that_writes_queries_reads_no_passage() -> None:
    seen = Recorder()
    GenericFakeChatModel(messages=iter([AIMessage("so")])).invoke("text of a", config={"callbacks": [seen]})
    assert seen.prompt == ""
    assert how_read(seen, {"a"}) == ""


def test_nothing_is_explained_of_nothing() -> None:
    assert explain_run(Recorder()).passages == ()
    assert lost_at(recorded(legs([], []), ranking("fuse", "")), {"a"}, 3) == "retrieve"
