"""Facts: the same number is found however it is written, with its unit; names and negation likewise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.facts import is_negated, names, numbers, unheld


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1,000 men", {"1000"}),
        ("1000.0 men", {"1000"}),
        ("one thousand men", {"1000"}),
        ("ten of twenty-one", {"10", "21"}),
        ("3 million or 3,000,000", {"3000000"}),
        ("1.5 billion", {"1500000000"}),
        ("the 21st century", {"21"}),
        ("on 5 October 2012", {"5", "october", "2012"}),
        ("2012-10-05", {"5", "october", "2012"}),
        ("He may march in May 1968", {"may", "1968"}),
        ("one of them", set()),
        ("١٢ رجلا", {"12"}),
        ("version 1.2.3", {"123"}),
        ("", set()),
    ],
)
def test_numbers_are_found_in_one_form(text: str, found: set[str]) -> None:
    assert numbers(text).keys() == found


@pytest.mark.parametrize(
    ("one", "other"), [("5 km", "5 kilometres"), ("5%", "5 percent"), ("$5", "5 dollars"), ("5 °", "five degrees")]
)
def test_units_are_found_in_one_form(one: str, other: str) -> None:
    assert numbers(one) == numbers(other) != numbers("5")


@pytest.mark.parametrize(
    ("stated", "held", "missing"),
    [
        ("5 km", "5 km", []),
        ("5 km", "5 miles", ["5"]),
        ("5 km", "the 5", []),
        ("5", "5 miles", []),
        ("5 km", "5 km or 5 miles", []),
        ("5 km in May 2012", "5 km in June 2012", ["may"]),
    ],
)
def test_a_number_with_another_unit_is_not_held(stated: str, held: str, missing: list[str]) -> None:
    assert unheld(numbers(stated), numbers(held)) == missing


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("However, Ada Brown's kettle Orion stood in Leeds.", {"ada", "brown", "orion", "leed"}),
        ("Ada built it. She left.", set()),
        ("NASA built GPT-3 and the v2 engine.", {"nasa", "gpt", "v2"}),
        ("It was in March, the third.", set()),
        ("蒸汽机", set()),
    ],
)
def test_names_are_words_with_a_capital_letter_or_a_digit(text: str, found: set[str]) -> None:
    assert names(text) == found


def test_a_first_word_is_a_name_if_that_is_asked_for() -> None:
    assert names("Ada built it.", firsts=True) == {"ada"}
    assert names("However, she left. He stayed. But Ada did not.", firsts=True) == {"ada"}


@pytest.mark.parametrize(
    "text", ["It is not.", "It isn't.", "Es ist kein Hund.", "No lo es.", "Non è vero.", "这不是。", "ليس كذلك"]
)
def test_negation_is_told_in_several_languages(text: str) -> None:
    assert is_negated(text)
    assert not is_negated("It is a non-stop knot of northern notes.")


@given(st.text(max_size=60))
def test_any_text_has_facts(text: str) -> None:
    assert all(number.isascii() for number in numbers(text))
    assert names(text) <= names(text, firsts=True)
    assert unheld(numbers(text), numbers(text)) == []


@given(st.integers(0, 10**9))
def test_a_number_is_the_same_with_and_without_separators(number: int) -> None:
    assert numbers(f"{number:,}") == numbers(f"{number}")
