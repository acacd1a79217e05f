"""A question and its passages come in; the probability that they hold an answer goes out."""

import math
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import PurePath
from typing import NamedTuple

from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableLambda

from chains.evidence import best_passage, best_sentence
from chains.reranking import Ranked
from words import STOP_WORDS, UNSPACED, content_words

ASKED_NAME = re.compile(r"(?<!^)(?<![.?!] )\b(?:[A-Z][\w'-]*|\w*\d[\w.-]*)")  # not a sentence's first word
GRAM = 4  # characters: endings and prefixes differ, so parts of words are compared and no word is stemmed
# Weights of a logistic model, the constant first and then Signals.vector(), as benchmarks/sufficiency.py prints them.
SEARCHED = (-5.745, 10.532, 1.144, 1.605, 14.167, -11.067, 11.511, 14.561)
GIVEN = (-10.21, 13.746, 1.083, 1.56, 12.771)  # of passages that no search brought


class Signals(NamedTuple):
    """What tells whether passages hold an answer, each from 0 to 1; the last three None where no search ran.

    words: share of the question's words, as stretches of four characters, that two neighbouring sentences hold under
    their heading. names: share of the names and numbers asked for that are mentioned anywhere. sentence: the best
    sentence's score. unspaced: whether the question is written without spaces, pairs of characters being its words.
    keyword: the best BM25 score as a share of the highest that there could be. cosine: the best passage's. familiar:
    how well the embedder knows the question's language; a cosine tells nothing where it does not.
    """

    words: float
    names: float
    sentence: float
    unspaced: float
    keyword: float | None = None
    cosine: float | None = None
    familiar: float | None = None

    def vector(self) -> tuple[float, ...]:
        """Return what the weights of GIVEN or SEARCHED belong to."""
        if self.keyword is None or self.cosine is None or self.familiar is None:
            return (self.words, self.names, self.unspaced, self.sentence)
        known = self.familiar
        fit = (known * self.sentence, known * self.cosine)
        return (self.words, self.names, self.unspaced, self.keyword, known, *fit)


def build_weigher(
    highest: Callable[[str], float], familiar: Callable[[str], float]
) -> Runnable[Ranked, list[Document]]:
    """Return a Runnable that gives each passage what `sufficiency` needs to know of the search.

    `metadata["coverage"]`: its BM25 score as a share of the query's highest. `metadata["familiar"]`: how well the
    embedder knows the query's language, the same for all passages.
    """

    def weigh(ranked: Ranked) -> list[Document]:
        most, known = max(highest(ranked["query"]), 1e-9), familiar(ranked["query"])
        for passage in ranked["passages"]:
            share = (passage.metadata["keyword"] or 0.0) / most
            passage.metadata |= {"coverage": min(share, 1.0), "familiar": known}
        return ranked["passages"]

    return RunnableLambda(weigh, name="weigh")


def lacks_evidence(question: str, passages: Sequence[Document], *, least_evidence: float) -> bool:
    """Tell whether the passages are less sufficient than `least_evidence`, or there are none."""
    return not passages or sufficiency(question, passages) < least_evidence


def sufficiency(question: str, passages: Sequence[Document]) -> float:
    """Return the probability that the passages, which carry their scored sentences, hold an answer.

    It is calibrated on questions of which a fifth ask for what no document tells (benchmarks/sufficiency.py).
    """
    if not passages:
        return 0.0
    vector = signals(question, passages).vector()
    constant, *weights = SEARCHED if len(vector) == len(SEARCHED) - 1 else GIVEN
    return 1 / (1 + math.exp(-constant - sum(w * x for w, x in zip(weights, vector, strict=True))))


def signals(question: str, passages: Sequence[Document]) -> Signals:
    """Return the signals of at least one passage with its scored sentences."""
    asked = _grams(content_words(question))
    named = {word for match in ASKED_NAME.findall(question) for word in content_words(match)} - STOP_WORDS
    mentioned: set[str] = set()
    held = 0.0
    for passage in passages:
        at = passage.metadata
        heading = content_words(f"{PurePath(at['source']).stem.replace('_', ' ')} {at['section']}")
        sentences = [content_words(sentence.text) for sentence in at["sentences"]]
        mentioned |= heading.union(*sentences)
        parts = [_grams(sentence) & asked for sentence in [*sentences, set()]]
        above = _grams(heading) & asked
        held = max([held, *(len(above | one | two) / max(1, len(asked)) for one, two in pairwise(parts))])
    searched = [passage.metadata for passage in passages if "coverage" in passage.metadata]
    return Signals(
        words=held,
        names=len(named & mentioned) / len(named) if named else 1.0,
        sentence=best_sentence(passages[best_passage(passages)]).score,
        unspaced=float(bool(UNSPACED.search(question))),
        keyword=max((at["coverage"] for at in searched), default=None),
        cosine=max((at["dense"] or 0.0 for at in searched), default=None),
        familiar=max((at["familiar"] for at in searched), default=None),
    )


def _grams(words: set[str]) -> set[str]:
    """Return the stretches of GRAM characters of words with their ends marked."""
    marked = [f"_{word}_" for word in words]
    return {word[at : at + GRAM] for word in marked for at in range(max(1, len(word) - GRAM + 1))}
