"""A BEIR-layout folder comes in; its corpus is ingested and searched as any other, and the retrieval scores go out."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from errors import EvaluationError
from evaluation.collection import QRELS, QUERIES, read_collection
from evaluation.runs import Run, ingested, percentiles, score_each, search_all
from loaders.sync import Progress
from pipeline import open_index
from settings import ROOT, Settings

DEPTH = 100  # documents ranked for each query
MEASURES = {
    "ndcg@10": "nDCG@10",
    "mrr@10": "RR@10",
    "hit_rate@1": "Success@1",
    "hit_rate@5": "Success@5",
    "hit_rate@10": "Success@10",
    "recall@10": "R@10",
    "recall@100": "R@100",
    "map": "AP@100",
}


def evaluate_retrieval(
    settings: Settings,
    folder: Path,
    *,
    queries: str = QUERIES,
    qrels: str = QRELS,
    run_file: Path | None = None,
    on_progress: Progress = lambda done, total, chunks: None,
    on_note: Callable[[str], None] = lambda note: None,
) -> dict[str, Any]:
    """Return the scores of the retrieval chain over the judged queries of a BEIR-layout folder.

    Each document becomes a Markdown file, ingested into a temporary store; a document scores as its best chunk. The
    arithmetic is ir-measures' (trec_eval's). Times are in milliseconds. `on_note` is told what of the judgements does
    not fit the corpus or the queries. Raise EvaluationError when the folder is not as read_collection wants it.
    """
    if run_file and not run_file.absolute().parent.is_dir():
        raise EvaluationError(run_file, "its folder does not exist", "make the folder first")
    collection = read_collection(folder, queries=queries, qrels=qrels)
    if collection.notes:
        on_note("; ".join(collection.notes))
    with (
        ingested(settings, collection.documents, on_progress=on_progress) as corpus,
        open_index(corpus.settings) as index,
    ):
        # more chunks than documents: some documents have several
        run, milliseconds = search_all(
            corpus.settings, index, collection.queries, corpus.label, limit=2 * DEPTH, depth=DEPTH
        )
    if run_file:
        _write_run(run_file, run)
    scores = score_each(collection.relevant, run, list(MEASURES.values()))
    return {
        **{name: round(float(scores[measure].mean()), 4) for name, measure in MEASURES.items()},
        **percentiles(milliseconds),
        "queries": len(collection.queries),
        "documents": len(collection.documents),
        "chunks": corpus.report.chunks,
        "chunks_per_s": round(corpus.report.chunks / corpus.report.seconds, 1),
        "settings": shown(settings),
    }


def shown(settings: Settings) -> dict[str, Any]:
    """Return the settings as they stand beside scores: all but the directories, passwords hidden, paths made short."""
    told: dict[str, Any] = json.loads(settings.model_dump_json(exclude={"store", "cache"}))
    return {name: _short(value) if isinstance(value, str) else value for name, value in told.items()}


def _short(value: str) -> str:
    return value.replace(f"{ROOT}{os.sep}", "").replace(f"{Path.home()}{os.sep}", "~/")


def _write_run(path: Path, run: Run) -> None:
    """Write a TREC run: query Q0 document rank score name, with white space in an id as an underscore."""

    def lines() -> Iterator[str]:
        for query, ranked in run.items():
            for rank, (document, score) in enumerate(ranked.items(), 1):
                query, document = ("_".join(id_.split()) for id_ in (query, document))
                yield f"{query} Q0 {document} {rank} {score:.6f} groundwork\n"

    path.write_text("".join(lines()), encoding="utf-8")
