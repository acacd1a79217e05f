"""The retrieval evaluation on a test set whose scores can be worked out by hand."""

import json
from math import log2
from pathlib import Path
from typing import Any

import pytest

from errors import EvaluationError
from evaluation.retrieval import evaluate_retrieval
from settings import Settings, load_settings

# Keyword search only, so that the ranking follows from the words: apple three times, twice, once.
CORPUS = {
    "A": "apple apple apple pear",
    "B": "apple apple fig plum",
    "C": "apple kiwi lime nuts",
    "D": "stone river cloud wind",
    "E": "table chair lamp door",
    "F": "wool silk linen felt",
    "G": "iron zinc lead gold",
    "H": "north south west east",
}
QUERIES = {"q1": "apple", "q2": "stone", "q3": "wool", "q4": "zebra"}
QRELS = [("q1", "B", 2), ("q1", "C", 1), ("q1", "D", 1), ("q2", "D", 1)]
NDCG = (2 / log2(3) + 1 / log2(4)) / (2 / log2(2) + 1 / log2(3) + 1 / log2(4))  # of q1, whose ranking is A B C


def write(
    folder: Path,
    qrels: list[tuple[str, str, int]],
    corpus: dict[str, str] = CORPUS,
    queries: dict[str, Any] = QUERIES,
) -> Path:
    (folder / "qrels").mkdir(parents=True)
    lines = [json.dumps({"_id": id_, "title": "", "text": text}) for id_, text in corpus.items()]
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    lines = [json.dumps({"_id": id_, "text": text}) for id_, text in queries.items()]
    (folder / "queries.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = ["query-id\tcorpus-id\tscore", *(f"{query}\t{document}\t{score}" for query, document, score in qrels)]
    (folder / "qrels" / "test.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(store=tmp_path / "untouched", keyword_weight=1.0)


def test_the_scores_are_those_worked_out_by_hand(settings: Settings, tmp_path: Path) -> None:
    run_file = tmp_path / "run.txt"
    progress: list[tuple[int, int, int]] = []
    scores = evaluate_retrieval(
        settings, write(tmp_path / "set", QRELS), run_file=run_file, on_progress=lambda *told: progress.append(told)
    )
    # q1 finds A B C of the relevant B C D; q2 finds D; q3 is not judged, q4 neither
    assert scores["ndcg@10"] == pytest.approx((NDCG + 1) / 2, abs=1e-4)
    assert scores["mrr@10"] == pytest.approx((1 / 2 + 1) / 2)
    assert scores["hit_rate@1"] == 0.5
    assert scores["hit_rate@5"] == scores["hit_rate@10"] == 1.0
    assert scores["recall@10"] == scores["recall@100"] == pytest.approx((2 / 3 + 1) / 2, abs=1e-4)
    assert scores["map"] == pytest.approx(((1 / 2 + 2 / 3) / 3 + 1) / 2, abs=1e-4)
    assert (scores["queries"], scores["documents"], scores["chunks"]) == (2, 8, 8)
    assert 0 < scores["query_ms_p50"] <= scores["query_ms_p95"]
    assert scores["chunks_per_s"] > 0
    assert scores["settings"]["keyword_weight"] == 1.0
    assert progress[-1][:2] == (8, 8)
    assert not settings.store.exists(), "the user's own index is left alone"
    json.dumps(scores)
    rows = [line.split(" ") for line in run_file.read_text().splitlines()]
    assert [(row[0], row[1], row[2], row[3], row[5]) for row in rows] == [
        ("q1", "Q0", "A", "1", "groundwork"),
        ("q1", "Q0", "B", "2", "groundwork"),
        ("q1", "Q0", "C", "3", "groundwork"),
        ("q2", "Q0", "D", "1", "groundwork"),
    ]
    assert [float(row[4]) for row in rows[:3]] == sorted((float(row[4]) for row in rows[:3]), reverse=True)


def test_a_judged_query_that_finds_nothing_counts_as_nought(settings: Settings, tmp_path: Path) -> None:
    scores = evaluate_retrieval(settings, write(tmp_path / "set", [("q2", "D", 1), ("q4", "E", 1)]))
    assert scores["queries"] == 2
    assert scores["ndcg@10"] == scores["hit_rate@10"] == scores["mrr@10"] == scores["map"] == 0.5


def test_a_document_counts_once_with_its_best_chunk(tmp_path: Path) -> None:
    settings = load_settings(store=tmp_path / "none", keyword_weight=1.0, chunk_tokens=64, overlap_tokens=0)
    long = CORPUS | {"A": "\n\n".join(f"apple number {n} is one of many apples in the basket here." for n in range(20))}
    run_file = tmp_path / "run.txt"
    scores = evaluate_retrieval(settings, write(tmp_path / "set", QRELS, corpus=long), run_file=run_file)
    assert scores["chunks"] > 4
    ranked = [line.split()[2] for line in run_file.read_text().splitlines() if line.startswith("q1")]
    assert sorted(ranked) == ["A", "B", "C"]


def test_ids_with_odd_characters_are_only_names(settings: Settings, tmp_path: Path) -> None:
    odd = {"D": "../../etc/passwd", "B": "ü#1%20", "C": "a'b,c;d", "A": "<b>"}
    corpus = {odd.get(id_, id_): text for id_, text in CORPUS.items()}
    qrels = [(query, odd.get(document, document), score) for query, document, score in QRELS]
    scores = evaluate_retrieval(settings, write(tmp_path / "set", qrels, corpus=corpus))
    assert scores["ndcg@10"] == pytest.approx((NDCG + 1) / 2, abs=1e-4)


def test_ids_that_begin_with_a_quotation_mark_are_only_names(settings: Settings, tmp_path: Path) -> None:
    corpus = {'"D' if id_ == "D" else id_: text for id_, text in CORPUS.items()}
    qrels = [(query, '"D' if document == "D" else document, score) for query, document, score in QRELS]
    scores = evaluate_retrieval(settings, write(tmp_path / "set", qrels, corpus=corpus))
    assert scores["ndcg@10"] == pytest.approx((NDCG + 1) / 2, abs=1e-4)


def test_a_run_file_has_six_columns_whatever_the_ids(settings: Settings, tmp_path: Path) -> None:
    corpus = {"doc D" if id_ == "D" else id_: text for id_, text in CORPUS.items()}
    qrels = [("q1", "B", 2), ("q2", "doc D", 1)]
    evaluate_retrieval(settings, write(tmp_path / "set", qrels, corpus=corpus), run_file=tmp_path / "run.txt")
    assert {len(line.split()) for line in (tmp_path / "run.txt").read_text().splitlines()} == {6}


def test_one_judged_query_is_enough(settings: Settings, tmp_path: Path) -> None:
    assert evaluate_retrieval(settings, write(tmp_path / "set", [("q2", "D", 1)]))["ndcg@10"] == 1.0


@pytest.mark.parametrize("missing", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_missing_file_is_named(missing: str, settings: Settings, tmp_path: Path) -> None:
    folder = write(tmp_path / "set", QRELS)
    (folder / missing).unlink()
    with pytest.raises(EvaluationError, match="BEIR") as caught:
        evaluate_retrieval(settings, folder)
    assert str(folder / missing) in str(caught.value)


@pytest.mark.parametrize("data", [b'{"_id": "A", "text": ', b"\xff\xfe{}", b"not json\n"])
def test_a_file_that_is_not_json_lines_is_named(data: bytes, settings: Settings, tmp_path: Path) -> None:
    folder = write(tmp_path / "set", QRELS)
    (folder / "corpus.jsonl").write_bytes(data)
    with pytest.raises(EvaluationError, match=r"corpus\.jsonl"):
        evaluate_retrieval(settings, folder)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("qrels/test.tsv", "q1\tB\t2\n"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\tB\tmuch\n"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\n"),
        ("corpus.jsonl", '{"id": "A", "text": "apple"}\n'),
        ("corpus.jsonl", '{"_id": "A", "title": null, "text": null}\n'),
        ("corpus.jsonl", '["A"]\n'),
        ("queries.jsonl", '{"_id": "q1"}\n'),
    ],
)
def test_a_file_with_other_fields_is_an_evaluation_error(
    name: str, text: str, settings: Settings, tmp_path: Path
) -> None:
    folder = write(tmp_path / "set", QRELS)
    (folder / name).write_text(text)
    with pytest.raises(EvaluationError):
        evaluate_retrieval(settings, folder)


def test_numbers_are_ids_as_good_as_strings(settings: Settings, tmp_path: Path) -> None:
    folder = write(tmp_path / "set", [("1", "D", 1), ("2", "G", 1)], queries={})
    (folder / "queries.jsonl").write_text('{"_id": 1, "text": "stone"}\n{"_id": 2, "text": "iron"}\n')
    assert evaluate_retrieval(settings, folder)["ndcg@10"] == 1.0


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_an_empty_file_is_an_evaluation_error(name: str, settings: Settings, tmp_path: Path) -> None:
    folder = write(tmp_path / "set", QRELS)
    (folder / name).write_text("query-id\tcorpus-id\tscore\n" if name.endswith("tsv") else "")
    with pytest.raises(EvaluationError, match="empty"):
        evaluate_retrieval(settings, folder)
