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

ASKED_NAME = re.compile(r"(?<!^)(?<![.?!] )(?<![¿¡])\b(?:[A-Z][\w'-]*|\w*\d[\w.-]*)")  # not a sentence's first word
# A coined name, such as LlamaIndex or SIFT1M: a capital within it, or a figure behind letters. It is written in one
# way, so where no document has it, the question is about something else; names in general are misspelt and inflected.
# Of the ten unanswerable questions of data/sample three more are refused so, of all the answerable ones of XQuAD none.
COINED = re.compile(
    r"(?<![A-Za-z\d])(?:[A-Z][a-z]+(?:[A-Z][a-z]+)+|[A-Za-z](?=[A-Za-z]*\d)[A-Za-z\d]{3,})(?![A-Za-z\d])"
)
STRANGER = 0.1  # what is left of the probability then
GRAM = 4  # characters: endings and prefixes differ, so parts of words are compared and no word is stemmed
# Weights of a logistic model, the constant first and then Signals.vector(), as benchmarks/sufficiency.py prints them.
SEARCHED = (-7.395, 10.059, 0.843, 1.845, 0.689, 17.531, 1.1, -6.455, 8.456)
GIVEN = (-5.478, 10.472, 1.14, 2.14, 5.52)  # of passages that no search brought


class Outcome(NamedTuple):
    """What a search tells of its success, each from 0 to 1.

    keyword: the best BM25 score as a share of the highest that the query could have. known: the share of the query's
    words, rare ones counting more, that any document holds. cosine: the best passage's. familiar: how well the embedder
    knows the query's language; a cosine tells nothing where it does not. strange: whether it asks for a coined name
    that no document has.
    """

    keyword: float
    known: float
    cosine: float
    familiar: float
    strange: bool = False


class Signals(NamedTuple):
    """What tells whether passages hold an answer, nearly all from 0 to 1.

    words: share of the question's words, as stretches of four characters, that two neighbouring sentences hold under
    their heading. names: from -1, none of the names and numbers asked for is mentioned, to 1; 0 where none is asked
    for. sentence: the best sentence's score. unspaced: whether the question is written without spaces, pairs of
    characters being its words. length: log(1 + its words). outcome: None where no search ran.
    """

    words: float
    names: float
    sentence: float
    unspaced: float
    length: float
    outcome: Outcome | None = None

    def vector(self) -> tuple[float, ...]:
        """Return what the weights of SEARCHED, or of GIVEN, belong to."""
        if self.outcome is None:
            return (self.words, self.names, self.unspaced, self.sentence)
        keyword, known, cosine, familiar, _ = self.outcome
        return (self.words, self.names, self.unspaced, self.length, keyword, known, familiar, familiar * cosine)


def build_weigher(
    prospect: Callable[[str], tuple[float, float]],
    familiar: Callable[[str], float],
    spelt: Callable[[Sequence[str]], set[str]],
) -> Runnable[Ranked, list[Document]]:
    """Return a Runnable that gives each passage `metadata["outcome"]`, the search's Outcome, the same for all.

    prospect: query → the highest BM25 score it could have, and the share of its words that any document holds.
    familiar: query → how well the embedder knows its language. spelt: words in lower case → those that documents hold.
    """

    def weigh(ranked: Ranked) -> list[Document]:
        query, passages = ranked["query"], ranked["passages"]
        (highest, known), language = prospect(query), familiar(query)
        coined = {name.casefold() for name in COINED.findall(query)}
        strange = bool(coined) and not coined <= spelt(sorted(coined))
        for passage in passages:
            best = passage.metadata["best"]
            keyword = min(best["keyword"] / highest, 1.0) if highest else 0.0  # several queries may bring more
            passage.metadata["outcome"] = Outcome(keyword, known, best["dense"], language, strange)
        return passages

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
    found = signals(question, passages)
    constant, *weights = SEARCHED if found.outcome else GIVEN
    odds = constant + sum(w * x for w, x in zip(weights, found.vector(), strict=True))
    return (STRANGER if found.outcome and found.outcome.strange else 1) / (1 + math.exp(-odds))


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
    return Signals(
        words=held,
        names=2 * len(named & mentioned) / len(named) - 1 if named else 0.0,
        sentence=best_sentence(passages[best_passage(passages)]).score,
        unspaced=float(bool(UNSPACED.search(question))),
        length=math.log1p(len(content_words(question))),
        outcome=passages[0].metadata.get("outcome"),
    )


def _grams(words: set[str]) -> set[str]:
    """Return the stretches of GRAM characters of words with their ends marked."""
    marked = [f"_{word}_" for word in words]
    return {word[at : at + GRAM] for word in marked for at in range(max(1, len(word) - GRAM + 1))}
