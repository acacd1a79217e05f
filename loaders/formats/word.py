"""A Word file (.docx) comes in; its text under its headings, then what stands beside it, goes out.

Our own reader: UnstructuredWordDocumentLoader (0.27) leaves out text boxes, content controls, notes and comments, and
takes more than a minute for 900 pages, most of it for telling kinds of text apart that nothing here asks for.
"""

import posixpath
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from errors import DocumentError
from loaders.formats.charts import drawn_blocks
from loaders.formats.encoding import text_in
from loaders.formats.mail import mhtml_blocks
from loaders.formats.reading import Stretch
from loaders.formats.rtf import rtf_blocks, unicode_rtf
from loaders.formats.sections import Block, html_blocks, in_sections
from loaders.formats.tables import table_blocks

if TYPE_CHECKING:
    from lxml.etree import _Element

# the namespaces of transitional and of strict files
SPACES = re.compile(rb"http://purl\.oclc\.org/ooxml/(\w+)/main")
W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
# deleted or moved text, and what Word before 2010 shows instead of a box, with the box's text in it again
SKIPPED = {W + "del", W + "moveFrom", MC + "Fallback", W + "pPr", W + "rPr", W + "tblPr", W + "sectPr"}
INSIDE = {W + "txbxContent", W + "tbl", W + "p"}  # blocks that a paragraph can hold
SIGNS = {W + "tab": "\t", W + "br": "\n", W + "cr": "\n", W + "noBreakHyphen": "-"}
BESIDE = re.compile(r"word/(?:footnotes|endnotes|comments|header\d*|footer\d*)\.xml")
DRAWN = re.compile(r"word/(?:charts/chart|diagrams/data)\d*\.xml")
PAGE = W + "altChunk"  # a web page, a text or RTF, which programs other than Word put in as it is
NO_PAGES: Mapping[str, list[Block]] = {}
CONTENTS = -1  # the level of a line in a table of contents: headings again


