"""RGB's rules: which passages a record gets, what counts as right, and the figures of the real chain over them."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from chains.answers import Answer
from errors import EvaluationError
from evaluation.rgb import drawn, evaluate_rgb, judged, parts_drawn, wrong_drawn
from settings import load_settings

NOISES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def record(positive: int, negative: int) -> dict[str, Any]:
    return {"positive": [f"p{n}" for n in range(positive)], "negative": [f"n{n}" for n in range(negative)]}


@pytest.mark.parametrize(
    ("positive", "negative", "noise_of_each"),
    [
        (5, 5, [0, 1, 2, 3, 4, 5]),
        (2, 9, [3, 3, 3, 3, 4, 5]),  # too few right passages: the rest is noise
        (9, 1, [0, 1, 1, 1, 1, 1]),  # too little noise: the rest is right, but for rejection
    ],
)
def test_a_share_of_five_passages_is_noise(positive: int, negative: int, noise_of_each: list[int]) -> None:
    for noise, expected in zip(NOISES, noise_of_each, strict=True):
        passages = drawn(record(positive, negative), noise, Random(0))
        assert [text[0] for text in passages].count("n") == expected
        assert len(passages) == (5 if noise < 1 else min(negative, 5))


def test_each_part_of_an_answer_has_a_passage_before_any_has_two() -> None:
    two_parts = {"positive": [["a1", "a2", "a3"], ["b1", "b2"]], "negative": ["n1", "n2", "n3"]}
    for noise, expected in {0.0: "aaabb", 0.2: "aabbn", 0.4: "aabnn"}.items():
        passages = parts_drawn(two_parts, noise, Random(0))
        assert "".join(sorted(text[0] for text in passages)) == expected
    seven = {"positive": [[f"{part}"] for part in range(7)], "negative": []}
    assert len(parts_drawn(seven, 0.4, Random(0))) == 7


def test_wrong_passages_are_drawn_without_repetition() -> None:
    wrong = {"positive": ["p"] * 7, "positive_wrong": [f"w{n}" for n in range(7)]}
    assert len(set(wrong_drawn(wrong, 0.0, Random(0)))) == 5


def said(text: str, *, abstained: bool = False) -> Answer:
    return Answer(question="q", queries=("q",), answer=text, abstained=abstained)


def test_an_answer_is_right_with_every_part_and_one_of_its_alternatives() -> None:
    assert judged(said("In TAMPA, Florida. [1]"), "where", "Tampa, Florida").is_right
    assert judged(said("On 5 May and in Rome."), "when", [["May 5", "5 May"], "Rome"]).is_right
    assert not judged(said("On 5 May."), "when", [["May 5", "5 May"], "Rome"]).is_right
    assert not judged(said("It is so. [1]"), "how many", "1").is_right  # a source's number is no answer
    assert judged(said("1 月 3 日"), "时间", ["1月3日"]).is_right
    assert not judged(said("Not in these documents.", abstained=True), "what", "documents").is_right


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


KETTLE = {
    "id": 0,
    "query": "How much water does the kettle Orion hold?",
    "answer": "3 litres",
    "fakeanswer": "9 litres",
    "positive": [f"The kettle Orion holds 3 litres of water, says test {n}." for n in range(5)],
    "positive_wrong": [f"The kettle Orion holds 9 litres of water, says test {n}." for n in range(5)],
    "negative": [f"Sparrows of kind {n} nest under the roof." for n in range(5)],
}


def test_the_chain_answers_from_the_passages_it_is_given(tmp_path: Path) -> None:
    settings = load_settings(answer_style="quote", store=tmp_path / "store")
    done: list[tuple[int, int]] = []
    scores = evaluate_rgb(
        settings, write(tmp_path / "r.jsonl", KETTLE), on_progress=lambda at, total, _: done.append((at, total))
    )
    assert scores["noise_robustness"] == {"0": 1, "0.2": 1, "0.4": 1, "0.6": 1, "0.8": 1}
    assert scores["negative_rejection"] == 1
    assert scores["information_integration"] is None
    assert scores["counterfactual"] == {
        "accuracy": 0, "error_detection": 0, "error_correction": 0, "misled": 1
    }  # fmt: skip
    assert done[-1] == (7, 7)
    assert not (tmp_path / "store").exists()


def test_integration_wants_both_parts(tmp_path: Path) -> None:
    both = KETTLE | {"answer": ["3 litres", "roof"], "positive": [KETTLE["positive"], KETTLE["negative"]]}
    del both["positive_wrong"]
    settings = load_settings(answer_style="quote")
    scores = evaluate_rgb(settings, write(tmp_path / "r.jsonl", both))
    assert scores["information_integration"] == {"0": 0, "0.2": 0, "0.4": 0}  # one sentence is quoted
    assert scores["noise_robustness"] is scores["negative_rejection"] is scores["counterfactual"] is None


def test_a_file_of_another_shape_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"row 1: .*positive"):
        evaluate_rgb(load_settings(), write(tmp_path / "r.jsonl", {"query": "?", "answer": "!"}))
