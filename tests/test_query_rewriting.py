"""The rewriter: its steps run in order by their names, and whatever they are, no query is blank, double or unclean."""

import unicodedata
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import Runnable

from chains.decomposition import build_decomposer
from chains.follow_ups import build_follow_up
from chains.queries import Draft, Query, Turn, distinct, normalise
from chains.query_rewriting import build_query_rewriter
from chains.spelling import build_corrector, build_speller
from chains.synonyms import build_synonyms

DICTIONARY = {"chunk": 9, "overlap": 7, "vienna": 3, "what": 5, "kestrel": 2}
HISTORY: list[Turn] = [{"question": "What is chunk overlap?", "answer": "Text that two chunks share."}]


def all_steps() -> list[Runnable[Draft, Draft]]:
    speller = build_speller(lambda: DICTIONARY, lambda: {"drawback", "drawbacks"})
    synonyms = build_synonyms([("overlap", "window"), ("vienna", "wien")])
    return [build_follow_up(), build_corrector(speller), build_decomposer(), synonyms]


def rewrite(question: str, history: list[Turn], *, bare: bool = False) -> list[Query]:
    return build_query_rewriter([] if bare else all_steps()).invoke({"question": question, "history": history})


def test_without_steps_the_normalised_question_is_the_only_query() -> None:
    assert rewrite("  What are\tits drawbacks? ", HISTORY, bare=True) == [Query("What are its drawbacks?")]


def test_the_steps_work_on_what_the_one_before_made() -> None:
    queries = rewrite("What are its drawbakcs?", HISTORY)
    assert [(query.text, query.made_by) for query in queries] == [
        ("What are chunk overlap's drawbakcs?", "follow-up"),
        ("What are its drawbakcs?", "question"),
        ("What are chunk window's drawbakcs?", "synonyms"),
    ]
    queries = rewrite("What is the overlpa?", [])
    assert [query.text for query in queries if query.weight >= 1] == ["What is the overlpa?", "What is the overlap?"]


class Names(BaseCallbackHandler):
    def __init__(self) -> None:
        self.names: list[str] = []

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: UUID, name: str | None = None, **_: Any) -> None:
        self.names.append(name or "")


def test_every_step_shows_in_a_trace_by_its_name() -> None:
    trace = Names()
    build_query_rewriter(all_steps()).invoke({"question": "Why?", "history": HISTORY}, config={"callbacks": [trace]})
    assert trace.names == ["rewrite", "normalise", "follow_up", "correct", "decompose", "synonyms", "queries"]


async def test_it_can_be_awaited_and_batched() -> None:
    asked = {"question": "Why?", "history": HISTORY}
    rewriter = build_query_rewriter(all_steps())
    assert await rewriter.ainvoke(asked) == rewriter.batch([asked])[0] == rewriter.invoke(asked)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("  a\tb\n c ", "a b c"),
        ("a\x00b\x1bc", "abc"),
        ("cafe\u0301", "caf\u00e9"),
        ("a\u00a0b\u2003c", "a b c"),
        ("line\r\nbreak", "line break"),
    ],
)
def test_control_characters_and_runs_of_space_go_and_accents_are_composed(raw: str, clean: str) -> None:
    assert normalise(raw) == clean


def test_blank_and_double_queries_are_left_out_by_text_and_legs() -> None:
    a, b = Query("a"), Query("a", dense=False)
    assert distinct([a, Query(" "), b, Query("a", 0.2), Query("")]) == (a, b)


texts = st.text(max_size=60)
TOKENS = "what is it they why and its that the one there does {x} Vienna ? . how overlpa RAG_STORE both or 5km x_1"
words = st.sampled_from(TOKENS.split())
questions = st.one_of(texts, st.lists(words, min_size=1, max_size=8).map(" ".join))
turns = st.lists(st.fixed_dictionaries({"question": questions.map(normalise), "answer": texts}), max_size=3)
asked = st.tuples(questions.filter(lambda q: bool(normalise(q))), turns, st.booleans())


@given(asked)
def test_queries_are_never_blank_never_double_and_free_of_control_characters(asked: Any) -> None:
    question, history, bare = asked
    queries = rewrite(question, history, bare=bare)
    assert queries
    assert len({(query.text, query.dense, query.keyword) for query in queries}) == len(queries)
    assert normalise(question) in [query.text for query in queries]
    for query in queries:
        assert query.text.strip()
        assert query.weight > 0
        assert query.dense or query.keyword
        assert not any(unicodedata.category(c) == "Cc" for c in query.text)


@given(st.lists(st.sampled_from(["{x}", "{{0}}", "RAG_STORE", "v1.2.3", "/etc/overlpa", "x_1", "iPhone", "a@b.c"])))
def test_codes_and_braces_stay_as_they_are(tokens: list[str]) -> None:
    question = " ".join(["What is overlpa", *tokens])
    for query in rewrite(question, []):
        assert query.text.endswith(" ".join(tokens))


@given(texts)
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)
