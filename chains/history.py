"""Earlier turns of a conversation come in; the text of as many as fit a model's prompt goes out."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from chains.queries import Turn, normalise
from chains.sanitising import CITATION
from harmless import harmless

SHORT = 160  # characters of a shortened answer: what it is about stands at its beginning


class Said(NamedTuple):
    """A conversation as a model reads it, and how many of its turns were shortened or left out for that."""

    text: str
    cut: int = 0


def tell(history: Sequence[Turn], fits: Callable[[str], bool] = lambda text: True) -> Said:
    """Return the longest form of the conversation that `fits`, "" where none does.

    Answers are shortened first, those of the oldest turns before others; then turns go, in the same order. The numbers
    of sources go always: in a later turn they mean nothing.
    """
    turns = [(_clean(turn["question"]), CITATION.sub("", _clean(turn["answer"]))) for turn in history]
    count = len(turns)
    told = [*turns]
    for at in range(count):
        if fits(_text(told)):
            return Said(_text(told), sum(one != other for one, other in zip(told, turns, strict=True)))
        question, answer = told[at]
        told[at] = (question, answer if len(answer) <= SHORT else answer[:SHORT].rsplit(" ", 1)[0] + " …")
    for first in range(count):
        if fits(_text(told[first:])):
            changed = sum(one != other for one, other in zip(told[first:], turns[first:], strict=True))
            return Said(_text(told[first:]), first + changed)
    return Said("", count)


def _clean(text: str) -> str:
    return harmless(normalise(text))


def _text(turns: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"Question: {question}\nAnswer: {answer}" for question, answer in turns)
