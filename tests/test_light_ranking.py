"""Re-ranking without a model: the arithmetic by hand, and what it promises whatever comes in."""

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document

from chains.light_ranking import COVERAGE, MENTIONED, PAIRS, is_mentioned, lift, light_score, word_gains
from chains.reranking import build_reranker

scores_and_angles = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 6.3)), min_size=1, max_size=12)


def unit(angles: list[float]) -> np.ndarray:
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_a_passage_is_raised_towards_a_better_one_like_it() -> None:
    raised = lift(np.array([0.9, 0.5, 0.3]), unit([0.0, 0.0, np.pi / 2]))
    # the second is equal to the first; the third is like neither
    assert raised.tolist() == pytest.approx([0.9, 0.5 + (0.9 - 0.5) / 3, 0.3])


def test_the_three_greatest_lifts_count() -> None:
    raised = lift(np.array([1.0, 0.9, 0.8, 0.7, 0.0, 0.5]), unit([0.0] * 5 + [np.pi / 2]))
    assert raised[-2] == pytest.approx((1.0 + 0.9 + 0.8) / 3)


@given(scores_and_angles)
def test_nothing_falls_and_nothing_overtakes_the_best(found: list[tuple[float, float]]) -> None:
    scores = np.array([score for score, _ in found])
    raised = lift(scores, unit([angle for _, angle in found]))
    assert (raised >= scores).all()
    assert (raised <= scores.max() + 1e-9).all()
    assert raised[scores.argmax()] == pytest.approx(scores.max())


def test_what_all_passages_have_in_common_makes_none_alike() -> None:
    vectors = np.eye(4)[[0, 1, 1, 2]] + 3 * np.eye(4)[3]  # as with embedders whose cosines are all high
    raised = lift(np.array([1.0, 0.6, 0.3, 0.0]), vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    assert raised[2] == pytest.approx(0.3 + (0.6 - 0.3) / 3)
    assert raised[3] == 0
    assert lift(np.array([1.0, 0.0]), unit([0.5, 0.5])).tolist() == [1.0, 0.0]


def test_words_count_by_how_rare_they_are_and_as_neighbours() -> None:
    texts = ["The notice period is long.", "A period of rest. Give notice first.", "Every period ends."]
    rare, common = log(1 + 3 / 3), log(1 + 3 / 4)  # "notice" is in two of three texts, "period" in all
    gains = word_gains("What is the notice period?", texts)
    assert gains.tolist() == pytest.approx([COVERAGE + PAIRS, COVERAGE, COVERAGE * common / (rare + common)])


def test_singular_and_plural_meet_and_chinese_is_compared_in_pairs_of_characters() -> None:
    gains = word_gains("which fees", ["One fee is due.", "Nothing is due."])
    assert gains.tolist() == pytest.approx([COVERAGE, 0])
    gains = word_gains("日本首都", ["首都是东京。", "没有。"])
    assert gains[0] > gains[1] == 0


@given(st.text(max_size=40), st.lists(st.text(max_size=60), max_size=5))
def test_any_text_gains_between_nothing_and_all(query: str, texts: list[str]) -> None:
    gains = word_gains(query, texts)
    assert len(gains) == len(texts)
    assert ((gains >= 0) & (gains <= COVERAGE + PAIRS + 1e-9)).all()


def passage(text: str, section: str = "", source: str = "a.md", score: float = 0.5, id_: str = "0") -> Document:
    return Document(id=id_, page_content=text, metadata={"section": section, "source": source, "score": score})


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ("Films > Love Forecast", True),
        ("Love Forecast (2015 film)", True),
        ("Love  Forecast", True),
        ("Forecast", True),  # as a word of its own
        ("Fore", False),
        ("Debut Films", False),
        ("in the film", False),  # a phrase: no capital letter
        ("The", False),
        ("", False),
    ],
)
def test_a_heading_is_named_in_the_best_passages(section: str, named: bool) -> None:
    best = [passage("His debut was in the film Love\nForecast. The rest is silence.")]
    assert is_mentioned(passage("Directed by Park.", section, "b.md"), best) is named
    assert not is_mentioned(passage("Directed by Park.", section, "a.md"), best)  # its own document


def test_scripts_without_capitals_have_names_too() -> None:
    assert is_mentioned(passage("…", "東京", "b.md"), [passage("首都 東京 は")])


def test_what_the_best_passage_names_is_lifted() -> None:
    found = [
        passage("Jung made his debut in Love Forecast, a film.", "Jung", "a.md", 0.9, "0"),
        passage("Another one.", "Tabloid Truth", "b.md", 0.5, "1.57"),
        passage("Directed by Park.", "Love Forecast", "c.md", 0.5, "-1.57"),
    ]
    scores = light_score(lambda ids: unit([float(id_) for id_ in ids]))("Whose film?", found)
    assert scores[2] - scores[1] == pytest.approx(MENTIONED / (1 + COVERAGE + PAIRS + MENTIONED), abs=1e-3)


def test_the_passage_that_holds_the_question_comes_first() -> None:
    texts = ["Fees are listed below.", "The notice period is three months.", "A period of rest."]
    found = [passage(text, id_=str(n)) for n, text in enumerate(texts)]
    score = light_score(lambda ids: unit([float(id_) for id_ in ids]))
    reranker = build_reranker(score, candidates=3, limit=3, batch=3)
    done = reranker.invoke({"query": "How long is the notice period?", "passages": found})
    assert [each.id for each in done] == ["1", "2", "0"]
    assert all(0 <= each.metadata["score"] <= 1 and each.metadata["fused"] == 0.5 for each in done)
    assert reranker.invoke({"query": "How long is it?", "passages": []}) == []
