"""A file's Documents come in; the same without running headers, footers and page numbers, and what was cut, go out."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from langchain_core.documents import Document

from loaders.cleaning import clean

LEAST_PAGES = 3  # what stands on two pages may be a heading and its continuation
LEAST_SHARE = 0.4  # left and right pages often differ, so that a header stands on just under half of them
EDGE_LINES = 4  # at the top, and as many at the bottom
LINE = re.compile(r"[^\r\n\f]*[^\s][^\r\n\f]*")
NUMBER = re.compile(r"\d+")
ROMAN = re.compile(r"(?=[ivxl])(?:xl|l?x{0,3})(?:ix|iv|v?i{0,3})")
ROMAN_VALUES = {"i": 1, "v": 5, "x": 10, "l": 50}
LETTERS = re.compile(r"[^\W\d_]+")
PAGE_WORDS = frozenset(
    """p pp pg page pages of seite seiten von s pagina pagine página páginas page sur de di van blz strona z sida av
    side af страница стр из صفحة من 第 页 頁 共 页共 頁共 ページ 쪽 페이지""".split()  # noqa: SIM905  (thirty lines as a list)
)


@dataclass(frozen=True)
class Dropped:
    """A stretch that was left out of the index: its text, why, and its place in the file."""

    text: str
    reason: str
    page: int | None
    start: int


class Line(NamedTuple):
    """A line at a page's edge: its Document's number, its span there, its text with digits masked, its numbers."""

    page: int
    document: int
    start: int
    end: int
    text: str
    shape: str
    numbers: tuple[int, ...]


def drop_furniture(documents: Sequence[Document]) -> tuple[list[Document], list[Dropped]]:
    """Return a file's Documents without the lines that repeat at the edges of its pages, and those lines.

    A line is furniture if the same text stands among the first or last four lines of at least three pages and 40 % of
    them, or if a number in it counts the pages. Of each repeated text the first one stays: it may be the title. What
    stays of a Document is a verbatim stretch of it, with start_index moved. Files without pages stay as they are.
    """
    pages = _pages(documents)
    if len(pages) < LEAST_PAGES:
        return list(documents), []
    lines = {page: _lines(documents, page, members) for page, members in pages.items()}
    edges = {page: [*found[:EDGE_LINES], *found[EDGE_LINES:][-EDGE_LINES:]] for page, found in lines.items()}
    repeated = _repeated(edges.values(), max(LEAST_PAGES, LEAST_SHARE * len(pages)))
    counted = _counted(edges.values())
    first: dict[str, Line] = {}
    spans = [(0, len(document.page_content)) for document in documents]
    dropped = []
    for page in sorted(pages):
        tops = list(_peel(lines[page][:EDGE_LINES], repeated, counted, first))
        rest = lines[page][len(tops) :]
        bottoms = list(_peel(rest[::-1][:EDGE_LINES], repeated, counted, first))
        for line in tops:
            spans[line.document] = (line.end, spans[line.document][1])
        for line in bottoms:
            spans[line.document] = (spans[line.document][0], line.start)
        reasons = [*((line, "header") for line in tops), *((line, "footer") for line in reversed(bottoms))]
        dropped += [_dropped(documents, line, edge) for line, edge in reasons]
    return list(_cut(documents, spans)), dropped


def _pages(documents: Iterable[Document]) -> dict[int, list[int]]:
    """Return the numbers of the Documents of each page."""
    pages = defaultdict(list)
    for number, document in enumerate(documents):
        if document.metadata["page"] is not None:
            pages[document.metadata["page"]].append(number)
    return pages


def _lines(documents: Sequence[Document], page: int, members: Iterable[int]) -> list[Line]:
    """Return the lines of a page that hold anything."""
    found = []
    for number in members:
        for match in LINE.finditer(documents[number].page_content):
            text = clean(match.group()).casefold()
            roman = ROMAN.fullmatch(text.strip("-–—.()[]| ")) if len(text) < 12 else None
            numbers = (_roman(roman.group()),) if roman else tuple(int(n[-9:]) for n in NUMBER.findall(text))
            shape = "#" if roman else NUMBER.sub("#", text)
            found.append(Line(page, number, *match.span(), text, shape, numbers))
    return found


def _roman(numeral: str) -> int:
    values = [ROMAN_VALUES[letter] for letter in numeral]
    return sum(-a if a < b else a for a, b in zip(values, [*values[1:], 0], strict=True))


def _repeated(edges: Iterable[Sequence[Line]], least: float) -> set[str]:
    """Return the texts that stand at the edges of so many pages at least."""
    on = defaultdict(set)
    for line in (line for lines in edges for line in lines):
        on[line.text].add(line.page)
    return {text for text, pages in on.items() if len(pages) >= least}


def _counted(edges: Iterable[Sequence[Line]]) -> set[Line]:
    """Return the lines in which a number grows with the page, over three pages or more with gaps of one at most."""
    tracks = defaultdict(list)
    for line in (line for lines in edges for line in lines if _may_count(line)):
        for position, number in enumerate(line.numbers):
            tracks[line.shape, position, number - line.page].append(line)
    counted = set()
    for lines in tracks.values():
        for run in _runs(sorted(lines)):
            if len({line.page for line in run}) >= LEAST_PAGES:
                counted.update(run)
    return counted


def _may_count(line: Line) -> bool:
    """Tell whether a line is a page number alone or a running title of two words: "Question 12" may be a heading."""
    words = LETTERS.findall(line.shape)
    return len(words) != 1 or words[0] in PAGE_WORDS


def _runs(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Yield the lines in groups between which two pages or more are missing."""
    run: list[Line] = []
    for line in lines:
        if run and line.page > run[-1].page + 2:
            yield run
            run = []
        run.append(line)
    if run:
        yield run


def _peel(lines: Iterable[Line], repeated: set[str], counted: set[Line], first: dict[str, Line]) -> Iterator[Line]:
    """Yield the furniture that comes before the first other line, from a page's edge inwards."""
    for line in lines:
        if line.text not in repeated and line not in counted:
            return
        if not (line in counted and _bare(line)) and first.setdefault(line.shape, line) == line:
            return  # it may be the title
        yield line


def _bare(line: Line) -> bool:
    """Tell whether a line is but a number, or one with the words for page and of."""
    return bool(line.numbers) and set(LETTERS.findall(line.shape)) <= PAGE_WORDS


def _dropped(documents: Sequence[Document], line: Line, edge: str) -> Dropped:
    reason = "page number" if _bare(line) else f"repeated {edge}"
    document = documents[line.document]
    text = document.page_content[line.start : line.end]
    return Dropped(text, reason, line.page, document.metadata["start_index"] + line.start)


def _cut(documents: Iterable[Document], spans: Iterable[tuple[int, int]]) -> Iterator[Document]:
    """Yield what the spans leave of the Documents, those that were cut without the blanks at the cut."""
    for document, (start, end) in zip(documents, spans, strict=True):
        text = document.page_content
        if (start, end) == (0, len(text)):
            yield document
            continue
        kept = text[start:end]
        if kept.strip():
            start += len(kept) - len(kept.lstrip())
            at = {"start_index": document.metadata["start_index"] + start}
            if document.metadata["line"] is not None:
                at["line"] = document.metadata["line"] + text.count("\n", 0, start)
            yield document.model_copy(update={"page_content": kept.strip(), "metadata": document.metadata | at})
