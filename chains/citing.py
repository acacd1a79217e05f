"""A statement and passages come in; the stretches of the passages that say the same go out, to be cited."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from langchain_core.documents import Document

from chains.answers import Citation, Source
from chains.evidence import Sentence, best_sentences
from chains.facts import is_negated, names, numbers, unheld
from words import content_words, words

# Of two sentences quoted from one passage (xquad en, 612 questions), a citation of each holds the reference answer in
# 63 % of cases, one of the stretch that they span in 87 %, its mean length going from 180 to some 290 characters.
LONGEST_STRETCH = 1000  # characters between the beginnings of the two
WORD = re.compile(r"\w+")
NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905
LETTERED = {str(number): word for number, word in enumerate(NUMBERS)}
LEAST_LETTERS, ALIKE_LETTERS, LIKE = 6, 4, 0.7  # of misspelt words: letters, first ones that are the same, share in all


@dataclass(frozen=True)
class Span:
    """A sentence of a passage, or two neighbours: n is the passage's number, from 1, start a place in its document."""

    n: int
    passage: Document
    start: int
    line: int | None
    text: str

    @cached_property
    def words(self) -> set[str]:
        """Return its words."""
        return content_words(self.text)

    def citation(self) -> Citation:
        """Return the span as a citation."""
        at = self.passage.metadata
        return Citation(self.n, at["source"], at["page"], self.line, self.start, self.start + len(self.text), self.text)


def span_of(n: int, passage: Document, first: Sentence, last: Sentence | None = None) -> Span:
    """Return the stretch of a passage from one of its sentences to another, what is between them included."""
    text = first.text
    if last:
        begin = passage.metadata["start"]
        text = passage.page_content[first.start - begin : last.start + len(last.text) - begin]
    return Span(n, passage, first.start, first.line, text)


def source_of(n: int, passage: Document, best: Sentence, score: float) -> Source:
    """Return a passage as a source of an answer, shown by one of its sentences."""
    at = passage.metadata
    place = (at["source"], at["page"], best.line, at["section"], best.start)
    return Source(n, *place, best.text, round(float(score), 4), tuple(at.get("also_in", ())))


def best_quotes(passages: Sequence[Document]) -> list[tuple[str, Span]]:
    """Return what answers the question best, one sentence or two, as it is to be quoted, each with the span to cite.

    Two of one passage are one quote, cited as the stretch from the first to the last.
    """
    found = best_sentences(passages)
    (n, first), (other, last) = found[0], found[-1]
    if len(found) < 2 or n != other or last.start - first.start > LONGEST_STRETCH:
        return [(sentence.text, span_of(n + 1, passages[n], sentence)) for n, sentence in found]
    span = span_of(n + 1, passages[n], first, last)
    follows = (first, last) in pairwise(passages[n].metadata["sentences"])
    return [(span.text if follows else f"{first.text} … {last.text}", span)]


def spans(passages: Sequence[Document]) -> Iterator[Span]:
    """Yield each sentence of the passages, then each with the one after it."""
    for n, passage in enumerate(passages, 1):
        sentences = passage.metadata["sentences"]
        yield from (span_of(n, passage, sentence) for sentence in sentences)
        yield from (span_of(n, passage, one, two) for one, two in pairwise(sentences))


def verbatim(statement: str, found: Sequence[Span], marked: frozenset[int] = frozenset()) -> list[Span]:
    """Return the first span that holds a statement word for word, of those in `marked` if one does, else none."""
    said = f" {' '.join(words(statement))} "
    held = [span for span in found if said.strip() and said in f" {' '.join(words(span.text))} "]
    return [span for span in held if span.n in marked][:1] or held[:1]


def as_written(statement: str, span: Span) -> str:
    """Return a statement with the capitals that it has where the span holds it, as it is where it does not."""
    at = span.text.lower().find(statement.lower())
    stretch = span.text[at : at + len(statement)] if at >= 0 else ""
    return stretch if stretch.lower() == statement.lower() else statement


def respelt(statement: str, found: Sequence[Span]) -> str:
    """Return the first stretch of the spans that a statement misspells, as it stands there, "" where there is none.

    A small model writes Pittsboro for Pittsburgh, and 2 for two. The words are as many and in the same order, each the
    same, a number in letters, or one that begins alike and shares most of its letters; a numeral is never another one.
    """
    said = WORD.findall(statement)
    for span in found:
        there = list(WORD.finditer(span.text))
        for at in range(len(there) - len(said) + 1 if said else 0):
            stretch = there[at : at + len(said)]
            if all(_is_like(one, other.group()) for one, other in zip(said, stretch, strict=True)):
                return span.text[stretch[0].start() : stretch[-1].end()]
    return ""


def _is_like(said: str, there: str) -> bool:
    one, other = said.casefold(), there.casefold()
    if one == other or LETTERED.get(one) == other:
        return True
    if not (one.isalpha() and other.isalpha() and min(len(one), len(other)) >= LEAST_LETTERS):
        return False
    if one[:ALIKE_LETTERS] != other[:ALIKE_LETTERS]:
        return False
    from rapidfuzz.distance import Indel  # few answers need it

    return Indel.normalized_similarity(one, other) >= LIKE


def supporting(
    statement: str, question: str, found: Sequence[Span], *, marked: frozenset[int] = frozenset(), least: float = 0.0
) -> list[Span]:
    """Return the spans to cite for a statement, the best first, none where none supports it; one a passage.

    Such a span holds all names and numbers of the statement that the question does not, the same negation, and at least
    the share `least` of its other words. The best holds most; beside it stand those that hold as much, and those of the
    passages in `marked`, which the statement itself names.
    """
    words = content_words(statement) - content_words(question)
    if not words:
        return []  # what only repeats the question says nothing
    named = names(statement, firsts=True) - names(question, firsts=True) - content_words(question)
    stated = {number: units for number, units in numbers(statement).items() if number not in numbers(question)}
    negated = is_negated(statement)
    best: dict[int, tuple[float, Span]] = {}
    for span in found:
        share = len(words & span.words) / len(words)
        if share <= max(best[span.n][0] if span.n in best else 0.0, least - 1e-9) or not named <= span.words:
            continue
        if is_negated(span.text) == negated and not unheld(stated, numbers(span.text)):
            best[span.n] = (share, span)
    ranked = sorted(best.values(), key=lambda each: -each[0])
    return [span for share, span in ranked if share == ranked[0][0] or span.n in marked]
