"""The metrics of answers: worked out by hand, beside the reference implementations, and what must always hold."""

import re
import string
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from evaluation.answer_metrics import (
    contains,
    exact_match,
    f1,
    hallucinates,
    normalised,
    repeats,
    rouge_l,
    shares,
    summarise,
    uncited,
)

ASCII = st.text(alphabet=string.ascii_letters + string.digits + " .,;'-%", max_size=60)
WORDS = ["the", "a", "red", "fox", "12", "ran,", "ran.", "far-off", "Newton's", "東京", "都市", "القاهرة"]
SHORT = st.lists(st.sampled_from(WORDS), max_size=6)


def official(answer: str, reference: str) -> tuple[float, float]:
    """Return exact match and F1 as SQuAD 2.0's evaluate-v2.0.py defines them, step by step."""

    def normalise(text: str) -> str:
        text = "".join(c for c in text.lower() if c not in set(string.punctuation))
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())

    said, wanted = normalise(answer).split(), normalise(reference).split()
    same = sum((Counter(said) & Counter(wanted)).values())
    if not said or not wanted:
        return float(normalise(answer) == normalise(reference)), float(said == wanted)
    if not same:
        return 0.0, 0.0
    precision, recall = same / len(said), same / len(wanted)
    return float(said == wanted), 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The U.S. Army's 1,000 men!", "us armys 1000 men"),
        ("An apple, a day", "apple day"),
        ("“24–10”", "“24–10”"),  # the official script knows ASCII's punctuation only
        ("位于東京的タワー,2015年。", "位 于 東 京 的 タ ワ ー 2015 年"),
        ("في القاهرة، عام 2015؟", "في القاهرة عام 2015"),
    ],
)
def test_text_is_normalised_as_squad_and_mlqa_do(text: str, words: str) -> None:
    assert normalised(text) == words.split()


@pytest.mark.parametrize(
    ("answer", "references", "exact", "overlap"),
    [
        ("the Carolina Panthers", ["Carolina Panthers!"], 1, 1),
        ("the Carolina Panthers team", ["Carolina Panthers"], 0, 4 / 5),
        ("It was 308 points", ["308", "308 points"], 0, 4 / 6),
        ("far far away", ["far"], 0, 2 / 4),  # a word counts as often as both have it
        ("nothing", ["308"], 0, 0),
        ("東京", ["東京都"], 0, 4 / 5),
        ("anything", [], 0, 0),
    ],
)
def test_exact_match_and_f1_are_those_worked_out_by_hand(
    answer: str, references: list[str], exact: float, overlap: float
) -> None:
    assert exact_match(answer, references) == exact
    assert f1(answer, references) == pytest.approx(overlap)


@given(ASCII, ASCII)
def test_exact_match_and_f1_are_those_of_the_official_script(answer: str, reference: str) -> None:
    assert (exact_match(answer, [reference]), f1(answer, [reference])) == pytest.approx(official(answer, reference))


@given(ASCII, ASCII)
def test_rouge_l_is_that_of_rouge_score(answer: str, reference: str) -> None:
    expected = RougeScorer(["rougeL"]).score(reference, answer)["rougeL"].fmeasure
    assert rouge_l(answer, [reference]) == pytest.approx(expected)


def test_rouge_l_knows_other_scripts() -> None:
    assert rouge_l("в Москве был снег", ["в Москве снег"]) == pytest.approx(6 / 7)
    assert rouge_l("東京は大きい", ["東京"]) == pytest.approx(4 / 8)
    assert rouge_l("a b c d", ["d c", "a c d"]) == pytest.approx(6 / 7)  # the better of two


@pytest.mark.parametrize(
    ("text", "reference", "held"),
    [
        ("The Panthers gave up 308 points.", "308", True),
        ("The Panthers gave up 1308 points.", "308", False),
        ("It costs 1,000 euros, or 3.5 %.", "1000", True),
        ("It costs 1,000 euros, or 3.5 %.", "5", False),
        ("In the 20th-century Newton's laws held—so did 24–10.", "Newton", True),
        ("In the 20th-century Newton's laws held—so did 24–10.", "20th century", True),
        ("In the 20th-century Newton's laws held—so did 24–10.", "10", True),
        ("In the 20th-century Newton's laws held—so did 24–10.", "20", False),
        ("It was a U.S. base.", "the US", False),
        ("U.S.", "the US", True),  # an exact match
        ("塔位于東京都。", "東京", True),
        ("2015年3月", "2015", True),
        ("Whatever", "!", False),
    ],
)
def test_what_holds_a_reference(text: str, reference: str, held: bool) -> None:
    assert contains(text, [reference]) is held


