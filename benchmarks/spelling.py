"""BEIR-layout folders with misspelt queries come in; what correction wins back of the loss goes out as a table.

    python benchmarks/spelling.py FOLDER...

Each folder holds corpus.jsonl, queries.jsonl, qrels/test.tsv and queries.typo.jsonl, the queries with a misprint each.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from chains.queries import Query, normalise
from evaluation.retrieval import DEPTH, _read, _scores, _write_files
from ingestion import ingest
from pipeline import open_index
from searching import build_rewriter, build_search
from settings import load_settings

Rewrite = Callable[[str], list[Query]]


def main() -> None:
    """Print a row a set: nDCG@10 of clean and misspelt queries without and with correction, and its milliseconds."""
    print("| set | clean | misspelt | corrected | won back | clean, corrected | ms added, clean | ms added, misspelt |")
    print("|---|---|---|---|---|---|---|---|")
    for folder in map(Path, sys.argv[1:]):
        with tempfile.TemporaryDirectory(prefix="groundwork-") as directory:
            print(row(folder, Path(directory)), flush=True)


def row(folder: Path, directory: Path) -> str:
    """Ingest a set and return its row."""
    settings = load_settings(store=directory / "store", rewrite="off")
    names = _write_files(directory / "corpus", _read(folder, "corpus.jsonl", ("_id", "text")))
    ingest(settings, [directory / "corpus"])
    relevant: dict[str, dict[str, int]] = {}
    for judged in _read(folder, "qrels/test.tsv", ("query-id", "corpus-id", "score")):
        relevant.setdefault(judged["query-id"], {})[judged["corpus-id"]] = int(judged["score"])
    clean, typed = (
        {r["_id"]: r["text"] for r in _read(folder, f"{name}.jsonl", ("_id", "text")) if r["_id"] in relevant}
        for name in ("queries", "queries.typo")
    )
    plain: Rewrite = lambda text: [Query(normalise(text))]  # noqa: E731
    with open_index(settings) as index:
        rewriter = build_rewriter(settings, index)
        corrected: Rewrite = lambda text: rewriter.invoke({"question": text, "history": []})  # noqa: E731
        corrected("warm-up of a corerctor")

        def ndcg(queries: dict[str, str], rewrite: Rewrite) -> tuple[float, float]:
            search = build_search(settings, index, limit=2 * DEPTH)
            run, milliseconds = {}, []
            for id_, text in queries.items():
                began = time.perf_counter()
                asked = rewrite(text)
                milliseconds.append((time.perf_counter() - began) * 1000)
                ranked: dict[str, float] = {}
                for passage in search.invoke(asked):
                    for source in (passage.metadata["source"], *passage.metadata["also_in"]):
                        ranked.setdefault(names[source], passage.metadata["score"])
                run[id_] = dict(list(ranked.items())[:DEPTH])
            return _scores(relevant, run)["ndcg@10"], median(milliseconds)

        (a, _), (b, _) = ndcg(clean, plain), ndcg(typed, plain)
        (c, typed_ms), (d, clean_ms) = ndcg(typed, corrected), ndcg(clean, corrected)
    won = f"{(c - b) / (a - b):.0%}" if a > b else ""
    return f"| {folder.name} | {a:.4f} | {b:.4f} | {c:.4f} | {won} | {d:.4f} | {clean_ms:.2f} | {typed_ms:.2f} |"


if __name__ == "__main__":
    main()
