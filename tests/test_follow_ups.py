"""Follow-ups: stand-alone questions stay as they are, the others get their topic, with a model or without one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage

from chains.follow_ups import build_follow_up, focus, is_follow_up, resolve, topic
from chains.queries import Query, Turn, normalise
from errors import ModelError
from prompts import load_prompt

HISTORY: list[Turn] = [{"question": "What is chunk overlap?", "answer": "Text that two chunks share."}]
TOPIC = "chunk overlap"
FOLLOW_UP = "What are its drawbacks?"
ALONE = "What are chunk overlap's drawbacks?"

STAND_ALONE = [
    "What is the capital of France?",
    "How long does it take to boil an egg?",
    "Is it possible to use a GPU?",
    "Is there a limit to the size of a chunk?",
    "How many planets are there in the solar system?",
    "Who is the author of that book about Vienna?",
    "Android or iOS?",
    "Butter melts at what temperature?",
    "Sodium reacts with which gases?",
    "Moreover is an adverb of which kind?",
    "Why does ice float on water?",
    "Compare BM25 with dense retrieval.",
    "What does {context} mean in a prompt?",
    "It is raining in Paris today, is that usual for May?",
    "東京タワーの高さは?",
    "Was ist eine Vektordatenbank?",
    "What is one-hot encoding and how does the one-hot vector look?",
    "Which theorem is the one that is named after Noether?",
    "What does an IT department do?",
    "What is the theorem that is named after Noether?",
    "Why do elephants flap their ears?",
    "Who was Darwin and what did he discover?",
    "What are the causes of anaemia?",
    "What is the largest city in Peru?",
    "What about the Danube?",
    "Which language would be the easiest to learn?",
]
FOLLOW_UPS = [
    ("What are its drawbacks?", "What are chunk overlap's drawbacks?"),
    ("How are they chosen?", "How are chunk overlap chosen?"),
    ("Who invented that?", "Who invented chunk overlap?"),
    ("What does this mean?", "What does chunk overlap mean?"),
    ("How much memory do they need?", "How much memory do chunk overlap need?"),
    ("Why?", "Why (chunk overlap)?"),
    ("Tell me more.", "Tell me more (chunk overlap)?"),
    ("And for tables?", "And for tables (chunk overlap)?"),
    ("What about the cost?", "What about the cost (chunk overlap)?"),
    ("What about its cost?", "What about chunk overlap's cost?"),
    ("But why these?", "But why chunk overlap?"),
    ("How does it work?", "How does chunk overlap work?"),
    ("When was it introduced?", "When was chunk overlap introduced?"),
    ("How large is it?", "How large is chunk overlap?"),
    ("How long does it take?", "How long does chunk overlap take?"),
    ("Why is it needed at all?", "Why is chunk overlap needed at all?"),
    ("What are the main advantages?", "What are the main advantages (chunk overlap)?"),
    ("What is the impact on quality?", "What is the impact on quality (chunk overlap)?"),
    ("Are there any side effects?", "Are there any side effects (chunk overlap)?"),
    ("What is the largest in the world?", "What is the largest in the world (chunk overlap)?"),
    ("How did this idea come up?", "How did chunk overlap idea come up?"),
    ("I like that. What are the costs?", "I like that. What are the costs (chunk overlap)?"),
]


def follow_up(question: str, history: list[Turn], **options: Any) -> list[str]:
    draft = build_follow_up(**options).invoke({"history": history, "queries": (Query(question),)})
    return [query.text for query in draft["queries"]]


@pytest.mark.parametrize("question", STAND_ALONE)
def test_a_stand_alone_question_is_left_as_it_is(question: str) -> None:
    assert follow_up(question, HISTORY) == [question]


@pytest.mark.parametrize(("question", "stand_alone"), FOLLOW_UPS)
def test_a_follow_up_gets_the_topic_and_keeps_its_own_words_as_second_query(question: str, stand_alone: str) -> None:
    assert follow_up(question, HISTORY) == [stand_alone, question]


@pytest.mark.parametrize("question", ["What are its drawbacks?", "Why?", "And for tables?", "What are the costs?"])
def test_without_history_nothing_is_a_follow_up(question: str) -> None:
    assert follow_up(question, []) == [question]
    assert not is_follow_up(question, [])


def test_a_follow_up_that_names_the_topic_itself_is_not_given_it_again() -> None:
    for question in ("And is chunk overlap costly?", "What about chunk overlap, is it costly?"):
        assert follow_up(question, HISTORY) == [question]


@pytest.mark.parametrize(
    ("questions", "about"),
    [
        (["What is chunk overlap?"], "chunk overlap"),
        (["What is chunk overlap?", "What are its drawbacks?"], "chunk overlap"),
        (["What is chunk overlap?", "What is a reranker?"], "reranker"),
        (["Tell me about the Eiffel Tower."], "Eiffel Tower"),
        (["What are the main types of attention?"], "attention"),
        ([], ""),
        (["What is chunk overlap?", "When was it introduced?"], "chunk overlap"),
        (["What is chunk overlap?", "Do many people like tables?"], "chunk overlap"),
        (["How was Kestrel started?"], "Kestrel"),
        (["Why?"], ""),
    ],
)
def test_the_topic_is_what_the_newest_question_with_a_name_was_about(questions: list[str], about: str) -> None:
    assert topic([{"question": question, "answer": "…"} for question in questions]) == about


def test_a_person_is_found_in_the_answers_too() -> None:
    history: list[Turn] = [
        {"question": "Who built the kettle?", "answer": "Ada Brown built it in Leeds. Ada Brown died in 1911."}
    ]
    assert resolve("When was she born?", history) == "When was Ada Brown born?"
    assert resolve("What else did she build?", HISTORY) == "What else did chunk overlap build?"


@pytest.mark.parametrize(
    ("question", "about"),
    [
        ("What are the benefits of yoga?", "yoga"),
        ("What is the history of the Boise Greenbelt?", "Boise Greenbelt"),
        ("I heard Bernie Sanders was ill. What happened?", "Bernie Sanders"),
        ("Is melatonin bad for you?", "melatonin"),
        ("", ""),
        ("?", ""),
    ],
)
def test_the_focus_of_a_question_is_its_noun_phrase(question: str, about: str) -> None:
    assert focus(question) == about


def test_braces_are_literal() -> None:
    question = "And what does {history} or {{x}} stand for?"
    history: list[Turn] = [{"question": "What is {context}?", "answer": "{question} and {0}"}]
    assert question in follow_up(question, history)
    written = "What does {history} stand for?"
    assert follow_up(question, history, **model(written)) == [written, question]


def model(*texts: str) -> dict[str, Any]:
    llm = GenericFakeChatModel(messages=iter(AIMessage(text) for text in texts))  # raises when asked once too often
    return {"llm": llm, "prompt": load_prompt("condense")}


def test_the_model_writes_the_follow_up_where_that_is_asked_for() -> None:
    written = " What are the drawbacks\tof overlap? "
    assert follow_up(FOLLOW_UP, HISTORY, **model(written)) == ["What are the drawbacks of overlap?", FOLLOW_UP]


@pytest.mark.parametrize("written", ["", "  ", "?", "\x00\x01", "word " * 100])
def test_a_model_that_writes_nothing_or_too_much_gives_way_to_the_rules(written: str) -> None:
    assert follow_up(FOLLOW_UP, HISTORY, **model(written)) == [ALONE, FOLLOW_UP]


def test_a_model_that_fails_gives_way_to_the_rules(llm: BaseChatModel) -> None:
    # more prompt than the context holds: a real failure of the real model
    history: list[Turn] = [{**HISTORY[0], "answer": "chunks " * 20_000}]
    options: dict[str, Any] = {"llm": llm, "prompt": load_prompt("condense")}
    assert follow_up(FOLLOW_UP, history, **options, failures=(ModelError,)) == [ALONE, FOLLOW_UP]
    with pytest.raises(ModelError):
        follow_up(FOLLOW_UP, history, **options)


def test_the_model_is_not_asked_about_a_stand_alone_question() -> None:
    question = "What is the capital of France?"
    assert follow_up(question, HISTORY, **model()) == [question]


def test_the_condense_prompt_carries_history_and_question() -> None:
    rendered = load_prompt("condense").invoke({"history": "Question: a {b}", "question": "why {c}?"}).to_string()
    assert "Question: a {b}" in rendered
    assert "why {c}?" in rendered


@pytest.mark.parametrize("earlier", ["\r", "What is a\x00b\tc?"])
def test_a_history_that_was_not_normalised_does_no_harm(earlier: str) -> None:
    history: list[Turn] = [{"question": earlier, "answer": ""}]
    for query in follow_up("What is it like?", history):
        assert query == normalise(query) != ""
    assert topic([{"question": "\r", "answer": ""}]) == ""
    assert topic([{"question": "What is a\x00b\tc?", "answer": ""}]) == "ab c"


@given(st.text(max_size=200), st.text(max_size=60))
def test_any_text_can_be_asked_and_have_been_asked(question: str, earlier: str) -> None:
    history: list[Turn] = [{"question": earlier, "answer": earlier}]
    assert normalise(question) in follow_up(normalise(question), history)
