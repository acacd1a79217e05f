"""A Word file from before 2007 (.doc) comes in; its text under its headings goes out.

Our own reader of the layout that [MS-DOC] describes: of the open ones none reads headers, notes and text boxes, and
LibreOffice is another program (figures in benchmarks/README.md).
"""

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from errors import DocumentError
from loaders.formats.reading import Stretch
from loaders.formats.sections import Block, in_sections
from loaders.formats.tables import table_blocks

WORD_97 = 105  # the first nFib, a version number, of the layout with a piece table
TEXT_COUNTS = (
    0x4C  # eight counts of characters: text, footnotes, headers, macros, comments, endnotes, boxes, their headers
)
PIECES, PARAGRAPHS = 0x1A2, 0x102  # where the FIB says where the piece table and the paragraphs' properties are
IN_TABLE, ROW_END = b"\x16\x24\x01", b"\x17\x24\x01"  # sprmPFInTable, sprmPFTtp
LINK = re.compile(r'\s*HYPERLINK\s+(?:\\[mnht]\s+)*["“”]([^"“”]+)["“”]')  # \l "name" is a place in the same file
CELL, PAGE = "\x07", "\x0c"
SHOWN = {ord("\x0b"): "\n", ord("\x1e"): "-", ord("\xa0"): " "} | dict.fromkeys([0, 1, 2, 3, 4, 5, 6, 8, 0x1F])


class Paragraph(NamedTuple):
    """A paragraph's text and mark, and what its properties say of it."""

    text: str
    mark: str
    at: int
    style: int = 0
    in_table: bool = False
    row_end: bool = False


def doc_sections(path: Path) -> Iterator[Stretch]:
    """Yield a stretch a heading; then what stands outside the text: notes, headers, comments, boxes."""
    import olefile

    with olefile.OleFileIO(path) as file:
        if not file.exists("WordDocument"):
            raise DocumentError(path, "no Word document inside", "give the file its true suffix")
        main = file.openstream("WordDocument").read()
        tables = [file.openstream(name).read() if file.exists(name) else b"" for name in ("0Table", "1Table")]
    (version,), (flags,) = struct.unpack_from("<H", main, 2), struct.unpack_from("<H", main, 10)
    if version < WORD_97:
        begin, end = struct.unpack_from("<II", main, 0x18)
        found = list(_paragraphs([(begin, main[begin:end].decode("cp1252", "replace"), 1)], {}))
        length = end
    else:
        table = tables[flags >> 9 & 1]
        found = list(_paragraphs(_pieces(main, table), _properties(main, table)))
        (length,) = struct.unpack_from("<I", main, TEXT_COUNTS)
    yield from in_sections(_blocks(p for p in found if p.at < length))
    outside = (p.text for p in found if p.at >= length)
    yield Stretch("\n".join(dict.fromkeys(filter(None, outside))))


def _pieces(main: bytes, table: bytes) -> list[tuple[int, str, int]]:
    """Return (file offset, text, bytes a character) of each piece in the order of the text."""
    at, size = struct.unpack_from("<II", main, PIECES)
    end = at + size
    while at < end and table[at] == 1:  # formatting that pieces share
        at += 3 + struct.unpack_from("<H", table, at + 1)[0]
    (size,) = struct.unpack_from("<I", table, at + 1)
    count = (size - 4) // 12
    starts = struct.unpack_from(f"<{count + 1}I", table, at + 5)
    found = []
    for number in range(count):
        (offset,) = struct.unpack_from("<I", table, at + 5 + 4 * (count + 1) + 8 * number + 2)
        length, narrow = starts[number + 1] - starts[number], offset & 0x40000000
        offset, width = ((offset & 0x3FFFFFFF) // 2, 1) if narrow else (offset, 2)
        data = main[offset : offset + length * width]
        found.append((offset, data.decode("cp1252" if narrow else "utf-16-le", "replace"), width))
    return found


def _properties(main: bytes, table: bytes) -> dict[int, tuple[int, bytes]]:
    """Return each paragraph's style number and properties by the file offset of its end."""
    at, size = struct.unpack_from("<II", main, PARAGRAPHS)
    count = max(size - 4, 0) // 8
    pages = struct.unpack_from(f"<{count}I", table, at + 4 * (count + 1)) if count else ()
    found = {}
    for page in pages:
        sheet = main[(page & 0x3FFFFF) * 512 :][:512]
        if len(sheet) < 512:
            continue
        runs = sheet[511]
        for number, end in enumerate(struct.unpack_from(f"<{min(runs, 29) + 1}I", sheet)[1:]):
            start = 2 * sheet[4 * (runs + 1) + 13 * number]
            words = sheet[start] or sheet[start + 1]
            start += 1 if sheet[start] else 2
            data = sheet[start : start + 2 * words]
            if len(data) > 1:
                found[end] = (int.from_bytes(data[:2], "little"), data[2:])
    return found


def _paragraphs(pieces: list[tuple[int, str, int]], properties: dict[int, tuple[int, bytes]]) -> Iterator[Paragraph]:
    """Cut the text at its marks, fields being their results and the address of a link.

    A field's code stands between \\x13 and \\x14, its result from there to \\x15.
    """
    text: list[str] = []
    codes: list[bool] = []  # of the fields open here, whether we are in the code
    links: list[str] = []  # and their codes
    at = begin = 0
    for offset, piece, width in pieces:
        for number, char in enumerate(piece, 1):
            at += 1
            if char == "\x13":
                codes.append(True)
                links.append("")
            elif char == "\x14" and codes:
                codes[-1] = False
            elif char == "\x15" and codes:
                codes.pop()
                address = LINK.match(links.pop())
                if address and not any(codes) and address[1] not in "".join(text):
                    text.append(f" ({address[1]})")
            elif char in ("\r", CELL, PAGE) and not any(codes):
                style, known = properties.get(offset + number * width, (0, b""))
                yield Paragraph(
                    "".join(text).translate(SHOWN).strip(), char, begin, style, IN_TABLE in known, ROW_END in known
                )
                text, begin = [], at
            elif not any(codes):
                text.append(char)
            elif codes[-1]:
                links[-1] += char
    yield Paragraph("".join(text).translate(SHOWN).strip(), "\r", begin)


def _blocks(paragraphs: Iterator[Paragraph]) -> Iterator[Block]:
    """Turn paragraphs into blocks: styles 1 to 9 are the headings, and cells make rows make tables."""
    rows: list[list[str]] = []
    cells: list[str] = []
    cell: list[str] = []
    for paragraph in paragraphs:
        if paragraph.mark == CELL and paragraph.row_end:
            rows.append(cells)
            cells = []
        elif paragraph.mark == CELL or paragraph.in_table:
            cell.append(paragraph.text)
            if paragraph.mark == CELL:
                cells.append(" ".join(cell))
                cell = []
        else:
            yield from table_blocks([*rows, cells])
            rows, cells = [], []
            level = paragraph.style if 0 < paragraph.style < 10 else 0
            if paragraph.text:
                yield Block(paragraph.text, level)
    yield from table_blocks([*rows, cells])
