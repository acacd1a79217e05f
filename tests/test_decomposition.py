"""Decomposition: questions that join or compare several are taken apart, any other is left whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.decomposition import build_decomposer, parts_of
from chains.queries import Query


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        ("Who was Ada Brown? Where did she live?", ["Who was Ada Brown?", "Where did she live?"]),
        ("Who built it and when did the mill burn?", ["Who built it", "when did the mill burn?"]),
        ("東京は?京都は?".replace("?", "？"), ["東京は？", "京都は？"]),
        ("Which is older, Oslo or Bergen?", ["Which is older, Oslo?", "Which is older, Bergen?"]),
        ("Are Jan Vos and Ada Brown both poets?", ["Are Jan Vos both poets?", "Are Ada Brown both poets?"]),
        (
            "What is the difference between Escape from the Dark and Big Hero 6?",
            [
                "What is the difference between Escape from the Dark?",
                "What is the difference between Big Hero 6?",
            ],
        ),
    ],
)
def test_a_question_of_several_parts_is_taken_apart(question: str, parts: list[str]) -> None:
    assert parts_of(question) == parts


@pytest.mark.parametrize(
    "question",
    [
        "When and where was Ada Brown born?",
        "Who wrote War and Peace?",
        "What do salt and pepper have in common?",
        "Is the heat transfer between 1 and 10 high?",
        "why",
        "",
        "???",
    ],
)
def test_a_question_of_one_part_stays_whole(question: str) -> None:
    assert parts_of(question) == []


def test_the_parts_stand_beside_the_question_for_the_keyword_leg_and_share_its_weight() -> None:
    asked = Query("Which is older, Oslo or Bergen?", 2.0)
    other = Query("another")
    found = build_decomposer().invoke({"history": [], "queries": (asked, other)})["queries"]
    assert found[:2] == (asked, other)
    assert [(query.weight, query.dense, query.made_by) for query in found[2:]] == [(1.0, False, "decomposition")] * 2


def test_a_whole_question_stays_the_only_query() -> None:
    asked = (Query("Who wrote War and Peace?"),)
    assert build_decomposer().invoke({"history": [], "queries": asked})["queries"] == asked


@given(st.text(max_size=200))
def test_parts_are_few_and_never_blank(question: str) -> None:
    parts = parts_of(question)
    assert len(parts) != 1
    assert len(parts) <= 4
    assert all(part.strip() for part in parts)
