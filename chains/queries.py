"""What is asked comes in; what is searched, one `Query` for each search, goes out."""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypedDict

from errors import QuestionError
from harmless import INVISIBLE


class Turn(TypedDict):
    """One earlier exchange of a conversation."""

    question: str
    answer: str


class Asked(TypedDict):
    """What a rewriter reads."""

    question: str
    history: Sequence[Turn]


class Query(NamedTuple):
    """One search: its words, its share in the fused score, the legs that read it, and the step that made it.

    forgotten: earlier turns that were shortened or left out for the model that wrote it.
    """

    text: str
    weight: float = 1.0
    dense: bool = True
    keyword: bool = True
    made_by: str = "question"
    forgotten: int = 0


class Draft(TypedDict):
    """What each step of the rewriter reads and returns: the queries so far, the one to answer for first."""

    history: Sequence[Turn]
    queries: tuple[Query, ...]


def normalise(text: str) -> str:
    """Return `text` in Unicode's composed form, with single spaces and no control or invisible characters."""
    text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())  # argv may hold half a surrogate pair
    kept = "".join(c for c in INVISIBLE.sub("", text) if c.isspace() or unicodedata.category(c) != "Cc")
    return " ".join(kept.split())


def check_question(question: str, longest: int) -> str:
    """Return the question, normalised; raise QuestionError when it is blank or longer than `longest` characters."""
    question = normalise(question)
    if not question:
        raise QuestionError("the question", "it is empty", "ask something")
    if len(question) > longest:
        remedy = "shorten it, or raise RAG_MAX_QUESTION_CHARACTERS"
        raise QuestionError(f"{question[:40]}…", f"it has {len(question)} characters, {longest} are allowed", remedy)
    return question


def distinct(queries: Iterable[Query]) -> tuple[Query, ...]:
    """Return the queries without blank ones and those whose text and legs an earlier one has; the order stays."""
    kept: dict[tuple[str, bool, bool], Query] = {}
    for query in queries:
        if query.text.strip():
            kept.setdefault((query.text, query.dense, query.keyword), query)
    return tuple(kept.values())
