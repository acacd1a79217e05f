"""The joined chain with a fake model and real passages: what an Answer holds, in which order it streams, its limits."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableLambda

from chains.answers import Answer
from chains.evidence import build_highlighter
from chains.follow_ups import build_follow_up
from chains.post_filter import REFUSAL, check
from chains.queries import Query, Turn, check_question
from chains.query_rewriting import build_query_rewriter
from chains.rag import ask, build_rag, stream_answer
from chains.retrieval_qa import RetrievalQA
from errors import QuestionError
from prompts import load_prompt

FILE = "The kettle Orion holds 3 litres of water. Ada Brown built it in Leeds.\n\nThe Danube flows through Vienna.\n"
CUT = FILE.index("The Danube")
QUESTION = "How many litres of water does the kettle hold?"
DRAFT = "The kettle Orion holds 3 litres of water [2]."


def passages() -> list[Document]:
    place: dict[str, Any] = {"source": "/docs/a.txt", "page": None, "section": "Facts"}
    return [
        Document(page_content=FILE[:CUT].strip(), metadata=place | {"line": 1, "start": 0, "score": 0.912345}),
        Document(page_content=FILE[CUT:].strip(), metadata=place | {"line": 3, "start": CUT, "score": 0.25}),
    ]


def rag(drafts: Iterable[str], embeddings: Embeddings, found: list[Document] | None = None) -> Runnable[Any, Any]:
    def search(queries: list[Query]) -> Any:
        return {"query": queries[0].text, "passages": passages() if found is None else found}

    searched = RunnableLambda(search) | build_highlighter(embeddings)
    llm = GenericFakeChatModel(messages=iter([AIMessage(draft) for draft in drafts]))
    return build_rag(
        rewriter=build_query_rewriter([build_follow_up()]),
        qa=RetrievalQA.from_llm(llm, searched, prompt=load_prompt("answer"), search_key="queries"),
        check_draft=partial(check, least_evidence=0.35, least_support=0.8),
    )


def test_an_answer_holds_the_checked_text_and_its_sources_verbatim(embeddings: Embeddings) -> None:
    answer = ask(rag([DRAFT], embeddings), QUESTION)
    assert answer.question == QUESTION
    assert answer.queries == (QUESTION,)
    assert answer.answer == "The kettle Orion holds 3 litres of water. [1]"
    assert (answer.cited, answer.abstained, answer.quoted, answer.dropped) == ((1,), False, False, 0)
    assert [source.n for source in answer.sources] == [1, 2]
    for source in answer.sources:
        assert FILE[source.start : source.start + len(source.text)] == source.text
        assert source.line == 1 + FILE.count("\n", 0, source.start)
        assert (source.source, source.section, source.page) == ("/docs/a.txt", "Facts", None)
    assert answer.sources[0].text == "The kettle Orion holds 3 litres of water."
    assert [source.score for source in answer.sources] == [0.9123, 0.25]
    stages, steps = ("rewrite", "retrieve", "generate", "check"), ("normalise", "follow_up", "highlight")
    assert {f"{name}_ms" for name in (*stages, *steps, "first_token", "total")} == set(answer.timings)


def test_the_draft_streams_piece_by_piece_and_the_answer_comes_last(embeddings: Embeddings) -> None:
    *pieces, last = stream_answer(rag([DRAFT], embeddings), QUESTION)
    assert all(isinstance(piece, str) for piece in pieces)
    assert len(pieces) > 5
    assert "".join(str(piece) for piece in pieces) == DRAFT
    assert isinstance(last, Answer)


def test_the_raw_chain_streams_sources_before_words_before_the_answer(embeddings: Embeddings) -> None:
    keys = [
        next(iter(chunk))
        for chunk in rag([DRAFT], embeddings).stream({"question": QUESTION, "history": []})
        if "question" not in chunk and "history" not in chunk
    ]
    wanted = ["queries", "query", "source_documents", "result", "answer"]
    assert [key for n, key in enumerate(keys) if key not in keys[:n]] == wanted
    assert keys.count("result") > 5


def test_an_unsupported_draft_becomes_a_quote(embeddings: Embeddings) -> None:
    answer = ask(rag(["It holds 9 gallons of Whisky."], embeddings), QUESTION)
    assert (answer.answer, answer.quoted) == ("The kettle Orion holds 3 litres of water. [1]", True)


def test_a_refusal_abstains_but_shows_what_was_read(embeddings: Embeddings) -> None:
    answer = ask(rag([REFUSAL], embeddings), QUESTION)
    assert (answer.answer, answer.abstained, answer.cited) == (REFUSAL, True, ())
    assert len(answer.sources) == 2


def test_without_passages_the_answer_is_an_abstention(embeddings: Embeddings) -> None:
    answer = ask(rag(["Anything at all."], embeddings, found=[]), QUESTION)
    assert (answer.answer, answer.abstained, answer.sources) == (REFUSAL, True, ())


def test_a_follow_up_is_searched_and_checked_as_its_stand_alone_form(embeddings: Embeddings) -> None:
    history: list[Turn] = [{"question": "What is the kettle Orion?", "answer": "A kettle."}]
    answer = ask(rag([DRAFT], embeddings), "What about its water?", history)
    assert answer.question == "What about its water?"
    assert answer.queries == ("What about kettle Orion's water?", "What about its water?")
    assert answer.sources[0].text == "The kettle Orion holds 3 litres of water."


async def test_the_chain_answers_asynchronously_too(embeddings: Embeddings) -> None:
    found = await rag([DRAFT], embeddings).ainvoke({"question": QUESTION, "history": []})
    assert found["answer"].answer == "The kettle Orion holds 3 litres of water. [1]"


def test_several_questions_at_once(embeddings: Embeddings) -> None:
    asked = [{"question": QUESTION, "history": []}] * 3
    answers = [state["answer"] for state in rag([DRAFT] * 3, embeddings).batch(asked)]
    assert len({answer.answer for answer in answers}) == 1


def test_a_passage_from_elsewhere_with_blank_text_does_no_harm(embeddings: Embeddings) -> None:
    blank = [*passages(), Document(page_content="Blank next.", metadata=passages()[0].metadata)]
    assert len(ask(rag([DRAFT], embeddings, found=blank), QUESTION).sources) == 3


@pytest.mark.parametrize("question", ["", "  \n\t", "\x00\x1b"])
def test_an_empty_question_is_a_question_error(question: str) -> None:
    with pytest.raises(QuestionError, match="empty"):
        check_question(question, 100)


def test_a_question_that_shows_nothing_is_empty_too() -> None:
    with pytest.raises(QuestionError, match="empty"):
        check_question("\u200b\u2060\ufeff", 100)


def test_a_question_is_measured_after_normalising_and_at_the_bound() -> None:
    assert check_question(f"  {'a' * 100}\n", 100) == "a" * 100
    with pytest.raises(QuestionError, match="it has 101 characters, 100 are allowed") as caught:
        check_question("a" * 101, 100)
    assert "RAG_MAX_QUESTION_CHARACTERS" in str(caught.value)
    assert len(str(caught.value)) < 200
