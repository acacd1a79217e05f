"""A BEIR-layout folder comes in; its corpus is ingested and searched as any other, and the retrieval scores go out."""

import csv
import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any

from errors import EvaluationError, one_line
from ingestion import ingest
from loaders.sync import Progress
from pipeline import open_index
from searching import build_rewriter, build_search
from settings import Settings

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
Run = dict[str, dict[str, float]]  # query id → document id → score


def evaluate_retrieval(
    settings: Settings,
    folder: Path,
    *,
    run_file: Path | None = None,
    on_progress: Progress = lambda done, total, chunks: None,
) -> dict[str, Any]:
    """Return the scores of the retrieval chain over the judged queries of a BEIR-layout folder.

    Expects corpus.jsonl {_id, title, text}, queries.jsonl {_id, text} and qrels/test.tsv (query-id, corpus-id,
    score). Each document becomes a Markdown file, ingested into a temporary store; a document scores as its best
    chunk. The arithmetic is ir-measures' (trec_eval's). Times are in milliseconds. Raise EvaluationError when the
    folder is not so.
    """
    if run_file and not run_file.absolute().parent.is_dir():
        raise EvaluationError(run_file, "its folder does not exist", "make the folder first")
    corpus = _read(folder, "corpus.jsonl", ("_id", "text"))
    queries = _read(folder, "queries.jsonl", ("_id", "text"))
    relevant: dict[str, dict[str, int]] = {}
    for row in _read(folder, "qrels/test.tsv", ("query-id", "corpus-id", "score")):
        relevant.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    with tempfile.TemporaryDirectory(prefix="groundwork-") as directory:
        settings = settings.model_copy(update={"store": Path(directory) / "store"})
        files = Path(directory) / "corpus"
        names = _write_files(files, corpus)
        report = ingest(settings, [files], on_progress=on_progress)
        judged = [(row["_id"], row["text"]) for row in queries if row["_id"] in relevant]
        if not judged:
            raise EvaluationError(folder, "none of its queries is judged", "check that qrels/test.tsv names their ids")
        run, milliseconds = _search_all(settings, judged, names)
    if run_file:
        _write_run(run_file, run)
    cuts = quantiles(milliseconds * 2, n=20)  # twice: one query alone has no quantiles
    return {
        **_scores(relevant, run),
        "query_ms_p50": round(cuts[9], 2),
        "query_ms_p95": round(cuts[18], 2),
        "queries": len(judged),
        "documents": len(corpus),
        "chunks": report.chunks,
        "chunks_per_s": round(report.chunks / report.seconds, 1),
        "settings": json.loads(settings.model_dump_json(exclude={"store"})),
    }


def _read(folder: Path, name: str, fields: Sequence[str]) -> list[dict[str, str]]:
    """Return a file's rows with these fields and the title, all as text; raise EvaluationError that names the row."""
    path, number = folder / name, 0
    remedy = "give a folder in the BEIR layout (corpus.jsonl, queries.jsonl, qrels/test.tsv)"
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows: Iterable[Any] = (json.loads(line) for line in lines if line.strip())
            if path.suffix == ".tsv":  # no quoting: an id may hold a quotation mark
                rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
            found = []
            for number, row in enumerate(rows, 1):  # noqa: B007  (the error below names it)
                if any(row[field] is None for field in fields):
                    raise ValueError(f"one of {', '.join(fields)} is empty")
                found.append({field: str(row[field]) for field in fields} | {"title": str(row.get("title") or "")})
                int(found[-1].get("score", 0))
            if not found:
                raise EvaluationError(path, "it is empty", remedy)
            return found
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(path, one_line(error), remedy) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvaluationError(f"{path}, row {number + 1}", f"not as expected ({one_line(error)})", remedy) from None


def _write_files(folder: Path, corpus: list[dict[str, str]]) -> dict[str, str]:
    """Write each document as a Markdown file under a numbered name; return file → document id."""
    folder.mkdir()
    names = {}
    for number, row in enumerate(corpus):
        path = folder / f"{number:07d}.md"
        title = " ".join(row["title"].split())
        path.write_text(f"# {title}\n\n{row['text']}\n" if title else row["text"], encoding="utf-8")
        names[str(path)] = row["_id"]
    return names


def _search_all(settings: Settings, judged: list[tuple[str, str]], names: dict[str, str]) -> tuple[Run, list[float]]:
    """Return each query's ranked documents and the milliseconds that it took."""
    run: Run = {}
    milliseconds = []
    with open_index(settings) as index:
        # more chunks than documents: some documents have several
        search = build_rewriter(settings, index) | build_search(settings, index, limit=2 * DEPTH)
        search.invoke({"question": "warm-up", "history": ()})
        for query_id, text in judged:
            began = time.perf_counter()
            passages = search.invoke({"question": text, "history": ()})
            milliseconds.append((time.perf_counter() - began) * 1000)
            ranked: dict[str, float] = {}
            for passage in passages:  # best first: a document's first chunk is its best
                for source in (passage.metadata["source"], *passage.metadata["also_in"]):
                    ranked.setdefault(names[source], passage.metadata["score"])
            run[query_id] = dict(list(ranked.items())[:DEPTH])
    return run, milliseconds


def _scores(relevant: dict[str, dict[str, int]], run: Run) -> dict[str, float]:
    """Return each measure's mean over the judged queries, by its usual name."""
    import ir_measures

    parsed = {name: ir_measures.parse_measure(text) for name, text in MEASURES.items()}
    found = ir_measures.calc_aggregate(list(parsed.values()), relevant, run)
    return {name: round(float(found[measure]), 4) for name, measure in parsed.items()}


def _write_run(path: Path, run: Run) -> None:
    """Write a TREC run: query Q0 document rank score name, with white space in an id as an underscore."""

    def lines() -> Iterator[str]:
        for query, ranked in run.items():
            for rank, (document, score) in enumerate(ranked.items(), 1):
                query, document = ("_".join(id_.split()) for id_ in (query, document))
                yield f"{query} Q0 {document} {rank} {score:.6f} groundwork\n"

    path.write_text("".join(lines()), encoding="utf-8")
