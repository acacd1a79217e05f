"""Documents and questions about them come in; how often the answer holds the reference, and what refusal costs, go out.

    python benchmarks/answers.py --documents FOLDER --questions qa.jsonl --absent absent.jsonl --leave-out absent.json

Rows of the questions: {question, answers, answerable, doc_id}. The last two options are for refusal: the documents that
absent.json names stay out of the index, so that the questions of absent.jsonl have no answer in it.
"""

import argparse
import json
import random
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ingestion
import pipeline
from chains.answers import Answer
from chains.rag import ask
from settings import load_settings

Asked = list[tuple[dict[str, Any], Answer]]


def holds(text: str, references: Sequence[str]) -> bool:
    """Tell whether the text contains a reference answer, whatever the case of its letters."""
    return any(reference.casefold() in text.casefold() for reference in references)


def ask_all(style: str, folder: Path, store: Path, questions: Sequence[dict[str, Any]]) -> Asked:
    """Answer every question in one style, over one index."""
    settings = load_settings(store=store, answer_style=style)
    ingestion.ingest(settings, [folder])
    with pipeline.open_index(settings) as index, pipeline.open_chain(settings, index) as chain:
        return [(question, ask(chain, question["question"])) for question in questions]


def report(style: str, asked: Asked) -> str:
    """Return one row of the table."""
    there = [(q, a) for q, a in asked if q["answerable"]]
    away = [a for q, a in asked if not q["answerable"]]
    written = [(q, a) for q, a in there if not a.quoted and not a.abstained]
    found = sum(not a.abstained and holds(a.answer, q["answers"]) for q, a in there)
    right = sum(holds(a.answer, q["answers"]) for q, a in written)
    cells = [
        f"{found / len(there):.0%}",
        f"{right / len(written):.0%} of {len(written)}" if written else "",
        f"{sum(a.quoted for _, a in there) / len(there):.0%}",
        f"{sum(a.abstained for _, a in there)} of {len(there)}",
        f"{sum(a.abstained for a in away)} of {len(away)}",
        f"{statistics.median(a.timings['total_ms'] for _, a in asked):.0f}",
    ]
    return f"| {style} | {' | '.join(cells)} |"


def main() -> None:
    """Read the arguments, ask in each style and print a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--documents", type=Path, required=True)
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--absent", type=Path, help="questions about documents that are left out")
    parser.add_argument("--leave-out", type=Path, help='JSON: {"leave_out_of_index": [file names]}')
    parser.add_argument("--sample", type=int, default=150, help="answerable questions; half as many unanswerable ones")
    parser.add_argument("--styles", nargs="+", default=["brief", "quote"])
    arguments = parser.parse_args()
    left_out = set(json.loads(arguments.leave_out.read_text())["leave_out_of_index"]) if arguments.leave_out else set()
    draw = random.Random(5)
    rows = [json.loads(line) for line in arguments.questions.read_text().splitlines()]
    rows += [json.loads(line) for line in arguments.absent.read_text().splitlines()] if arguments.absent else []
    there = [row for row in rows if row["answerable"] and row["doc_id"] not in left_out]
    away = [row for row in rows if not row["answerable"]]
    questions = draw.sample(there, min(arguments.sample, len(there)))
    questions += draw.sample(away, min(arguments.sample // 2, len(away)))
    print("| style | holds | of the written ones | quoted | refused, answerable | refused, unanswerable | p50 (ms) |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "documents"
        shutil.copytree(arguments.documents, folder, ignore=lambda _, names: left_out.intersection(names))
        for style in arguments.styles:
            print(report(style, ask_all(style, folder, Path(scratch) / "store", questions)), flush=True)


if __name__ == "__main__":
    main()
