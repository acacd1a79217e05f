"""BEIR-layout folders with misspelt queries come in; what correction wins back of the loss goes out as a table.

    python benchmarks/spelling.py FOLDER...

Each folder holds corpus.jsonl, queries.jsonl, qrels/test.tsv and queries.typo.jsonl, the queries with a misprint each.
"""

import sys
import time
from pathlib import Path
from statistics import median

from evaluation.collection import read_collection
from evaluation.runs import ingested, score_each, search_all
from pipeline import open_index
from searching import build_rewriter
from settings import load_settings

DEPTH = 10


def main() -> None:
    """Print a row a set: nDCG@10 of clean and misspelt queries without and with correction, and its milliseconds."""
    print("| set | clean | misspelt | corrected | won back | clean, corrected | ms added, clean | ms added, misspelt |")
    print("|---|---|---|---|---|---|---|---|")
    for folder in map(Path, sys.argv[1:]):
        print(row(folder), flush=True)


def row(folder: Path) -> str:
    """Ingest a set and return its row."""
    clean, typed = read_collection(folder), read_collection(folder, queries="queries.typo.jsonl")
    with (
        ingested(load_settings(rewrite="off"), clean.documents, on_progress=lambda *_: None) as corpus,
        open_index(corpus.settings) as index,
    ):
        scores = {}
        for name, asked in (("clean", clean), ("typed", typed)):
            for correct in (False, True):
                tried = corpus.settings.model_copy(update={"correct": correct})
                run, _ = search_all(tried, index, asked.queries, corpus.label, limit=5 * DEPTH, depth=DEPTH)
                scores[name, correct] = float(score_each(asked.relevant, run, ["nDCG@10"])["nDCG@10"].mean())
        rewriter = build_rewriter(corpus.settings, index)
        rewriter.invoke({"question": "a warm-up of the corerctor", "history": ()})
        added = {}
        for name, asked in (("clean", clean), ("typed", typed)):
            milliseconds = []
            for text in asked.queries.values():
                began = time.perf_counter()
                rewriter.invoke({"question": text, "history": ()})
                milliseconds.append((time.perf_counter() - began) * 1000)
            added[name] = median(milliseconds)
    lost = scores["clean", False] - scores["typed", False]
    won = f"{(scores['typed', True] - scores['typed', False]) / lost:.0%}" if lost > 0 else ""
    return (
        f"| {folder.name} | {scores['clean', False]:.4f} | {scores['typed', False]:.4f} | {scores['typed', True]:.4f}"
        f" | {won} | {scores['clean', True]:.4f} | {added['clean']:.2f} | {added['typed']:.2f} |"
    )


if __name__ == "__main__":
    main()
