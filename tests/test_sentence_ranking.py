"""The ranking of sentences: each thing weighed is what it says, against figures counted by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.sentence_ranking import WEIGHTS, Candidates, answer_probabilities, features, stems

ONE = np.array([1.0, 0.0])


def weighed(query: str, texts: list[str], passage: list[int] | None = None) -> dict[str, list[float]]:
    """Return each column by its name, all sentences having the query's own vector."""
    candidates = Candidates(texts, passage or [0] * len(texts), np.tile(ONE, (len(texts), 1)), ONE)
    return dict(zip(WEIGHTS, features(query, candidates).T.tolist(), strict=True))


def test_shares_of_words_are_weighed_by_rarity_and_neighbours_add_what_is_missing() -> None:
    found = weighed("kettle Leeds", ["A kettle.", "In Leeds!", "The kettle of Leeds."], [0, 0, 1])
    rare = math.log(1 + 3 / 3)  # each of the two words stands in two of three sentences
    assert found["held"] == pytest.approx([rare / (2 * rare), 0.5, 1.0])
    assert found["before"] == pytest.approx([0, 0.5, 0])  # the third sentence is of another passage
    assert found["after"] == pytest.approx([0.5, 0, 0])
    assert found["rank"] == [1, 1, 0.5]


def test_a_word_that_all_sentences_hold_counts_less() -> None:
    found = weighed("kettle Leeds", ["kettle Leeds", "kettle", "kettle"])
    common, rare = math.log(1 + 3 / 4), math.log(1 + 3 / 2)
    assert found["held"] == pytest.approx([1, *[common / (common + rare)] * 2])


@pytest.mark.parametrize(
    ("query", "kind", "texts", "expected"),
    [
        ("How many litres does it hold?", "number", ["It holds 3.", "It holds three.", "It holds some."], [1, 1, 0]),
        ("How many of the 3 are left?", "number", ["Of the 3, some.", "Of the 3, 2."], [0, 1]),
        ("Wie viele Einwohner hat es?", "number", ["Es hat 900.", "Es ist klein."], [1, 0]),
        ("¿Cuántos años tiene?", "number", ["Tiene cien.", "Es joven."], [1, 0]),
        ("它有多少人口？", "number", ["有九百人。", "很小。"], [1, 0]),
        ("كم عدد السكان؟", "number", ["عددهم 900.", "صغيرة."], [1, 0]),
        ("When was it lit?", "date", ["In 1912.", "In summer."], [1, 0]),
        ("Wann brannte es?", "date", ["Im Jahr 1912.", "Im Sommer."], [1, 0]),
        ("Who built it for Ada?", "name", ["It was for Ada.", "Then Grace built it.", "They did."], [0, 1, 0]),
        ("Quién fue?", "name", ["Ella fue Ana.", "La reina."], [1, 0]),
        ("What is a kettle?", "number", ["It holds 3."], [0]),
        ("What is a kettle?", "name", ["It is by Ada."], [0]),
    ],
)
def test_what_is_asked_for_is_looked_for(query: str, kind: str, texts: list[str], expected: list[float]) -> None:
    found = weighed(query, texts)
    assert found[kind] == expected
    assert all(not any(found[other]) for other in {"number", "date", "name"} - {kind})


def test_the_year_that_is_asked_for_is_no_amount() -> None:
    found = weighed("In what year did how many people leave?", ["In 1912."])
    assert (found["date"], found["number"]) == ([1], [0])


def test_cosines_count_whole_in_english_only_and_their_subject_is_taken_out() -> None:
    vectors = np.array([[1.0, 0.0], [0.6, 0.8]])
    for query, is_english in (("what is the colour of it", 1), ("welche Farbe hat es", 0)):
        found = dict(zip(WEIGHTS, features(query, Candidates(["a", "b"], [0, 0], vectors, ONE)).T, strict=True))
        assert found["english_cosine"].tolist() == [is_english, 0.6 * is_english]
        assert found["nearest"].tolist() == [1, 1]
        # the mean is (0.8, 0.4): (0.2, -0.4) · (0.2, -0.4) and (-0.2, 0.4) · (0.2, -0.4)
        assert found["apart"] == pytest.approx([0.2, -0.2])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The governments governed", {"gover"}),
        ("والكتاب كتاب", {"كتاب"}),
        ("東京都", {"東京", "京都"}),
        ("16 kg", {"16", "kg"}),
    ],
)
def test_a_words_beginning_stands_for_its_inflections(text: str, found: set[str]) -> None:
    assert stems(text) == found


def test_no_sentences_have_no_probabilities() -> None:
    assert answer_probabilities("who?", Candidates([], [], np.zeros((0, 2)), ONE)).tolist() == []


@given(st.text(max_size=30), st.lists(st.text(max_size=30), min_size=1, max_size=5), st.integers(0, 1000))
def test_probabilities_stay_within_0_and_1_for_any_text(query: str, texts: list[str], seed: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(len(texts) + 1, 4))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = answer_probabilities(query, Candidates(texts, sorted(range(len(texts))), rows[1:], rows[0]))
    assert found.shape == (len(texts),)
    assert ((found >= 0) & (found <= 1)).all()
