"""Synonyms: a user's list is read strictly, and each of its words brings the question with the others in its place."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.queries import Query
from chains.synonyms import build_synonyms, load_synonyms
from errors import SettingsError

GROUPS = [("PTO", "paid time off", "leave"), ("C++", "cpp")]


def test_a_file_holds_a_group_a_line(tmp_path: Path) -> None:
    file = tmp_path / "synonyms.txt"
    file.write_text("\ufeff# ours\nPTO, paid  time off ,leave,\n\n  C++,cpp,cpp\n", encoding="utf-8")
    assert load_synonyms(file) == GROUPS


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"car, automobile\nPTO\n", "line 2: it names no two synonyms"),
        (b"car, car\n", "line 1: it names no two synonyms"),
        (b"\xff\xfe\n", "can't be read"),
        (None, "can't be read"),
    ],
)
def test_a_file_that_is_missing_or_wrong_is_one_clear_line(tmp_path: Path, data: bytes | None, message: str) -> None:
    file = tmp_path / "synonyms.txt"
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(SettingsError, match=message) as caught:
        load_synonyms(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def added(question: str) -> list[str]:
    first = Query(question)
    found = build_synonyms(GROUPS).invoke({"history": [], "queries": (first,)})["queries"]
    assert found[0] == first
    assert sum(query.weight for query in found[1:]) in (0, pytest.approx(0.5))
    assert all(query.made_by == "synonyms" for query in found[1:])
    return [query.text for query in found[1:]]


@pytest.mark.parametrize(
    ("question", "others"),
    [
        ("How much pto have I?", ["How much paid time off have I?", "How much leave have I?"]),
        ("Is paid time off taxed?", ["Is PTO taxed?", "Is leave taxed?"]),
        ("Is C++ fast?", ["Is cpp fast?"]),
        ("Is cleaver a word?", []),
        ("Is {0} C++?", ["Is {0} cpp?"]),
    ],
)
def test_each_synonym_takes_the_words_place(question: str, others: list[str]) -> None:
    assert added(question) == others


@given(st.text(min_size=1, max_size=100).filter(str.strip))
def test_any_question_is_taken(question: str) -> None:
    assert len(added(question)) <= 6
