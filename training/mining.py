"""Questions with the files that answer them come in; groups of a right passage and wrong ones found with it go out."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.documents import Document

from chains.queries import Query
from chains.reranking import readable
from searching import Search
from training.jsonl import parse_rows

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

    def question(row: dict[str, Any]) -> Question | None:
        answerable = bool(row.get("answerable", True))
        if not (answerable or unanswerable):
            return None
        names = frozenset(map(str, [row["doc_id"]] if "doc_id" in row else row["doc_ids"]))
        answers = tuple(map(str, row.get("answers") or ())) if answerable else ()
        return Question(str(row["question"]), names, answers, answerable)

    return list(filter(None, parse_rows(path, 'write one {"question": …, "doc_id": "file.pdf"} a line', question)))


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
