"""Folders of documents with questions come in; a table of how well each style answers, and its details, go out.

    python benchmarks/answers.py data/sample                                   # questions.jsonl beside the documents
    python benchmarks/answers.py FOLDER --limit 200 --keep results             # corpus/ and qa.jsonl
    python benchmarks/answers.py FOLDER --limit 60 --styles write --given      # each question with its own paragraph

Where the folder has absent.json and qa_absent.jsonl, the documents that the first names stay out of the index, so that
the questions of the second have no answer in it. A paragraph, ARTICLE#pN, is the N-th block of ARTICLE.txt. --keep:
scores and rows of each run, for `evaluate compare`.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ingestion
from evaluation.answers import evaluate_answers
from settings import load_settings

SHARES = {
    "exact_match": "EM",
    "f1": "F1",
    "rouge_l": "ROUGE-L",
    "contains": "contains",
    "citation_precision": "citation precision",
    "citation_coverage": "coverage",
    "refusal_precision": "refusal precision",
    "refusal_recall": "recall",
    "hallucination_rate": "hallucination",
    "repetition_rate": "repetition",
}


def questions_of(folder: Path, *, given: bool) -> tuple[list[dict[str, Any]], set[str]]:
    """Return the questions, and the names of documents to leave out of the index."""
    path = folder / "qa.jsonl" if (folder / "qa.jsonl").exists() else folder / "questions.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if given or not (folder / "absent.json").exists():
        return rows, set()
    left_out = set(json.loads((folder / "absent.json").read_text(encoding="utf-8"))["leave_out_of_index"])
    absent = [json.loads(line) for line in (folder / "qa_absent.jsonl").read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if row["doc_id"] not in left_out] + absent, left_out


def paragraphs_of(corpus: Path) -> Iterator[dict[str, str]]:
    """Yield each block of each article."""
    for path in sorted(corpus.glob("*.txt")):
        blocks = [block for block in path.read_text(encoding="utf-8").split("\n\n") if block.strip()]
        yield from ({"_id": f"{path.stem}#p{n}", "title": "", "text": block} for n, block in enumerate(blocks, 1))


def write_rows(path: Path, rows: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> Path:
    """Write JSON lines and return their file."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def cells(style: str, scores: dict[str, Any]) -> str:
    """Return a row of the table."""
    shares = ["–" if scores[name] is None else f"{scores[name]:.3f}" for name in SHARES]
    other = [f"{scores['quoted']} of {scores['questions'] - scores['refused']}", f"{scores['answer_ms_p50']:.0f}"]
    tokens = " + ".join(f"{scores['tokens'][kind]:.0f}" for kind in ("prompt", "answer"))
    return f"| {' | '.join([style, *shares, *other, tokens])} |"


def main() -> None:
    """Read the arguments, ask in each style and print a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--styles", nargs="+", default=["quote", "brief", "write"])
    parser.add_argument("--limit", type=int)
    parser.add_argument("--given", action="store_true")
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    corpus = arguments.folder / "corpus" if (arguments.folder / "corpus").is_dir() else arguments.folder
    rows, left_out = questions_of(arguments.folder, given=arguments.given)
    print(f"| style | {' | '.join(SHARES.values())} | quoted | p50 (ms) | tokens, prompt + answer |")
    print("|---" * (len(SHARES) + 4) + "|")
    with tempfile.TemporaryDirectory() as scratch:
        keep = arguments.keep or Path(scratch)
        keep.mkdir(parents=True, exist_ok=True)
        asked = write_rows(Path(scratch) / "questions.jsonl", rows)
        store, given = Path(scratch) / "store", None
        if arguments.given:
            given = write_rows(Path(scratch) / "paragraphs.jsonl", paragraphs_of(corpus))
        else:
            documents = Path(scratch) / "documents"
            shutil.copytree(corpus, documents, ignore=lambda _, names: left_out.intersection(names))
            ingestion.ingest(load_settings(store=store), [documents])
        for style in arguments.styles:
            kept = keep / f"{arguments.folder.name}-{'given' if given else 'search'}-{style}.json"
            scores, _ = evaluate_answers(
                load_settings(store=store, answer_style=style),
                asked,
                limit=arguments.limit,
                given_paragraphs=given,
                rows_file=kept.with_suffix(".jsonl"),
            )
            kept.write_text(json.dumps(scores, indent=2), encoding="utf-8")
            print(cells(style, scores), flush=True)


if __name__ == "__main__":
    main()
