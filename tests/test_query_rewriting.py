"""Query rewriting: stand-alone questions stay as they are, follow-ups get their topic, and nothing is ever blank."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

from chains.query_rewriting import Turn, build_query_rewriter, is_follow_up, normalise, resolve, topic
from prompts import load_prompt

HISTORY: list[Turn] = [{"question": "What is chunk overlap?", "answer": "Text that two chunks share."}]
TOPIC = "chunk overlap"
FOLLOW_UP = "What are its drawbacks?"

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
    "What is one-hot encoding and how does the one-hot vector look?",
    "Which theorem is the one that is named after Noether?",
    "What does an IT department do?",
    "What is the theorem that is named after Noether?",
    "Why do elephants flap their ears?",
    "Who was Darwin and what did he discover?",
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
]


@pytest.mark.parametrize("question", STAND_ALONE)
def test_a_stand_alone_question_is_left_as_it_is(question: str) -> None:
    assert build_query_rewriter("rules").invoke({"question": question, "history": HISTORY}) == [question]


@pytest.mark.parametrize(("question", "stand_alone"), FOLLOW_UPS)
def test_a_follow_up_gets_the_topic_and_keeps_its_own_words_as_second_query(question: str, stand_alone: str) -> None:
    assert build_query_rewriter("rules").invoke({"question": question, "history": HISTORY}) == [stand_alone, question]


@pytest.mark.parametrize("question", ["What are its drawbacks?", "Why?", "And for tables?"])
def test_without_history_nothing_is_a_follow_up(question: str) -> None:
    assert build_query_rewriter("rules").invoke({"question": question, "history": []}) == [question]
    assert not is_follow_up(question, [])


@pytest.mark.parametrize("question", ["What are its drawbacks?", "Why?"])
def test_mode_off_leaves_follow_ups_alone(question: str) -> None:
    assert build_query_rewriter("off").invoke({"question": f"  {question} ", "history": HISTORY}) == [question]


def test_a_follow_up_that_names_the_topic_itself_is_not_given_it_twice() -> None:
    asked = {"question": "And is Chunk Overlap costly for them?", "history": HISTORY}
    stand_alone = build_query_rewriter("rules").invoke(asked)[0]
    assert stand_alone.casefold().count(TOPIC) <= 2
    assert resolve({"question": "And is chunk overlap costly?", "history": HISTORY}).startswith("And is chunk overlap")


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
    ],
)
def test_the_topic_is_what_the_newest_question_with_a_name_was_about(questions: list[str], about: str) -> None:
    assert topic([{"question": question, "answer": "…"} for question in questions]) == about


def test_braces_are_literal_in_every_mode() -> None:
    question = "And what does {history} or {{x}} stand for?"
    history: list[Turn] = [{"question": "What is {context}?", "answer": "{question} and {0}"}]
    for mode in ("off", "rules"):
        assert question in build_query_rewriter(mode).invoke({"question": question, "history": history})
    llm = GenericFakeChatModel(messages=iter([AIMessage("What does {history} stand for?")]))
    rewriter = build_query_rewriter("model", llm=llm, prompt=load_prompt("condense"))
    assert rewriter.invoke({"question": question, "history": history}) == ["What does {history} stand for?", question]


def with_model(*texts: str) -> list[str]:
    llm = GenericFakeChatModel(messages=iter(AIMessage(text) for text in texts))
    rewriter = build_query_rewriter("model", llm=llm, prompt=load_prompt("condense"))
    return rewriter.invoke({"question": FOLLOW_UP, "history": HISTORY})


def test_the_model_writes_the_follow_up_where_that_is_asked_for() -> None:
    assert with_model(" What are the drawbacks\tof overlap? ") == ["What are the drawbacks of overlap?", FOLLOW_UP]


@pytest.mark.parametrize("written", ["", "  ", "?", "\x00\x01", "word " * 100])
def test_a_model_that_writes_nothing_or_too_much_gives_way_to_the_rules(written: str) -> None:
    assert with_model(written) == ["What are chunk overlap's drawbacks?", FOLLOW_UP]


def test_the_model_is_not_asked_about_a_stand_alone_question() -> None:
    llm = GenericFakeChatModel(messages=iter([]))  # raises when it is asked
    rewriter = build_query_rewriter("model", llm=llm, prompt=load_prompt("condense"))
    question = "What is the capital of France?"
    assert rewriter.invoke({"question": question, "history": HISTORY}) == [question]


def test_the_condense_prompt_carries_history_and_question() -> None:
    rendered = load_prompt("condense").invoke({"history": "Question: a {b}", "question": "why {c}?"}).to_string()
    assert "Question: a {b}" in rendered
    assert "why {c}?" in rendered


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


texts = st.text(max_size=60)
words = st.sampled_from(
    [
        "what",
        "is",
        "it",
        "they",
        "why",
        "and",
        "its",
        "that",
        "the",
        "one",
        "there",
        "does",
        "{x}",
        "Vienna",
        "?",
        ".",
        "how",
    ]
)
questions = st.one_of(texts, st.lists(words, min_size=1, max_size=8).map(" ".join))
turns = st.lists(st.fixed_dictionaries({"question": questions.map(normalise), "answer": texts}), max_size=3)


@given(question=questions.filter(lambda q: bool(normalise(q))), history=turns, mode=st.sampled_from(["off", "rules"]))
def test_queries_are_never_blank_never_double_and_free_of_control_characters(
    question: str, history: list[Turn], mode: str
) -> None:
    queries = build_query_rewriter(mode).invoke({"question": question, "history": history})
    assert 1 <= len(queries) <= 2
    assert len(set(queries)) == len(queries)
    assert queries[-1] == normalise(question)
    for query in queries:
        assert query.strip()
        assert not any(unicodedata.category(c) == "Cc" for c in query)


@pytest.mark.parametrize("earlier", ["\r", "What is a\x00b\tc?"])
def test_a_history_that_was_not_normalised_does_no_harm(earlier: str) -> None:
    history: list[Turn] = [{"question": earlier, "answer": ""}]
    for query in build_query_rewriter("rules").invoke({"question": "What is it like?", "history": history}):
        assert query == normalise(query) != ""
    assert topic([{"question": "\r", "answer": ""}]) == ""
    assert topic([{"question": "What is a\x00b\tc?", "answer": ""}]) == "ab c"


@given(texts)
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)
