"""A section's text comes in, with the places where its tokens begin; the spans of its chunks go out."""

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from loaders.tokens import LONGEST
from sentences import GRAPHEME, SENTENCE_END, Span, at_grapheme, boundaries, trim

# from the best place to cut to the worst; graphemes come last
SEPARATORS = [re.compile(p) for p in (r"\n\s*\n\s*", r"\n", SENTENCE_END, r"[;:,،，；、：؛]\s*", r"\s+")]
DEFINITION = re.compile(r"\n\s*\n(?=[^\s)\]}])")  # in code: a blank line, then a line that is not indented
WORD_START = re.compile(r"(?<=\s)\S")
ROW = " | "  # between the cells of a table's row


@dataclass(frozen=True)
class Text:
    """A section's text, where its tokens begin, and the exact counter, for cuts inside words."""

    text: str
    starts: "array[int]"
    count_tokens: Callable[[str], int]
    code: bool = False

    def tokens(self, start: int, end: int) -> int:
        """Return how many tokens begin in the span."""
        return bisect_left(self.starts, end) - bisect_left(self.starts, start)


def windows(section: Text, limit: int, overlap: int) -> Iterator[Span]:
    """Yield each chunk's span, of at most `limit` tokens; each but the first repeats up to `overlap` of them.

    Tiles of limit - overlap tokens are cut at paragraphs, lines, sentences, clauses, words, graphemes: the first of
    these that yields pieces small enough. Then each reaches back into the one before it. What fits is not cut.
    """
    text = section.text
    if len(section.starts) <= limit:
        yield from filter(None, [trim(text, 0, len(text))])
        return
    levels = [DEFINITION, *SEPARATORS] if section.code else SEPARATORS
    bounds = boundaries(text) if overlap else []
    before = at = 0
    held: Span | tuple[()] = ()
    for end in _tiles(section, levels, max(limit - overlap, 1), 0, len(text)):
        start = _reach_back(section, bounds, before, at, overlap) if at and overlap else at
        if start < at and not _fits(section, start, at, end, overlap, limit):
            start = at
        before, at = at, end
        span = trim(text, start, end)
        if held and span and span[0] > held[0]:  # else the next chunk holds all of it: a heading, a short first line
            yield held
        held = span or held
    if held:
        yield held


def _tiles(section: Text, levels: list[re.Pattern[str]], room: int, start: int, end: int) -> Iterator[int]:
    """Yield the ends of the tiles of a span, each with as many of the first level's pieces as there is room for."""
    if not levels:
        yield from _grapheme_tiles(section, room, start, end)
        return
    first = at = start
    found = (match.end() for match in levels[0].finditer(section.text, start, end))
    for cut in (*(cut for cut in found if start < cut < end and at_grapheme(section.text, cut)), end):
        if section.tokens(at, cut) > room:
            if first < at:
                yield at
            yield from _tiles(section, levels[1:], room, at, cut)
            first = cut
        elif section.tokens(first, cut) > room:
            yield at
            first = at
        at = cut
    if first < end:
        yield end


def _grapheme_tiles(section: Text, room: int, start: int, end: int) -> Iterator[int]:
    """Yield the ends of a long word's tiles, counted exactly: half a word has other tokens than in the whole."""
    text = section.text
    ends = [match.end() for match in GRAPHEME.finditer(text, start, end)]
    first = 0
    while start < end:

        def tokens(stop: int, start: int = start) -> int:
            return max(section.tokens(start, stop), section.count_tokens(text[start:stop]))

        last = bisect_right(ends, room, first, min(len(ends), first + room * LONGEST), key=tokens)
        first = max(last, first + 1)
        start = ends[first - 1]
        yield start


def _reach_back(section: Text, bounds: list[int], lowest: int, start: int, overlap: int) -> int:
    """Return the first sentence start, or else word start, from which the text up to `start` fits the overlap."""
    text, first = section.text, bisect_left(section.starts, start) - overlap - 1
    floor = max(lowest, section.starts[first] + 1) if first >= 0 else lowest
    if floor == lowest or section.tokens(lowest, start) <= overlap:
        found = lowest
    else:
        place = bisect_left(bounds, floor)
        found = bounds[place] if place < len(bounds) and bounds[place] < start else start
        line = text[max(text.rfind("\n", lowest, start - 1), lowest) : start]
        if found == start and ROW not in line:  # half a row would say nothing
            word = WORD_START.search(text, floor, start)
            found = word.start() if word and at_grapheme(text, word.start()) else start
    return found


def _fits(section: Text, start: int, at: int, end: int, overlap: int, limit: int) -> bool:
    """Count exactly what a chunk repeats, and the chunk: half a word has other tokens than in the whole."""
    text, count = section.text, section.count_tokens
    return text[at - 1].isspace() or (count(text[start:at]) <= overlap and count(text[start:end]) <= limit)
