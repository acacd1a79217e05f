"""A BEIR-layout folder comes in; its documents, queries and judgements go out, with a note of what does not fit."""

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errors import EvaluationError, one_line

QUERIES, QRELS = "queries.jsonl", "test.tsv"
REMEDY = "give a folder in the BEIR layout (corpus.jsonl, queries.jsonl, qrels/test.tsv)"
Judgements = dict[str, dict[str, int]]  # query id → document id → grade


@dataclass(frozen=True)
class Collection:
    """Documents {_id, title, text}, the judged queries (id → text), their judgements, and notes of what is amiss."""

    documents: list[dict[str, str]]
    queries: dict[str, str]
    relevant: Judgements
    notes: tuple[str, ...]


def read_collection(folder: Path, *, queries: str = QUERIES, qrels: str = QRELS) -> Collection:
    """Read corpus.jsonl {_id, title, text}, `queries` {_id, text} and qrels/`qrels` (query-id, corpus-id, score).

    Raise EvaluationError that names the file and the row when the folder is not so, or when no query is judged.
    """
    documents = read_rows(folder / "corpus.jsonl", ("_id", "text"))
    texts = {row["_id"]: row["text"] for row in read_rows(folder / queries, ("_id", "text"))}
    relevant: Judgements = {}
    for row in read_rows(folder / "qrels" / qrels, ("query-id", "corpus-id", "score")):
        relevant.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    judged = {id_: text for id_, text in texts.items() if id_ in relevant}
    if not judged:
        raise EvaluationError(folder, "none of its queries is judged", f"check that qrels/{qrels} names their ids")
    lost = len(relevant.keys() - judged.keys())
    relevant = {id_: relevant[id_] for id_ in judged}
    known = {row["_id"] for row in documents}
    absent = sum(document not in known for grades in relevant.values() for document in grades)
    notes = (
        (absent, f"judgements name documents that corpus.jsonl lacks, and count as not found ({qrels})"),
        (lost, f"judged queries are not in {queries}, and are left out"),
        (len(texts) - len(judged), f"queries of {queries} have no judgement in {qrels}, and are left out"),
    )
    return Collection(documents, judged, relevant, tuple(f"{count} {what}" for count, what in notes if count))


def read_rows(path: Path, fields: Sequence[str], remedy: str = REMEDY) -> list[dict[str, str]]:
    """Return a file's rows with these fields and the title, all as text; raise EvaluationError that names the row."""
    number = 0
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
