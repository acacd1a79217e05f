"""Text comes in; the places where its sentences begin and end go out."""

import re
from itertools import pairwise

# A full stop ends a sentence when white space and then no lower-case letter follow it, and what stands before it is
# neither a single capital ("J. Smith", "U.S. law") nor a common abbreviation. Chinese and Japanese stops need no
# space.
ABBREVIATION = (
    r"(?<!\b[A-Z])(?<!\b[DM]r)(?<!\bMrs)(?<!\bSt)(?<!\bNo)(?<!\bvs)(?<!\be\.g)(?<!\bi\.e)(?<!\bcf)(?<!\bFig)(?<!\bal)"
)
SENTENCE_END = rf"""(?:{ABBREVIATION}\.|[!?…؟।])["'”’»)\]]*\s+(?![a-zß-öø-ÿа-яё])|[。！？]+[」』”’）]*\s*"""
BLANK_LINE = r"\s*\n\s*\n\s*"
LISTED = r"\s*\n(?=\s*(?:[-*•#|]|\d+[.)]\s|[^\n]*\s\|\s))\s*"  # the next line is an item, a heading or a table's row
BOUNDARY = re.compile(rf"(?:{SENTENCE_END}|{BLANK_LINE}|{LISTED})(?=\S)")
SHORT_LINE = 0.6  # of the longest line: such a line, a capital after it, is a heading and not a wrapped sentence
Span = tuple[int, int]


def boundaries(text: str) -> list[int]:
    """Return the offsets at which a sentence, a list item, a table row or the text after a heading begins, in order."""
    found = {match.end() for match in BOUNDARY.finditer(text)}
    longest = max(map(len, text.split("\n")))
    at = 0
    for line in text.split("\n"):
        at += len(line) + 1
        if 0 < len(line) < SHORT_LINE * longest and text[at : at + 1].isupper():
            found.add(at)
    return sorted(found)


def sentence_spans(text: str) -> list[Span]:
    """Return the (start, end) offsets in characters of each sentence of `text`, white space left out."""
    bounds = [0, *boundaries(text), len(text)]
    spans = (trim(text, start, end) for start, end in pairwise(bounds))
    return [span for span in spans if span]


def trim(text: str, start: int, end: int) -> Span | tuple[()]:
    """Return the span without the white space at its ends; empty when nothing else is in it."""
    length = len(text[start:end].strip())
    start += len(text[start:end]) - len(text[start:end].lstrip())
    return (start, start + length) if length else ()
