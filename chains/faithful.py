"""What a model wrote comes in with what it was made from; the sentences that this supports, with proof, go out."""

import re
from collections.abc import Sequence

from chains.answers import Citation, Statement
from chains.facts import is_negated
from chains.post_filter import whole_sentences
from chains.sanitising import CITATION, as_shown
from words import content_words

MOST_CITED = 3  # sentences that one may join
NAME_OR_NUMBER = re.compile(r"\d+(?:[.,]\d+)*|\b[^\W\d_a-z][\w'’-]*")


def supported(claim: str, evidence: Sequence[Citation], *, least_support: float) -> Statement | None:
    """Return the claim with the few sentences of `evidence` that hold most of its words, or None where they do not do.

    Together they have to hold `least_support` of its words, all of its names and numbers (its first word may be
    capitalised for another reason), and a negation if and only if it has one. `support` is the share of its words.
    """
    words = content_words(claim)
    held = [content_words(sentence.text) & words for sentence in evidence]
    cited: list[int] = []
    covered: set[str] = set()
    while len(cited) < MOST_CITED and held:
        at = max(range(len(held)), key=lambda at: len(held[at] - covered))
        if not held[at] - covered:
            break
        cited.append(at)
        covered |= held[at]
    facts = {word for match in NAME_OR_NUMBER.findall(claim.partition(" ")[2]) for word in content_words(match)}
    facts |= {word for word in words if word[0].isdigit()}
    denied = any(is_negated(evidence[at].text) for at in cited)
    if not words or len(covered) < least_support * len(words) or not facts & words <= covered:
        return None
    if denied != is_negated(claim):
        return None
    return Statement(claim, round(len(covered) / len(words), 4), tuple(evidence[at] for at in sorted(cited)))


def draft_sentences(draft: str) -> list[str]:
    """Return the sentences of what a model wrote, without markup and citations, the last one if it is finished."""
    return whole_sentences(CITATION.sub("", as_shown(draft)))
