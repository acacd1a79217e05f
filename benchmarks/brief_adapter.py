"""Two sets of SQuAD's questions come in; what the shipped adapter is taught with, and what it is measured on, go out.

    python benchmarks/brief_adapter.py DATA WORK

DATA holds squad2_pairs/ and xquad/en/, each with corpus/ and qa.jsonl (CC BY-SA 4.0). Articles are numbered by the
names of their files. Those of TEST and ABSENT are in no training text; DEVELOPMENT decides which checkpoint stays.
WORK gets train.jsonl and dev.jsonl, and for the end test/ (documents), test.jsonl (questions about them, and about the
absent articles) and paragraphs.jsonl. adapters/README.md has the commands that follow.
"""

import argparse
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from settings import load_settings
from training.examples import write_examples
from training.sft import Material, examples_of

TEST = (1, 9, 17, 25, 33, 41)
ABSENT = (7, 23, 39)
DEVELOPMENT = (27, 43)
SETS = {"squad2": "squad2_pairs", "xquad": "xquad/en"}
DEV_EXAMPLES = {"squad2": 35, "xquad": 25}
Row = dict[str, Any]


def number(row: Row) -> int:
    """Return the number of a row's article."""
    return int(row["doc_id"][:2])


def read(path: Path) -> list[Row]:
    """Return the rows of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write(rows: list[Row], path: Path) -> None:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def documents(source: Path, target: Path, wanted: Callable[[int], bool]) -> Path:
    """Copy the articles whose numbers are wanted."""
    target.mkdir(parents=True)
    for file in sorted(source.glob("*.txt")):
        if wanted(int(file.name[:2])):
            shutil.copy(file, target)
    return target


def examples(data: Path, work: Path, name: str, part: str, wanted: Callable[[int], bool]) -> list[Any]:
    """Return the examples made of a set's answerable questions of a part, asked of the articles up to that part."""
    source = data / SETS[name]
    file = work / f"{name}.{part}.jsonl"
    write([row for row in read(source / "qa.jsonl") if row["answerable"] and wanted(number(row))], file)
    held = (*TEST, *ABSENT, *(DEVELOPMENT if part == "train" else ()))
    folder = documents(source / "corpus", work / f"{name}.{part}", lambda n: n not in held)
    return examples_of(load_settings(answer_style="brief"), Material(file, folder))[0]


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    given = parser.parse_args()
    data, work = given.data, given.work
    work.mkdir(parents=True)
    held = (*TEST, *ABSENT, *DEVELOPMENT)
    train = [each for name in SETS for each in examples(data, work, name, "train", lambda n: n not in held)]
    write_examples(train, work / "train.jsonl")
    draw = random.Random(0)
    dev = [
        each
        for name, count in DEV_EXAMPLES.items()
        for each in draw.sample(examples(data, work, name, "dev", lambda n: n in DEVELOPMENT), count)
    ]
    write_examples(dev, work / "dev.jsonl")
    source = data / SETS["xquad"]
    documents(source / "corpus", work / "test", lambda n: n not in ABSENT)
    asked = [row for row in read(source / "qa.jsonl") if number(row) in (*TEST, *ABSENT)]
    absent = {"answerable": False, "answers": []}
    write([row | (absent if number(row) in ABSENT else {}) for row in asked], work / "test.jsonl")
    write([row for row in asked if number(row) in TEST], work / "given.jsonl")
    shutil.copy(source / "retrieval" / "corpus.jsonl", work / "paragraphs.jsonl")


if __name__ == "__main__":
    main()
