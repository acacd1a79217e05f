"""An answer and what would be right come in; points from 0 to 1, by rules that need no model, go out."""

from collections import Counter
from collections.abc import Collection, Iterable

from chains.post_filter import cited_numbers, refuses
from chains.sanitising import CITATION
from words import words

CITING = 0.2  # share of the points that an answer has only with a right citation
ARTICLES = {"a", "an", "the"}


def points(answer: str, references: Iterable[str], passages: Collection[int] = ()) -> float:
    """Return the points of an answer; `references` are the right ones, none where it is right to refuse.

    A refusal is right or wrong, 1 or 0. Else it is the best F1 of the words over the references, as SQuAD 2.0 counts
    it; where `passages` are the numbers of those that hold the answer, an answer that cites none of them loses CITING.
    A citation alone is worth nothing, so that there is nothing to be had by citing everything.
    """
    references, refused = list(references), refuses(answer)
    if refused or not references:
        return float(refused and not references)
    likeness = max(_f1(_said(answer), _said(reference)) for reference in references)
    return likeness if not passages or cited_numbers(answer) & set(passages) else likeness * (1 - CITING)


def points_to(answer: str, chosen: str) -> float:
    """Return the points of an answer where `chosen` is the right one: its words, its citations or its refusal."""
    return points(answer, () if refuses(chosen) else (chosen,), cited_numbers(chosen))


def holding(passages: Iterable[str], references: Iterable[str]) -> list[int]:
    """Return the numbers, from 1, of the passages in which a reference stands word for word."""
    wanted = [f" {' '.join(words(reference))} " for reference in references]
    texts = [f" {' '.join(words(passage))} " for passage in passages]
    return [n for n, text in enumerate(texts, 1) if any(each in text for each in wanted if each.strip())]


def _said(answer: str) -> Counter[str]:
    return Counter(word for word in words(CITATION.sub("", answer)) if word not in ARTICLES)


def _f1(said: Counter[str], wanted: Counter[str]) -> float:
    return 2 * (said & wanted).total() / max(1, said.total() + wanted.total())
