"""Documents and questions come in; how often what is read holds the answer, and what that costs, by setting, go out.

    python benchmarks/hierarchy.py --documents FOLDER --questions qa.jsonl --store KEPT --try merge=false merge=true

Rows of the questions: {question, answers, answerable, doc_id}. Each --try is a row of the table: settings with commas
between them. "Read" is the share of answerable questions whose answer stands in a passage that is read, "said" that
whose answer holds it; tokens are the embedder's, in all passages of a question together.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pipeline
from ingestion import ingest
from loaders.embeddings import load_token_counter
from settings import Settings, load_settings

HEAD = "| settings | read | said | refused, answerable | refused, unanswerable | tokens read | passages | p50 (ms) |"


def holds(text: str, references: Sequence[str]) -> bool:
    """Tell whether the text contains a reference answer, whatever the case of its letters."""
    return any(reference.casefold() in text.casefold() for reference in references)


def draw(paths: Sequence[Path], left_out: set[str], sample: int) -> list[dict[str, Any]]:
    """Return answerable questions about what is indexed, and half as many unanswerable ones."""
    rows = [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    there = [row for row in rows if row["answerable"] and row["doc_id"] not in left_out]
    away = [row for row in rows if not row["answerable"]]
    chance = random.Random(5)
    return chance.sample(there, min(sample, len(there))) + chance.sample(away, min(sample // 2, len(away)))


def measure(name: str, settings: Settings, questions: Sequence[dict[str, Any]]) -> str:
    """Ask every question; return one row of the table."""
    count_tokens, _ = load_token_counter(pipeline.embedder_folder(settings))
    read: list[bool] = []
    said: list[bool] = []
    refused: dict[bool, int] = {True: 0, False: 0}
    tokens, passages, milliseconds = [], [], []
    with pipeline.open_index(settings) as index, pipeline.open_chain(settings, index) as chain:
        chain.invoke({"question": "warm-up", "history": ()})
        for row in questions:
            began = time.perf_counter()
            state = chain.invoke({"question": row["question"], "history": ()})
            milliseconds.append((time.perf_counter() - began) * 1000)
            found, answer = state["source_documents"], state["answer"]
            tokens.append(sum(count_tokens(passage.page_content) for passage in found))
            passages.append(len(found))
            refused[row["answerable"]] += answer.abstained
            if row["answerable"]:
                read.append(any(holds(passage.page_content, row["answers"]) for passage in found))
                said.append(not answer.abstained and holds(answer.answer, row["answers"]))
    cells = (
        f"{statistics.mean(read):.1%}",
        f"{statistics.mean(said):.1%}",
        f"{refused[True]} of {len(read)}",
        f"{refused[False]} of {len(questions) - len(read)}",
        f"{statistics.mean(tokens):.0f}",
        f"{statistics.mean(passages):.1f}",
        f"{statistics.median(milliseconds):.0f}",
    )
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Read the arguments and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=Path, required=True)
    parser.add_argument("--questions", type=Path, nargs="+", required=True)
    parser.add_argument("--leave-out", type=Path, help='JSON: {"leave_out_of_index": [file names]}')
    parser.add_argument("--store", type=Path, required=True, help="where the index is kept; made if it is not there")
    parser.add_argument("--sample", type=int, default=120, help="answerable questions; half as many unanswerable ones")
    parser.add_argument("--try", nargs="+", default=["merge=false", "merge=true"], dest="trials")
    options = parser.parse_args()
    left_out = set(json.loads(options.leave_out.read_text())["leave_out_of_index"]) if options.leave_out else set()
    questions = draw(options.questions, left_out, options.sample)
    store = options.store.absolute()
    if not store.exists():
        ingest(load_settings(store=store), [path for path in options.documents.iterdir() if path.name not in left_out])
    print(HEAD, "|---" * 8 + "|", sep="\n")
    for trial in options.trials:
        changed: dict[str, Any] = dict(part.split("=", 1) for part in trial.split(","))
        print(
            measure(trial, load_settings(**{"answer_style": "quote", "store": store} | changed), questions), flush=True
        )


if __name__ == "__main__":
    main()
