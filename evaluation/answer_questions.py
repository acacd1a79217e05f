"""A file of questions with their reference answers comes in; the questions, checked, go out."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from langchain_core.documents import Document

from chains.passages import as_found
from chains.queries import Turn, check_question
from errors import EvaluationError, QuestionError, one_line
from evaluation.collection import read_rows

SEED = 0
REMEDY = (
    'write {"id", "question", "answers": […], "answerable": true or false} a line; see qa.jsonl files of SQuAD kind'
)


class Case(NamedTuple):
    """A question with the answers that are right, none where it has none, its kind, and the paragraph it is about.

    history: what was said before a question that follows it up.
    """

    row: int
    id: str
    question: str
    answers: tuple[str, ...]
    answerable: bool
    type: str | None
    para_id: str | None
    history: tuple[Turn, ...] = ()


def read_cases(path: Path, *, longest: int) -> list[Case]:
    """Read JSON lines {id, question, answers, answerable, type, para_id, history}; only question and answers must be.

    Without an id a row's number is its id. longest: characters of a question. Raise EvaluationError that names the row.
    """
    found: dict[str, Case] = {}
    number = 0
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
            if line.strip():
                question = _question(json.loads(line), number, longest)
                if question.id in found:
                    raise ValueError(f"its id {question.id!r} is that of row {found[question.id].row}")
                found[question.id] = question
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(path, one_line(error), REMEDY) from None
    except QuestionError as error:
        raise EvaluationError(f"{path}, row {number}", error.reason, error.remedy) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvaluationError(f"{path}, row {number}", f"not as expected ({one_line(error)})", REMEDY) from None
    if not found:
        raise EvaluationError(path, "it is empty", REMEDY)
    return list(found.values())


def _question(row: dict[str, Any], number: int, longest: int) -> Case:
    answerable, answers = row.get("answerable", True), row.get("answers") or []
    if not isinstance(answerable, bool):
        raise ValueError(f"answerable is {answerable!r}")
    if not isinstance(answers, list) or not all(isinstance(each, str) and each.strip() for each in answers):
        raise ValueError("its answers are not a list of texts")
    if answerable and not answers:
        raise ValueError("it is answerable and has no answers")
    if not isinstance(row["question"], str):
        raise ValueError("its question is no text")
    type_, para_id = (None if row.get(key) is None else str(row[key]) for key in ("type", "para_id"))
    question = check_question(row["question"], longest)
    id_ = str(number if row.get("id") is None else row["id"])
    turns = tuple(Turn(question=str(turn["question"]), answer=str(turn["answer"])) for turn in row.get("history") or ())
    return Case(number, id_, question, tuple(answers) if answerable else (), answerable, type_, para_id, turns)


def sampled(questions: Sequence[Case], limit: int | None) -> list[Case]:
    """Return `limit` of the questions in their order, drawn with a fixed seed, with the same share unanswerable."""
    if limit is None or limit >= len(questions):
        return list(questions)
    draw = random.Random(SEED)  # noqa: S311  (a sample, not a secret)
    there, away = ([q for q in questions if q.answerable is kind] for kind in (True, False))
    count = round(limit * len(away) / len(questions))
    count = min(max(count, limit - len(there)), len(away))
    drawn = {q.id for q in (*draw.sample(there, limit - count), *draw.sample(away, count))}
    return [question for question in questions if question.id in drawn]


def read_paragraphs(path: Path, questions: Sequence[Case], asked: Path) -> dict[str, Document]:
    """Return, by question id, the passage that a row {_id, title, text} of `path` makes for its para_id.

    Raise EvaluationError that names the row of `asked` whose paragraph is not there.
    """
    remedy = "write one {_id, title, text} a line, as corpus.jsonl of the BEIR layout has it"
    paragraphs = {row["_id"]: row for row in read_rows(path, ("_id", "text"), remedy)}
    for question in questions:
        if question.para_id not in paragraphs:
            reason = f"{path} has no paragraph {question.para_id}" if question.para_id else "it names no para_id"
            raise EvaluationError(f"{asked}, row {question.row}", reason, "leave it out, or --given-paragraphs")
    rows = {question.id: paragraphs[question.para_id or ""] for question in questions}
    return {id_: as_found(row["_id"], row["text"], row["title"]) for id_, row in rows.items()}
