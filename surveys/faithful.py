"""What a model wrote comes in with what it was made from; the sentences that this supports, with proof, go out."""

from collections.abc import Sequence

from chains.answers import Citation, Statement
from chains.facts import is_negated, names, numbers, unheld
from chains.groundedness import support
from chains.post_filter import whole_sentences
from chains.sanitising import CITATION, as_shown
from words import content_words

MOST_CITED = 3  # sentences that one may join


def supported(claim: str, evidence: Sequence[Citation], *, least_support: float) -> Statement | None:
    """Return the claim with the few sentences of `evidence` that say the same, or None where they do not.

    They are chosen to hold most of its words. Together they have to hold all of its names and numbers, have a negation
    if and only if it has one, and support it by `least_support` (chains/groundedness.py).
    """
    words = content_words(claim)
    held = [content_words(sentence.text) & words for sentence in evidence]
    cited: list[int] = []
    covered: set[str] = set()
    while held and len(cited) < MOST_CITED:
        at = max(range(len(held)), key=lambda at: len(held[at] - covered))
        if held[at] <= covered:
            break
        cited.append(at)
        covered |= held[at]
    proof = [evidence[at] for at in sorted(cited)]
    texts = [sentence.text for sentence in proof]
    if not names(claim) <= covered or unheld(numbers(claim), numbers("\n".join(texts))):
        return None
    found = support(claim, texts)
    if not proof or found < least_support or any(map(is_negated, texts)) != is_negated(claim):
        return None
    return Statement(claim, round(found, 4), tuple(proof))


def draft_sentences(draft: str) -> list[str]:
    """Return the sentences of what a model wrote, without markup and citations, the last one if it is finished."""
    return whole_sentences(CITATION.sub("", as_shown(draft)))


def shown_quote(text: str) -> str:
    """Return a verbatim sentence as it is shown: on one line, and harmless."""
    return " ".join(as_shown(text, [text]).split())
