"""A drafted answer and its passages come in; a checked one, grounded, cited, not repeating itself, goes out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from chains.evidence import Sentence, words_of
from sentences import sentence_spans

REFUSAL = "Not in these documents."
REFUSING = re.compile(
    r"\bnot (?:in|mentioned in|found in|stated in) (?:these|the|this) (?:documents?|passages?|text)\b", re.IGNORECASE
)
CITATION = re.compile(r"\s*\[(\d+(?:\s*[,;]\s*\d+)*)\]")
MARKUP = re.compile(r"!\[[^\]]*\]\([^)]*\)|</?[a-zA-Z][^>]*>")  # images and HTML: an answer is shown, never run
LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
FIELD = re.compile(r"\n(?=[^\n:]{1,40}: )")  # a table's row, a "Column: value" a line
NAME_OR_NUMBER = re.compile(r"\d+(?:[.,]\d+)*|\b[A-Z][\w'-]+")


@dataclass(frozen=True)
class Checked:
    """A checked answer: its text, the passages it cites (numbers from 1), and what had to be done to it."""

    text: str
    cited: tuple[int, ...] = ()
    abstained: bool = False
    quoted: bool = False


def check(draft: str, question: str, evidence: Sequence[Sentence], *, least_support: float) -> Checked:
    """Return what can be kept of the draft.

    evidence: the passages' sentences, best first. A sentence of the draft stays when one pair of neighbouring
    sentences of a passage holds `least_support` of its words and all its names and numbers (those of the question
    apart); it is cited to that passage, whatever the model wrote. Repeated sentences and an unfinished last one
    go. Where nothing stays, the best sentence of the passages is quoted instead.
    """
    draft = LINK.sub(r"\1", MARKUP.sub("", draft)).strip()
    if not evidence or (REFUSING.search(draft) and len(draft) < 2 * len(REFUSAL)):
        return Checked(REFUSAL, abstained=True)
    windows = _windows(evidence)
    lines: list[str] = []
    cited: list[int] = []
    said: set[frozenset[str]] = set()
    for sentence in _whole_sentences(CITATION.sub("", draft)):
        words = frozenset(words_of(sentence))
        passage, support = _best_support(sentence, question, windows)
        if words and words not in said and support >= least_support:
            said.add(words)
            lines.append(f"{sentence} [{passage}]")
            cited.append(passage)
    if lines:
        return Checked(" ".join(lines), tuple(dict.fromkeys(cited)))
    best = evidence[0]
    quote = " ".join(FIELD.sub("; ", best.text).split())
    return Checked(f"{quote} [{best.passage}]", (best.passage,), quoted=True)


def _whole_sentences(text: str) -> list[str]:
    """Return the sentences; the last one only if it is finished or the only one."""
    sentences = [" ".join(text[start:end].split()) for start, end in sentence_spans(text)]
    if len(sentences) > 1 and sentences[-1][-1].isalnum():
        sentences.pop()
    return sentences


def _windows(evidence: Sequence[Sentence]) -> list[tuple[int, str]]:
    """Return (passage, text) of each sentence joined with the one after it in its passage."""
    ordered = sorted(evidence, key=lambda sentence: (sentence.passage, sentence.start))
    following = [*ordered[1:], None]
    return [
        (one.passage, f"{one.text} {two.text}" if two and two.passage == one.passage else one.text)
        for one, two in zip(ordered, following, strict=True)
    ]


def _best_support(sentence: str, question: str, windows: list[tuple[int, str]]) -> tuple[int, float]:
    """Return the passage that supports the sentence best with the share of its words held there, 0 if a name is not."""
    asked = words_of(question)
    words = words_of(sentence) - asked
    facts = {word for match in NAME_OR_NUMBER.findall(sentence) for word in words_of(match)} - asked
    best = (0, 0.0)
    for passage, text in windows:
        held = words_of(text)
        share = len(words & held) / len(words) if words else 0.0  # a draft that only repeats the question says nothing
        if facts <= held and share > best[1]:
            best = (passage, share)
    return best