def docx_sections(path: Path) -> Iterator[Stretch]:
    """Yield a stretch a heading; then charts, SmartArt, notes, comments, headers and footers, each line once."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        main = next((name for name in names if re.fullmatch(r"word/document\d*\.xml", name)), None)
        if main is None:
            raise DocumentError(path, "no Word document inside", "give the file its true suffix")
        levels = _levels(_parse(archive.read("word/styles.xml"))) if "word/styles.xml" in names else {}
        body = _parse(archive.read(main))
        drawn = [_parse(archive.read(name)) for name in names if DRAWN.fullmatch(name)]
        beside = [_parse(archive.read(name)) for name in names if BESIDE.fullmatch(name)]
        pages = _pages(archive, main) if next(body.iter(PAGE), None) is not None else {}
    yield from in_sections(_blocks(body, levels, pages))
    lines = [block.text for part in drawn for block in drawn_blocks(part)]
    yield Stretch("\n".join(dict.fromkeys([*lines, *(line for part in beside for line in _lines(part))])))


def _parse(data: bytes) -> "_Element":
    from lxml import etree

    data = SPACES.sub(rb"http://schemas.openxmlformats.org/\1/2006/main", data)
    return etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))


def _levels(styles: "_Element") -> dict[str, int]:
    """Return each style's heading level by its id: the title's is 1, a heading's from 2, other text's 0."""
    levels: dict[str, int] = {}
    above: dict[str, str] = {}
    for style in styles.iter(W + "style"):
        name, outline = _value(style, "name").lower(), _value(style, f"pPr/{W}outlineLvl")
        key = style.get(W + "styleId", "")
        above[key] = _value(style, "basedOn")
        if name == "title":
            levels[key] = 1
        elif name.startswith(("toc ", "table of ")):
            levels[key] = CONTENTS
        elif found := re.fullmatch(r"heading (\d)", name):
            levels[key] = int(found[1]) + 1
        elif outline.isdigit() and int(outline) < 9:
            levels[key] = int(outline) + 2
    for key in above:
        parent, steps = key, 0
        while parent and parent not in levels and steps < 20:
            parent, steps = above.get(parent, ""), steps + 1
        levels.setdefault(key, levels.get(parent, 0))
    return levels


def _value(element: "_Element", path: str) -> str:
    found = element.find(W + path)
    return "" if found is None else found.get(W + "val", "")


def _pages(archive: zipfile.ZipFile, main: str) -> dict[str, list[Block]]:
    """Return the text of each file that the document holds as a file, by the id under which it stands there."""
    folder, name = posixpath.split(main)
    links = f"{folder}/_rels/{name}.rels"
    found = {}
    for link in _parse(archive.read(links)) if links in archive.namelist() else ():
        target = posixpath.normpath(posixpath.join("/", folder, link.get("Target", ""))).lstrip("/")
        if link.get("Type", "").endswith("/aFChunk") and target in archive.namelist():
            found[link.get("Id", "")] = _page(target, archive.read(target))
    return found


def _page(name: str, data: bytes) -> list[Block]:
    suffix = posixpath.splitext(name)[1].lower()
    if suffix in (".mht", ".mhtml"):
        return mhtml_blocks(data)
    if suffix == ".rtf":
        return rtf_blocks(unicode_rtf(data))
    if suffix in (".html", ".htm", ".xhtml"):
        return html_blocks(text_in(data))
    return [Block(text_in(data).strip())] if suffix == ".txt" else []


def _blocks(parent: "_Element", levels: dict[str, int], pages: Mapping[str, list[Block]] = NO_PAGES) -> Iterator[Block]:
    for child in parent:
        if child.tag == W + "p":
            yield from _paragraph(child, levels)
        elif child.tag == W + "tbl":
            yield from _table(child)
        elif child.tag == PAGE:
            yield from next((pages[key] for key in child.attrib.values() if key in pages), [])
        elif child.tag not in SKIPPED and isinstance(child.tag, str):
            yield from _blocks(child, levels, pages)


def _paragraph(paragraph: "_Element", levels: dict[str, int]) -> Iterator[Block]:
    inner: list[_Element] = []
    text = "".join(_pieces(paragraph, inner)).strip()
    level = levels.get(_value(paragraph, f"pPr/{W}pStyle"), 0)
    outline = _value(paragraph, f"pPr/{W}outlineLvl")
    if not level and outline.isdigit() and int(outline) < 9:
        level = int(outline) + 2
    if text and level != CONTENTS:
        listed = paragraph.find(f"{W}pPr/{W}numPr") is not None
        yield Block(text, level, tight=listed and not level)
    for box in inner:
        if box.tag == W + "tbl":
            yield from _table(box)
        elif box.tag == W + "p":
            yield from _paragraph(box, levels)
        else:
            yield from _blocks(box, levels)


def _pieces(element: "_Element", inner: list["_Element"]) -> Iterator[str]:
    """Yield a paragraph's text; collect the boxes and tables anchored in it."""
    for child in element:
        if child.tag in (W + "t", A + "t"):
            yield child.text or ""
        elif child.tag in SIGNS:
            yield SIGNS[child.tag]
        elif child.tag in INSIDE:
            inner.append(child)
        elif child.tag not in SKIPPED and isinstance(child.tag, str):
            yield from _pieces(child, inner)


def _table(table: "_Element") -> Iterator[Block]:
    return table_blocks(_rows(table), marked=table.find(f"{W}tr/{W}trPr/{W}tblHeader") is not None)


def _rows(table: "_Element") -> Iterator[list[str]]:
    """Yield the rows of a table, tables in its cells flattened."""
    for row in table.iter(W + "tr"):
        if next(row.iterancestors(W + "tbl"), None) is table and not _gone(row):
            cells = [cell for cell in row.iter(W + "tc") if next(cell.iterancestors(W + "tr"), None) is row]
            yield [" ".join(_lines(cell)) for cell in cells]


def _gone(row: "_Element") -> bool:
    return row.find(f"{W}trPr/{W}del") is not None


def _lines(part: "_Element") -> Iterator[str]:
    """Yield the text of each paragraph in a part of the document, of boxes in it too."""
    for paragraph in part.iter(W + "p", A + "p"):
        if next(paragraph.iterancestors(MC + "Fallback"), None) is None:
            text = "".join(_pieces(paragraph, [])).strip()
            if text:
                yield text
