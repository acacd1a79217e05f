"""An OpenDocument presentation or spreadsheet comes in; its text, slide by slide or row by row, goes out.

Our own readers: pandoc, and so unstructured, knows neither, and other ones lose tables, notes or how a number is shown.
"""

import zipfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from loaders.formats.reading import Stretch
from loaders.formats.records import labelled
from loaders.formats.sections import Block
from loaders.formats.tables import table_blocks

if TYPE_CHECKING:
    from lxml.etree import _Element

OASIS = "{urn:oasis:names:tc:opendocument:xmlns:"
TEXT, TABLE, DRAW = OASIS + "text:1.0}", OASIS + "table:1.0}", OASIS + "drawing:1.0}"
OFFICE, SHOW = OASIS + "office:1.0}", OASIS + "presentation:1.0}"
PARAGRAPHS = (TEXT + "p", TEXT + "h")
ASIDE = {OFFICE + "annotation", TEXT + "tracked-changes"}  # a comment's paragraphs stand inside the paragraph
BREAKS = {TEXT + "tab": "\t", TEXT + "line-break": "\n", TEXT + "s": " "}
WIDEST = 1024  # columns: one cell can claim to be there a million times


def odp_slides(path: Path) -> Iterator[Stretch]:
    """Yield a stretch a slide under its title, tables included; the notes come last."""
    for number, slide in enumerate(_content(path).iter(DRAW + "page"), 1):
        parts = list(slide)
        notes = [part for part in parts if part.tag == SHOW + "notes"]
        blocks = [block for part in [*(p for p in parts if p not in notes), *notes] for block in _blocks(part)]
        titled = (frame for frame in slide if frame.get(SHOW + "class") == "title")
        title = next((block.text for frame in titled for block in _blocks(frame)), "")
        yield Stretch("\n".join(block.text for block in blocks), " ".join(title.split()), number)


def ods_rows(path: Path) -> Iterator[Stretch]:
    """Yield a stretch a row with the sheet as section; a row that is there many times comes once."""
    for sheet in _content(path).iter(TABLE + "table"):
        rows = (_cells(row) for row in sheet.iter(TABLE + "table-row"))
        yield from labelled(rows, sheet.get(TABLE + "name", ""))


def _content(path: Path) -> "_Element":
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    with zipfile.ZipFile(path) as archive:
        return etree.fromstring(archive.read("content.xml"), parser)


def _blocks(part: "_Element") -> Iterator[Block]:
    if part.tag == TABLE + "table":
        yield from table_blocks(_cells(row)[0] for row in part.iter(TABLE + "table-row"))
    elif part.tag in PARAGRAPHS:
        if text := _text(part):
            yield Block(text)
    elif isinstance(part.tag, str):
        yield from chain.from_iterable(map(_blocks, part))


def _cells(row: "_Element") -> tuple[list[str], bool]:
    """Return a row's cells as they are shown, and whether they are all text."""
    cells: list[str] = []
    kinds = set()
    for cell in row.iter(TABLE + "table-cell", TABLE + "covered-table-cell"):
        text = "\n".join(filter(None, (_text(p) for p in cell.iter(*PARAGRAPHS) if _owner(p) is cell)))
        count = min(int(cell.get(TABLE + "number-columns-repeated", "1")), WIDEST - len(cells))
        cells += [text] * count
        kinds |= {cell.get(OFFICE + "value-type", "string")} if text else set()
    return cells, kinds <= {"string"}


def _owner(paragraph: "_Element") -> "_Element | None":
    """Return the cell that a paragraph belongs to, none for a comment's."""
    for above in paragraph.iterancestors():
        if above.tag in ASIDE:
            return None
        if above.tag in (TABLE + "table-cell", TABLE + "covered-table-cell"):
            return above
    return None


def _text(part: "_Element") -> str:
    """Return a paragraph's text without the comments in it; spaces and breaks are elements."""

    def inner(element: "_Element") -> Iterator[str]:
        yield element.text or ""
        for child in element:
            if child.tag not in ASIDE and isinstance(child.tag, str):
                yield BREAKS.get(child.tag, "")
                yield from inner(child)
            yield child.tail or ""

    return "".join(inner(part)).strip()
