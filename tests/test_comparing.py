"""Two evaluations held against each other, and against bounds."""

import json
from pathlib import Path
from typing import Any

import pytest

from errors import EvaluationError, ScoreError
from evaluation.answer_metrics import Row, summarise
from evaluation.comparing import Compared, check_bounds, check_regression, compare, compare_files, report
from tests.test_answer_metrics import row

BEFORE = {"questions": 70, "f1": 0.5, "hallucination_rate": 0.1, "answer_ms_p50": 100.0, "citation_precision": None}


def rows(right: int, wrong: int) -> list[Row]:
    told = [row(["Ada"], "Ada", "Ada built it.")] * right + [row(["Ada"], "Otto", "Otto bakes.")] * wrong
    return [each | {"id": str(n)} for n, each in enumerate(told)]


def write(path: Path, told: list[Row], **settings: Any) -> Path:
    path.write_text(json.dumps({"questions": len(told), **summarise(told), "settings": settings}), encoding="utf-8")
    path.with_suffix(".jsonl").write_text("\n".join(map(json.dumps, told)), encoding="utf-8")
    return path


def test_paired_rows_tell_what_is_beyond_noise(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.json", rows(20, 10), top_k=4), write(tmp_path / "b.json", rows(10, 20), top_k=2)
    told = report(a, b)
    found = {each["metric"]: each for each in told["metrics"]}
    assert told["settings"] == {"top_k": (4, 2)}
    assert "questions" not in found
    worse = found["f1"]
    assert (worse["difference"], worse["beyond_noise"], worse["worse"]) == (-0.3334, True, True)
    assert worse["low"] < -1 / 3 < worse["high"] < 0
    # one citation an answer: the share of right ones is the share of right answers, and so is the interval
    assert [found["citation_precision"][key] for key in ("low", "high")] == [worse["low"], worse["high"]]
    assert found["refusal_recall"]["difference"] is None
    same = compare_files(a, a)
    assert not any(each.worse or each.beyond_noise for each in same)
    with pytest.raises(ScoreError, match=r"f1 0.3333 after 0.6667 \(difference -0\.5"):
        check_regression(compare_files(a, b))
    check_regression(compare_files(b, a))


def test_within_noise_nothing_is_a_regression(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.json", rows(20, 10)), write(tmp_path / "b.json", rows(19, 11))
    check_regression(compare_files(a, b))
    a.with_suffix(".jsonl").unlink()
    with pytest.raises(ScoreError, match="f1"):
        check_regression(compare_files(a, b))  # no rows: 0.03 is more than the tolerance


def test_without_rows_the_tolerance_decides_and_less_harm_is_better() -> None:
    def lost(**after: Any) -> set[str]:
        return {each.metric for each in compare(BEFORE, BEFORE | after) if each.worse}

    assert lost() == set()
    assert lost(f1=0.48, hallucination_rate=0.12, answer_ms_p50=150.0) == set()
    assert lost(f1=0.4, hallucination_rate=0.2, answer_ms_p50=151.0) == {"f1", "hallucination_rate", "answer_ms_p50"}
    assert lost(f1=0.9, hallucination_rate=0.0, answer_ms_p50=1.0, citation_precision=0.1) == set()
    assert lost(f1=None) == {"f1"}
    assert compare(BEFORE, BEFORE | {"f1": 0.4})[0] == Compared("f1", 0.5, 0.4, -0.1, worse=True)


def test_retrieval_scores_compare_as_well() -> None:
    before = {"ndcg@10": 0.8, "query_ms_p50": 20.0, "queries": 225, "chunks_per_s": 100.0, "settings": {}}
    after = before | {"ndcg@10": 0.7, "chunks_per_s": 60.0}
    assert [each.metric for each in compare(before, after) if each.worse] == ["ndcg@10"]


def test_a_judges_scores_compare_by_their_means() -> None:
    def judged(faithful: float, noise: float | None) -> dict[str, Any]:
        means = {"faithfulness": faithful, "noise_sensitivity": noise}
        return {"rows": 9, "metrics": {name: {"mean": mean, "scored": 9, "of": 9} for name, mean in means.items()}}

    found = compare(judged(0.8, 0.2), judged(0.7, 0.1))
    assert [(each.metric, each.difference, each.worse) for each in found] == [
        ("faithfulness", -0.1, True),
        ("noise_sensitivity", -0.1, False),
    ]
    assert compare(judged(0.8, None), judged(0.8, 0.1))[1].difference is None


def test_bounds_name_the_metric_the_value_and_the_bound() -> None:
    check_bounds(BEFORE, {"f1": 0.5, "hallucination_rate": 0.1})
    with pytest.raises(ScoreError, match=r"f1 0\.5 is under 0\.6; hallucination_rate 0\.1 is above 0\.05"):
        check_bounds(BEFORE, {"f1": 0.6, "hallucination_rate": 0.05})
    with pytest.raises(ScoreError, match="citation_precision None is under 0"):
        check_bounds(BEFORE, {"citation_precision": 0})
    with pytest.raises(EvaluationError, match=r"f2: no such metric\. name one of f1, hallucination_rate"):
        check_bounds(BEFORE, {"f2": 0})


def test_rows_that_do_not_pair_are_an_error(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.json", rows(3, 1)), write(tmp_path / "b.json", rows(3, 0))
    with pytest.raises(EvaluationError, match="1 question has a row in one file only: 3"):
        compare_files(a, b)
    other = [each | {"question": "Why?"} for each in rows(3, 1)]
    with pytest.raises(EvaluationError, match="0 is another question in each"):
        compare_files(a, write(tmp_path / "c.json", other))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"questions": 3}'])
def test_a_file_without_scores_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(EvaluationError, match=r"a\.json"):
        compare_files(tmp_path / "a.json", tmp_path / "a.json")


def test_a_file_of_other_rows_is_refused(tmp_path: Path) -> None:
    a = write(tmp_path / "a.json", rows(2, 2))
    a.with_suffix(".jsonl").write_text('{"id": 1}')
    with pytest.raises(EvaluationError, match=r"a\.jsonl, row 1"):
        compare_files(a, a)
    with pytest.raises(EvaluationError, match="no metric in common"):
        compare({"f1": 0.5}, {"ndcg@10": 0.5})
