"""Questions with the files that answer them come in; groups of a right passage and wrong ones found with it go out."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.documents import Document

from chains.queries import Query
from chains.reranking import readable
from errors import EvaluationError, one_line
from searching import Search

DEPTH = 100  # passages among which the right one is looked for
# settings of the search that mines: chunks as they are indexed, not joined, widened or mixed yet
PLAIN: dict[str, Any] = {"reranker": "light", "merge": False, "parent_tokens": 0, "diversity": 0}


@dataclass(frozen=True)
class Question:
    """A question, the names of the files that answer it, and the answers' words where they are known."""

    text: str
    documents: frozenset[str]
    answers: tuple[str, ...]
    answerable: bool = True


@dataclass(frozen=True)
class Group:
    """A question, the passage that answers it first and wrong ones behind it, with their scores by the search."""

    query: str
    passages: tuple[str, ...]
    scores: tuple[float, ...]


def read_questions(path: Path, *, unanswerable: bool = False) -> list[Question]:
    """Read JSON lines {"question", "doc_id" or "doc_ids", "answers"?}.

    Those marked "answerable": false are left out, or with `unanswerable` kept, without answers. A doc_id is a file's
    name or the end of its path. Raise EvaluationError that names the row.
    """
    found, number = [], 0
    remedy = 'write one {"question": …, "doc_id": "file.pdf"} a line'
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):  # noqa: B007  (the error below names it)
            row: dict[str, Any] = json.loads(line) if line.strip() else {}
            if row and (unanswerable or row.get("answerable", True)):
                names = frozenset(map(str, [row["doc_id"]] if "doc_id" in row else row["doc_ids"]))
                answerable = bool(row.get("answerable", True))
                answers = tuple(map(str, row.get("answers") or ())) if answerable else ()
                found.append(Question(str(row["question"]), names, answers, answerable))
    except OSError as error:
        raise EvaluationError(path, one_line(error), remedy) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvaluationError(f"{path}, row {number}", f"not as expected ({one_line(error)})", remedy) from None
    return found


def mine(
    search: Search, questions: Iterable[Question], *, wrong: int = 9, form: Callable[[Document], str] = readable
) -> list[Group]:
    """Return a group for each right passage that `search` brings, with the `wrong` best of the others.

    form: passage → the text of it that is learnt from.
    Right is what comes from a named file and, where answers are known, holds one. What else of a named file was found
    is left out: it may answer too. A question whose answer is not found teaches nothing and is left out as well.
    """
    groups = []
    for question in questions:
        passages = search.invoke([Query(question.text)])
        right = [passage for passage in passages if answers(passage, question)]
        others = [passage for passage in passages if not is_from(passage, question.documents)]
        if question.answers:  # long files: most of what is near is in the same one
            others = [passage for passage in passages if not _holds(passage, question.answers)]
        if len(others) >= wrong:
            best = right[: len(question.documents)]
            groups += [_group(question.text, [passage, *others[:wrong]], form) for passage in best]
    return groups


def _group(query: str, passages: Sequence[Document], form: Callable[[Document], str]) -> Group:
    return Group(query, tuple(map(form, passages)), tuple(float(p.metadata["score"]) for p in passages))


def answers(passage: Document, question: Question) -> bool:
    """Tell whether a passage is from a file that answers the question and, where answers are known, holds one."""
    return is_from(passage, question.documents) and (not question.answers or _holds(passage, question.answers))


def _holds(passage: Document, answers: Sequence[str]) -> bool:
    text = passage.page_content.casefold()
    return any(answer.casefold() in text for answer in answers)


def is_from(passage: Document, documents: frozenset[str]) -> bool:
    """Tell whether a passage stands in a file of one of these names, or paths' ends."""
    sources = (passage.metadata["source"], *passage.metadata.get("also_in", ()))
    return any(source == name or source.endswith(f"/{name}") for source in sources for name in documents)
