"""Every metric of ragas against a hand-computed case, with scripted judgements; what can't be scored is told."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import Embeddings

import main
from errors import EvaluationError, SettingsError
from evaluation.judging import Judge
from evaluation.ragas_scores import JUDGED, UNJUDGED, build_metric, evaluate_rows, score_metric
from settings import load_settings
from tests.test_judging import scripted

ROW = {
    "id": "1",
    "question": "How much water does the kettle hold?",
    "answerable": True,
    "answers": ["3 litres", "three litres"],
    "answer": "It holds 3 litres. [1]",
    "abstained": False,
    "statements": [{"text": "It holds 3 litres.", "support": 1.0, "citations": []}],
    "contexts": ["The lamp is red.", "The kettle holds 3 litres."],
}
REFUSED = ROW | {"answer": "Not in these documents.", "abstained": True, "statements": []}
UNANSWERABLE = REFUSED | {"answerable": False, "answers": []}


def statements(*texts: str) -> dict[str, Any]:
    return {"statements": list(texts)}


def verdicts(*flags: int) -> dict[str, Any]:
    return {"statements": [{"statement": "s", "reason": "r", "verdict": flag} for flag in flags]}


def useful(flag: int) -> dict[str, Any]:
    return {"reason": "r", "verdict": flag}


def attributed(*flags: int) -> dict[str, Any]:
    return {"classifications": [{"statement": "s", "reason": "r", "attributed": flag} for flag in flags]}


CASES = {
    "faithfulness": ([statements("a", "b", "c", "d"), verdicts(1, 0, 1, 1)], 0.75),
    # a question equal to the one asked: cosine 1
    "answer_relevancy": ([{"question": ROW["question"], "noncommittal": 0}], 1.0),
    # precision at the only useful context, the second: 1 of 2
    "context_precision": ([useful(0), useful(1)], 0.5),
    "context_recall": ([attributed(1, 0, 1)], 0.6667),
    # the answer's one claim is right; of the reference's two, one is in the answer: F1 of 1/1 and 1/2
    "factual_correctness": ([{"claims": ["a"]}, verdicts(1), {"claims": ["a", "b"]}, verdicts(1, 0)], 0.67),
    # the second context is relevant; of the two statements it supports, the reference doesn't have one
    "noise_sensitivity": (
        [
            statements("g"),
            statements("a", "b"),
            verdicts(0),
            verdicts(0, 0),
            verdicts(1),
            verdicts(1, 1),
            verdicts(1, 0),
        ],
        0.5,
    ),
}


def score(name: str, judge: Judge | None, embeddings: Embeddings, *rows: dict[str, Any]) -> dict[str, Any]:
    return score_metric(name, build_metric(name, judge, embeddings), rows)


@pytest.mark.parametrize("name", JUDGED)
def test_a_judged_metric_is_the_one_computed_by_hand(name: str, embeddings: Embeddings) -> None:
    said, expected = CASES[name]
    found = score(name, scripted(*said), embeddings, ROW)
    assert found == {"mean": pytest.approx(expected, abs=1e-4), "scored": 1, "of": 1, "trimmed": 0, "failures": {}}


def test_a_refusal_is_a_miss_or_nothing_to_judge_and_asks_nobody(embeddings: Embeddings) -> None:
    nobody = scripted()
    for name in ("answer_relevancy", "factual_correctness", *UNJUDGED):
        found = score(name, nobody, embeddings, REFUSED, UNANSWERABLE)
        assert (found["mean"], found["scored"], found["of"]) == (0, 1, 1), name
    for name in ("faithfulness", "noise_sensitivity"):
        assert score(name, nobody, embeddings, REFUSED, UNANSWERABLE)["of"] == 0, name
    assert score("context_recall", scripted(attributed(1)), embeddings, REFUSED, UNANSWERABLE)["of"] == 1


def test_contexts_that_were_not_found_are_neither_precise_nor_recalled(embeddings: Embeddings) -> None:
    empty = REFUSED | {"contexts": []}
    assert score("context_precision", scripted(), embeddings, empty)["mean"] == 0
    assert score("faithfulness", scripted(), embeddings, empty)["of"] == 0


def test_what_could_not_be_scored_is_counted_with_its_reason(embeddings: Embeddings) -> None:
    judge = scripted(
        "not JSON", statements("a"), {"statements": []}, statements("a"), {"verdicts": 1}, statements("a"), verdicts(1)
    )
    found = score("faithfulness", judge, embeddings, ROW, ROW, ROW, ROW)
    assert (found["mean"], found["scored"], found["of"]) == (1.0, 1, 4)
    assert found["failures"] == {"the answer is not in the schema": 2, "not a number": 1}
    uneven = [
        statements("g"),
        statements("a", "b"),
        verdicts(0),
        verdicts(0),
        verdicts(1),
        verdicts(1, 1),
        verdicts(1, 0),
    ]
    found = score("noise_sensitivity", scripted(*uneven), embeddings, ROW)
    assert (found["scored"], [reason[:10] for reason in found["failures"]]) == (0, ["ValueError"])


def test_nothing_scored_is_null(embeddings: Embeddings) -> None:
    found = score("faithfulness", scripted("?"), embeddings, ROW)
    assert (found["mean"], found["scored"], found["of"]) == (None, 0, 1)
    assert score("faithfulness", scripted(), embeddings)["mean"] is None


def test_contexts_are_cut_to_the_room_and_that_is_told(embeddings: Embeddings) -> None:
    long = ROW | {"contexts": ["The kettle holds 3 litres. " * 400, "The lamp is red."]}
    found = score("context_recall", scripted(attributed(1), context_tokens=4096), embeddings, long)
    assert (found["scored"], found["trimmed"]) == (1, 1)
    tiny = score("context_recall", scripted(context_tokens=1000), embeddings, long)
    assert (tiny["scored"], tiny["of"]) == (0, 1)
    assert re.fullmatch(r"-?\d+ tokens are left for the answer, of 1000", next(iter(tiny["failures"])))


def test_metrics_without_a_judge_take_the_reference_that_suits_best(embeddings: Embeddings) -> None:
    row = ROW | {"answer": "three litres", "statements": []}
    assert score("exact_match", None, embeddings, row)["mean"] == 1
    assert score("rouge_l", None, embeddings, row)["mean"] == 1
    assert score("semantic_similarity", None, embeddings, row)["mean"] == pytest.approx(1, abs=1e-4)
    assert score("string_presence", None, embeddings, ROW)["mean"] == 1
    # "it hold 3 litr" (stemmed) against "3 litr": precision 2/4, recall 2/2
    assert score("rouge_l", None, embeddings, ROW)["mean"] == pytest.approx(2 / 3, abs=1e-4)


def test_our_own_arithmetic_agrees_with_that_of_ragas(embeddings: Embeddings) -> None:
    ours = pytest.importorskip("evaluation.answer_metrics", reason="the answers are not measured here")
    pairs = [  # texts that a stemmer leaves as they are
        ("the kettle had 3 litres of water", "3 litres"),
        ("blue", "blue"),
        ("the lamp is red", "the red lamp"),
        ("nothing", "3 litres"),
    ]
    for answer, reference in pairs:
        row = ROW | {"answer": answer, "answers": [reference], "statements": []}
        assert ours.rouge_l(answer, [reference]) == pytest.approx(
            score("rouge_l", None, embeddings, row)["mean"], abs=1e-4
        )
        assert ours.contains(answer, [reference]) == score("string_presence", None, embeddings, row)["mean"]
        assert ours.exact_match(answer, [reference]) == score("exact_match", None, embeddings, row)["mean"]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, (ROW, REFUSED, UNANSWERABLE))), encoding="utf-8")
    return path


def test_without_a_judge_what_needs_none_is_measured(rows: Path, tmp_path: Path) -> None:
    report = evaluate_rows(load_settings(store=tmp_path / "store"), rows)
    assert (report["rows"], report["judge"], list(report["metrics"])) == (3, None, list(UNJUDGED))
    assert report["metrics"]["string_presence"] == {
        "mean": 0.5, "scored": 2, "of": 2, "trimmed": 0, "failures": {}
    }  # fmt: skip
    with pytest.raises(SettingsError, match="RAG_JUDGE"):
        evaluate_rows(load_settings(store=tmp_path / "store"), rows, metrics=["faithfulness"])


def test_the_packaged_model_judges_is_calibrated_and_called_a_smoke_test(rows: Path, tmp_path: Path) -> None:
    claims = tmp_path / "claims.jsonl"
    claims.write_text('{"claim": "The lamp is red.", "evidence": ["The lamp is red."], "label": "supported"}\n')
    places = {"store": tmp_path / "store", "cache": tmp_path / "cache"}
    settings = load_settings(**places, encoder="torch", judge="local", context_tokens=1024)  # a short answer will do
    report = evaluate_rows(settings, rows, metrics=["answer_relevancy"], limit=1, claims=claims)
    judge, found = report["judge"], report["metrics"]["answer_relevancy"]
    assert judge["smoke_test"] is True
    assert (judge["calibration"]["scored"], judge["calibration"]["claims"]) == (1, f"{tmp_path.name}/claims.jsonl")
    assert (found["scored"], found["of"], found["failures"]) == (1, 1, {})
    assert 0 <= found["mean"] <= 1
    assert len(list((tmp_path / "cache").glob("*-calibration.json"))) == 1


def test_the_command_prints_a_table_or_json(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("COLUMNS", "200")
    asked = ["evaluate", "judge", str(rows), "--metrics", "rouge_l, string_presence"]
    assert main.main(asked) == 0
    assert re.search(r"\| string_presence +\| 0\.5000 +\| 2 of 2 ", capsys.readouterr().out)
    assert main.main([*asked, "--limit", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["rouge_l"]["scored"] == 1
    assert main.main(["evaluate", "judge"]) == 1
    assert "--calibrate" in capsys.readouterr().err


def test_an_unknown_metric_and_a_row_of_another_shape_are_one_line(rows: Path, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="there are faithfulness"):
        evaluate_rows(load_settings(), rows, metrics=["charm"])
    other = tmp_path / "other.jsonl"
    other.write_text('{"question": "?"}\n')
    with pytest.raises(EvaluationError, match=r"row 1: .*answers.*evaluate answers"):
        evaluate_rows(load_settings(), other)
