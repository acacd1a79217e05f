"""Tuning on a small index of part numbers, which only the words tell apart, and the user's questions about them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from errors import EvaluationError
from evaluation.climbing import SPACE, Trial, climb, front
from evaluation.tuning import append_env, halves, tune
from ingestion import ingest
from settings import Settings, load_settings

COUNT = 40


def code(number: int) -> str:
    return f"QX{number * 7919 % 9973:04d}Z"


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    root = tmp_path_factory.mktemp("parts")
    for number in range(COUNT):
        path = root / "parts" / f"part-{number}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"The valve {code(number)} is made of steel and fits the pump in hall {number % 5}.\n")
    (root / "parts" / "more").mkdir()
    (root / "parts" / "more" / "part-1.md").write_text("A second file of the same name tells of rivers and of rain.\n")
    settings = load_settings(store=root / "store", workers=1)
    ingest(settings, [root / "parts"])
    return settings


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return path


def questions(count: int = COUNT) -> list[dict[str, Any]]:
    name = {1: "parts/part-1.md"}
    return [
        {"question": f"What is {code(n)} made of?", "source": name.get(n, f"part-{n}.md"), "answer": "steel"}
        for n in range(count)
    ]


def changed(settings: Settings, **values: Any) -> Settings:
    return settings.model_copy(update=values)


def test_a_real_improvement_is_found_and_called_one(indexed: Settings, tmp_path: Path) -> None:
    notes: list[str] = []
    blind = changed(indexed, keyword_weight=0.0, reranker="off")
    report = tune(blind, write(tmp_path / "q.jsonl", questions()), minutes=0.5, on_note=notes.append)
    assert report["best"]["beyond_noise"]
    assert report["best"]["low"] > 0
    assert any(line.startswith(("RAG_KEYWORD_WEIGHT=", "RAG_RERANKER=")) for line in report["env"])
    assert (report["train"], report["validation"], report["unanswerable"]) == (20, 20, 0)
    assert (report["tried"][0]["setting"], report["least_evidence"]) == ("", {})
    assert any(row["front"] for row in report["tried"])
    assert report["tried"][1]["settings"]["keyword_weight"] == 0.45
    assert notes[0].startswith("present settings: nDCG@10 0.")
    assert len(notes) == len(report["tried"]) > 2


def test_where_all_is_found_already_nothing_is_better(indexed: Settings, tmp_path: Path) -> None:
    report = tune(indexed, write(tmp_path / "q.jsonl", questions(30)), minutes=0.1)
    assert report["best"]["present"] == 1.0
    assert (report["best"]["setting"], report["best"]["beyond_noise"], report["env"]) == ("", False, [])
    assert report["top_k"]["value"] == 1
    assert report["top_k"]["hit_rate"]["1"] == 1.0


def test_without_time_only_the_present_settings_are_measured(indexed: Settings, tmp_path: Path) -> None:
    report = tune(indexed, write(tmp_path / "q.jsonl", questions(12)), minutes=0)
    assert [row["setting"] for row in report["tried"]] == [""]


def test_the_threshold_of_evidence_is_chosen_where_questions_have_no_answer(indexed: Settings, tmp_path: Path) -> None:
    rows = questions(20) + [
        {"question": f"Who {what} the king of Spain?", "answerable": False}
        for what in (
            "crowned",
            "painted",
            "married",
            "taught",
            "met",
            "saw",
            "paid",
            "knew",
            "hated",
            "drew",
            "buried",
            "led",
        )
    ]
    report = tune(changed(indexed, least_evidence=1.0), write(tmp_path / "q.jsonl", rows), minutes=0)
    evidence = report["least_evidence"]
    assert report["unanswerable"] == 12
    assert evidence["present"] == 0.5, "all are refused"
    assert evidence["rightly_told"] > 0.9
    assert evidence["beyond_noise"]
    assert f"RAG_LEAST_EVIDENCE={evidence['value']}" in report["env"]


def test_sizes_of_chunks_are_tried_beside_the_index(indexed: Settings, tmp_path: Path) -> None:
    before = sorted(path.name for path in indexed.store.rglob("*"))
    report = tune(indexed, write(tmp_path / "q.jsonl", questions(12)), chunks=True, minutes=0.7)
    tried = [row["setting"] for row in report["tried"][:4]]
    assert tried == ["", "RAG_CHUNK_TOKENS=100", "RAG_CHUNK_TOKENS=150", "RAG_CHUNK_TOKENS=250"]
    assert sorted(path.name for path in indexed.store.rglob("*")) == before


def test_a_folder_of_judged_queries_is_a_target_too(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    write(tmp_path / "corpus.jsonl", [{"_id": f"d{n}", "text": f"The valve {code(n)} is steel."} for n in range(12)])
    write(tmp_path / "queries.jsonl", [{"_id": f"q{n}", "text": code(n)} for n in range(12)])
    lines = ["query-id\tcorpus-id\tscore", *(f"q{n}\td{n}\t1" for n in range(12))]
    (tmp_path / "qrels" / "test.tsv").write_text("\n".join(lines) + "\n")
    settings = load_settings(store=tmp_path / "untouched", workers=1)
    report = tune(settings, tmp_path, minutes=0)
    assert (report["best"]["present"], report["env"]) == (1.0, [])
    assert not settings.store.exists()


def test_too_few_questions_tell_nothing(indexed: Settings, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"11 questions .* too few"):
        tune(indexed, write(tmp_path / "q.jsonl", questions(11)))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"question": "Why?"}, "names no source"),
        ({"source": "part-2.md"}, "question"),
        ({"question": " ", "source": "part-2.md"}, "empty"),
        ({"question": 3, "source": "part-2.md"}, "as expected"),
        (["Why?"], "as expected"),
        ({"question": "Why?", "source": "part-99.md"}, "not in the index"),
        ({"question": "Why?", "source": "part-1.md"}, "name of 2 documents"),
        ({"question": "Why?", "source": "part-2.md", "page": "one"}, "page 'one'"),
        ({"question": "Why?", "source": "part-2.md", "page": 7}, "part-2.md#7 holds no passage"),
        ({"question": "Why?", "source": ["part-2.md", "part-3.md"], "page": 7}, "of one source"),
    ],
)
def test_a_bad_row_is_named_with_what_to_do(row: Any, told: str, indexed: Settings, tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", [*questions(2)[:1], row])
    with pytest.raises(EvaluationError) as caught:
        tune(indexed, path)
    assert str(caught.value).startswith(f"{path}, row 2: ")
    assert told in str(caught.value)


def test_a_file_that_is_not_there_is_named(indexed: Settings, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"none\.jsonl: No such file"):
        tune(indexed, tmp_path / "none.jsonl")


def test_the_climb_finds_the_top_and_tries_nothing_twice() -> None:
    settings = load_settings(keyword_weight=0.0, candidates=50)
    seen: list[dict[str, Any]] = []

    def measure(change: dict[str, Any]) -> Trial:
        seen.append(change)
        weight, correct = change.get("keyword_weight", 0.0), change.get("correct", True)
        return Trial(change, np.array([1 - abs(weight - 0.6) + 0.1 * (not correct)]), 1.0)

    trials = list(climb(settings, Trial({}, np.array([0.4]), 1.0), measure, lambda: True))
    assert max(trials, key=lambda trial: trial.mean).change == {"keyword_weight": 0.6, "correct": False}
    assert len({frozenset(change.items()) for change in seen}) == len(seen) <= 2 * sum(map(len, SPACE.values()))


def test_the_front_is_of_those_that_none_beats() -> None:
    trials = [Trial({}, np.array([mean]), ms) for mean, ms in [(0.5, 5), (0.6, 9), (0.4, 6), (0.6, 12), (0.5, 5)]]
    assert front(trials) == [True, True, False, False, True]


def test_the_halves_are_the_same_each_time_and_share_nothing() -> None:
    given = {str(n): "?" for n in range(13)}
    train, held = halves(given)
    assert (train, held) == halves(given)
    assert (len(train), len(held)) == (7, 6)
    assert train | held == given


def test_lines_are_added_to_the_settings_file(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    append_env(path, ["RAG_TOP_K=8"])
    path.write_text("RAG_TOP_K=4")
    append_env(path, ["RAG_TOP_K=8", "RAG_CORRECT=false"])
    assert path.read_text() == "RAG_TOP_K=4\n# found by main.py tune\nRAG_TOP_K=8\nRAG_CORRECT=false\n"
