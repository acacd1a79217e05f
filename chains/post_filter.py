"""A drafted answer comes in with the passages it was written from; a checked, cited answer goes out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from langchain_core.documents import Document

from chains.answers import Statement
from chains.evidence import best_passage, best_sentence
from chains.sufficiency import lacks_evidence
from sentences import sentence_spans
from words import content_words

REFUSAL = "Not in these documents."
REFUSING = re.compile(
    r"\bnot (?:in|mentioned in|found in|stated in) (?:these|the|this) (?:documents?|passages?|text)\b", re.IGNORECASE
)
CITATION = re.compile(r"\s*\[\d+(?:\s*[,;]\s*\d+)*\]")
MARKUP = re.compile(r"!\[[^\]]*\]\([^)]*\)|</?[a-zA-Z][^>]*>")  # images and HTML: an answer is shown, never run
TAG_START = re.compile(r"<(?=[a-zA-Z/!?])")
FINISHED = re.compile(r"""[.!?…。！？؟।:]["'”’»)\]」』]*$""")
LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
FIELD = re.compile(r"\n(?=[^\n:]{1,40}: )")  # a table's row has a "Column: value" a line
NAME_OR_NUMBER = re.compile(r"\d+(?:[.,]\d+)*|\b[A-Z][\w'-]+")

AMOUNT = re.compile(
    r"\b(?:when|how (?:many|much|long|old|far|often|large|big|fast)|(?:what|which) (?:year|date|time))\b", re.I
)
NUMBER_WORDS = content_words(
    "one two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty hundred thousand million"
)


@dataclass(frozen=True)
class Checked:
    """A checked answer, the passages it cites (from 1), and whether it had to be refused or quoted."""

    text: str
    cited: tuple[int, ...] = ()
    abstained: bool = False
    quoted: bool = False
    statements: tuple[Statement, ...] = ()


def check(
    draft: str,
    question: str,
    passages: Sequence[Document],
    *,
    least_evidence: float,
    least_support: float,
    read_best_only: bool = False,
) -> Checked:
    """Return what can be kept of the draft; the passages carry their scored sentences (chains/evidence.py).

    Where no sentence of the passages scores `least_evidence`, the answer is not there. A sentence of the draft
    stays when two neighbouring sentences of one passage (with `read_best_only`, the best sentence, all that the
    model saw) hold `least_support` of its words, and all its names and numbers; it is cited to that passage,
    whatever the model wrote. What the question itself says supports nothing. Repeated sentences and an unfinished
    last one go. Where nothing stays, the best sentence is quoted.
    """
    if lacks_evidence(question, passages, least_evidence=least_evidence):
        return Checked(REFUSAL, abstained=True)
    best = best_passage(passages)
    draft = _harmless(draft)
    if REFUSING.search(draft) and len(draft) < 2 * len(REFUSAL):
        return Checked(REFUSAL, abstained=True)
    windows = [(best + 1, best_sentence(passages[best]).text)] if read_best_only else _windows(passages)
    lines: dict[frozenset[str], str] = {}
    cited: list[int] = []
    asked_amount = read_best_only and AMOUNT.search(question)
    # which value belongs to which column is more than a bag of words can check, so a table's row is always quoted
    is_row = read_best_only and FIELD.search(best_sentence(passages[best]).text)
    for sentence in [] if is_row else _whole_sentences(CITATION.sub("", draft)):
        words = frozenset(content_words(sentence))
        number, support = _best_support(sentence, question, windows)
        if asked_amount and not _numbers(windows[0][1]) <= _numbers(sentence):
            continue  # asked for a number or a time, and left one out: three months before the end of a quarter
        if words not in lines and support and support >= least_support:
            lines[words] = f"{sentence} [{number}]"
            cited.append(number)
    if lines:
        return Checked(" ".join(lines.values()), cited=tuple(dict.fromkeys(cited)))
    quote = " ".join(_harmless(FIELD.sub("; ", best_sentence(passages[best]).text)).split())
    return Checked(f"{quote} [{best + 1}]", cited=(best + 1,), quoted=True)


def _harmless(text: str) -> str:
    """Return the text without images and HTML, links as their words, and no `<` left that could begin a tag."""
    return TAG_START.sub("‹", LINK.sub(r"\1", MARKUP.sub("", text))).strip()


def _numbers(text: str) -> set[str]:
    return {word for word in content_words(text) if word[0].isdigit() or word in NUMBER_WORDS}


def _whole_sentences(text: str) -> list[str]:
    """Return the sentences; the last one only if it is finished or the only one."""
    sentences = [" ".join(text[start:end].split()) for start, end in sentence_spans(text)]
    if len(sentences) > 1 and not FINISHED.search(sentences[-1]):
        sentences.pop()
    return sentences


def _windows(passages: Sequence[Document]) -> list[tuple[int, str]]:
    """Return (passage, text) of each sentence joined with the one after it."""
    windows = []
    for number, passage in enumerate(passages, 1):
        texts = [sentence.text for sentence in passage.metadata["sentences"]]
        windows += [(number, f"{one} {two}") for one, two in pairwise([*texts, ""])]
    return windows


def _best_support(sentence: str, question: str, windows: list[tuple[int, str]]) -> tuple[int, float]:
    """Return the passage that supports the sentence best with the share of its words held there, 0 if a name is not."""
    asked = content_words(question)
    words = content_words(sentence) - asked
    facts = words & {word for match in NAME_OR_NUMBER.findall(sentence) for word in content_words(match)}
    best = (0, 0.0)
    for number, text in windows:
        held = content_words(text)
        share = len(words & held) / len(words) if words else 0.0  # a draft that only repeats the question says nothing
        if facts <= held and share > best[1]:
            best = (number, share)
    return best