@given(SHORT, st.lists(SHORT, max_size=3))
def test_bounds_and_order_of_the_metrics(said: list[str], wanted: list[list[str]]) -> None:
    answer, references = " ".join(said), [" ".join(each) for each in wanted]
    exact = exact_match(answer, references)
    nothing = not normalised(answer)
    assert exact <= f1(answer, references) + nothing <= 1 + nothing
    assert 0 <= rouge_l(answer, references) <= 1  # which counts articles: "the red" is not all of "red"
    assert exact <= contains(answer, references) <= 1


def test_numbers_of_sources_are_no_part_of_an_answer() -> None:
    assert uncited("It holds 3 litres [1]. It sings [1, 2].") == "It holds 3 litres. It sings."


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("Ada built the kettle in Leeds.", False),
        ("Ada built the kettle in Ghent.", True),
        ("Ada built the kettle in 1921.", True),
        ("The kettles are of Ada.", False),
        ("It was that.", False),
    ],
)
def test_what_no_context_says_is_a_hallucination(answer: str, told: bool) -> None:
    assert hallucinates(answer, "Who built the kettle?", ["Ada lived in Leeds.", "Otto bakes."]) is told


@pytest.mark.parametrize(
    ("answer", "does"),
    [
        ("It holds 3 litres. It sings.", False),
        ("It holds 3 litres. It sings. It holds 3 litres!", True),
        ("the cat sat on and the cat sat on and then", False),
        ("the cat sat on and the cat sat on and the cat sat on", True),
        ("", False),
    ],
)
def test_repeated_sentences_and_loops_are_seen(answer: str, does: bool) -> None:
    assert repeats(answer) is does


def row(answers: list[str], answer: str, *spans: str, contexts: tuple[str, ...] = ("Ada built it.",)) -> dict[str, Any]:
    """Return a row; an empty answer is a refusal, no answers make the question unanswerable."""
    statements = [{"text": answer, "support": 1.0, "citations": [{"text": span} for span in spans]}] if answer else []
    there, given_ = bool(answers), bool(answer)
    return {
        "question": "Who built it?",
        "answerable": there,
        "answers": answers,
        "answer": answer or "Not in these documents.",
        "abstained": not given_,
        "exact_match": exact_match(answer, answers) if there else None,
        "f1": f1(answer, answers) if there else None,
        "rouge_l": rouge_l(answer, answers) if there else None,
        "contains": contains(answer, answers) if there else None,
        "statements": statements,
        "sources": [{"n": 1, "text": "Ada built it."}, {"n": 2, "text": "Otto bakes."}],
        "cited": [1],
        "contexts": list(contexts),
    }


ROWS = [
    row(["Ada"], "Ada built it.", "Ada built it.", "Otto bakes."),  # one citation of two is right
    row(["Ada"], "Ada"),  # right, without a citation
    row(["Otto"], "Ada built it in Ghent.", "Ada built it."),  # wrong, and Ghent is nowhere
    row(["Ada"], ""),  # refused, wrongly
    row([], ""),  # refused, rightly
    row([], "Ada built it. Ada built it.", "Ada built it."),  # should have been refused; repeats
]


def test_the_summary_is_that_worked_out_by_hand() -> None:
    assert summarise(ROWS) == pytest.approx(
        {
            "exact_match": 1 / 4,
            "f1": (2 / 4 + 1 + 0 + 0) / 4,
            "rouge_l": (2 / 4 + 1 + 0 + 0) / 4,
            "contains": 2 / 4,
            "citation_precision": 1 / 3,
            "citation_coverage": 1 / 3,
            "citation_support": 3 / 4,
            "refusal_precision": 1 / 2,
            "refusal_recall": 1 / 2,
            "hallucination_rate": 1 / 4,
            "repetition_rate": 1 / 4,
        },
        abs=1e-4,
    )


def test_what_does_not_apply_is_none() -> None:
    told = summarise(ROWS[:3])
    assert (told["refusal_precision"], told["refusal_recall"]) == (None, None)
    assert summarise(ROWS[3:4])["refusal_precision"] is None, "no unanswerable question"
    nothing = summarise(ROWS[4:5])
    assert {name for name, value in nothing.items() if value is not None} == {"refusal_precision", "refusal_recall"}
    assert summarise([*ROWS[:3], ROWS[5]])["refusal_precision"] is None, "nothing was refused"


def test_without_statements_the_cited_sources_stand_in() -> None:
    bare = ROWS[0] | {"statements": []}
    assert shares(bare)["citation_precision"] == (1, 1)
    assert shares(bare)["citation_support"] == (0, 0)


@given(st.permutations(ROWS), st.lists(st.sampled_from(ROWS), min_size=1, max_size=8))
def test_the_order_of_rows_changes_nothing_and_rates_are_shares(
    shuffled: list[dict[str, Any]], some: list[dict[str, Any]]
) -> None:
    assert summarise(shuffled) == pytest.approx(summarise(ROWS))
    assert all(value is None or 0 <= value <= 1 for value in summarise(some).values())
