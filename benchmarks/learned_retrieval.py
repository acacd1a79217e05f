"""Folders of documents with questions come in; what learning from the questions gains on held-back ones goes out.

    python benchmarks/learned_retrieval.py FOLDER… --work DIR [--ways query-adapter,embedder] [--epochs 2] [--rank 0]

A folder is in the BEIR layout, or has corpus/ and qa.jsonl {question, doc_id, answers}. The index of each is kept in
--work, so that a second run embeds nothing anew. The figures are those that the commands `finetune query-adapter` and
`finetune embedder` report: nDCG@10 of right chunks by the dense leg and by the whole search, before and after.
"""

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from evaluation.collection import read_collection
from evaluation.runs import write_files
from ingestion import ingest
from settings import Settings, load_settings
from tables import print_table
from training.embedder import train_embedder
from training.query_adapter import train_query_adapter


def prepare(folder: Path, work: Path) -> tuple[Settings, Path]:
    """Return settings of an index over the folder's documents, and the file of its questions."""
    questions, corpus = folder / "qa.jsonl", folder / "corpus"
    if not questions.is_file():
        questions, corpus = work / "questions.jsonl", work / "corpus"
        collection = read_collection(folder)
        if not corpus.is_dir():
            work.mkdir(parents=True, exist_ok=True)
            write_files(corpus, collection.documents)
        file = {row["_id"]: f"{number:07d}.md" for number, row in enumerate(collection.documents)}
        right = {id_: [d for d, grade in found.items() if grade > 0] for id_, found in collection.relevant.items()}
        rows = [
            {"question": text, "doc_ids": [file[d] for d in right[id_] if d in file]}
            for id_, text in collection.queries.items()
        ]
        questions.write_text("\n".join(json.dumps(row) for row in rows if row["doc_ids"]), encoding="utf-8")
    settings = load_settings(store=work / "store", encoder="onnx-int8")
    ingest(settings, [corpus])
    return settings, questions


def main() -> None:
    """Print a row for each folder and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--ways", default="query-adapter,embedder")
    for name, default in (("layers", 0), ("rank", 0), ("epochs", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--minutes", type=float, default=30)
    given = parser.parse_args()
    rows = []
    for folder in given.folders:
        settings, questions = prepare(folder, given.work / folder.name)
        for way in given.ways.split(","):
            with TemporaryDirectory() as aside:
                target = Path(aside) / "made"
                options: Any = {name: getattr(given, name) for name in ("layers", "rank", "epochs", "minutes")}
                report = (
                    train_query_adapter(settings, questions, target)
                    if way == "query-adapter"
                    else train_embedder(settings, questions, target, **options)
                )
            row = {"set": folder.name, "way": way, "questions": report.get("questions", report.get("groups"))}
            for leg in ("dense", "search"):
                before, after = (report[f"{leg}_ndcg@10_{when}"] for when in ("before", "after"))
                row |= {leg: f"{before:.3f} → {after:.3f}", f"95 % of {leg}": str(report[f"{leg}_gain_95"])}
            rows.append(row | {"pays": "yes" if report["pays"] else "no"})
    print_table(rows)


if __name__ == "__main__":
    main()
