"""Queries come in; beside a question of several parts a query for each part goes out."""

import re

from langchain_core.runnables import Runnable, RunnableLambda

from chains.queries import Draft, Query, distinct

WEIGHT = 1.0  # of all the parts together, beside the question as a whole (benchmarks/README.md)
LONGEST = 4  # parts
SENTENCE = re.compile(r"(?<=？)|(?<=\?)\s+")
# "… and when did she die", but not "when and where did she die"
ALONE = "".join(rf"(?<!\b{word})" for word in ("who", "what", "when", "where", "why", "how"))
JOINED = re.compile(rf"{ALONE},? and (?=(?:who|what|when|where|why|how)\b)", re.IGNORECASE)
# a name of capitalised words, with small ones only inside: Escape from the Dark
VERB = r"(?!(?:Are|Is|Was|Were|Do|Does|Did|Has|Have|Can|Which|What|Who|Between|Both|Compare)\b)"
TAIL = r"[\w.'’&-]{0,40}"
NAME = rf"(?:the )?{VERB}[^\W\d_a-z]{TAIL}(?:(?: (?:of|the|de|von|from)){{0,2}} [^\W_a-z]{TAIL}){{0,7}}"
PAIR = re.compile(rf"\b({NAME}),? (?:and|or|vs\.?|versus) ({NAME})")
COMPARING = re.compile(r"\b(?:both|between|differ\w*|compar\w+|same|common|similar\w*|or|vs|versus)\b", re.IGNORECASE)


def build_decomposer(*, weight: float = WEIGHT) -> Runnable[Draft, Draft]:
    """Return a Runnable that searches by keywords for the parts of the first query too; `weight` is theirs together.

    The dense leg reads the whole question alone: it costs an embedding for each part and gains nothing by them.
    """

    def decompose(draft: Draft) -> Draft:
        first = draft["queries"][0]
        parts = parts_of(first.text)
        share = first.weight * weight / max(1, len(parts))
        made = [Query(part, share, dense=False, made_by="decomposition") for part in parts]
        return {**draft, "queries": distinct([*draft["queries"], *made])} if made else draft

    return RunnableLambda(decompose, name="decompose")


def parts_of(question: str) -> list[str]:
    """Return the questions that one question joins, or one for each of the two names that it compares; else nothing."""
    found = [part.strip() for sentence in SENTENCE.split(question) for part in JOINED.split(sentence) if part.strip()]
    if len(found) > 1:
        return found[:LONGEST]
    pair = PAIR.search(question)
    if not pair or not COMPARING.search(question):
        return []
    return [question[: pair.start()] + pair.group(side) + question[pair.end() :] for side in (1, 2)]
