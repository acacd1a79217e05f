"""An Office, OpenDocument or EPUB file comes in; its text under its headings, or slide by slide, goes out."""

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from langchain_core.documents import Document

from errors import DocumentError
from loaders.formats.community import elements
from loaders.formats.reading import Reader, Reading, Stretch
from loaders.formats.records import xlsx_rows
from loaders.formats.sections import Block, html_blocks, in_sections

OLE = bytes.fromhex("d0cf11e0a1b11ae1")  # how old Office files begin, and new ones that have a password


def _refuse_encrypted(path: Path) -> None:
    """Raise DocumentError for an Office or OpenDocument file with a password, which parsers call broken."""
    with path.open("rb") as file:
        old = file.read(len(OLE)) == OLE
    if old or _archived(path, "META-INF/manifest.xml").find(b":encryption-data") >= 0:
        reason = "encrypted" + (", or an Office file from before 2007" if old else "")
        raise DocumentError(path, reason, "save it anew in today's format, without a password")


def _archived(path: Path, name: str) -> bytes:
    if not zipfile.is_zipfile(path):
        return b""
    with zipfile.ZipFile(path) as archive:
        return archive.read(name) if name in archive.namelist() else b""


def sheets(path: Path, reading: Reading) -> Iterator[Stretch]:
    """Yield a stretch a row."""
    _refuse_encrypted(path)
    return xlsx_rows(path)


def sectioned(loader: str) -> Reader:
    """Return a reader for what the named unstructured loader of LangChain reads."""
    return lambda path, reading: in_sections(_element_blocks(_elements(path, loader)))


def _element_blocks(found: Iterable[Document], titles: frozenset[str] = frozenset()) -> Iterator[Block]:
    """Turn unstructured's elements into blocks; a heading whose text is in titles ranks above all others."""
    for element in found:
        text, known = element.page_content.strip(), element.metadata
        if known.get("text_as_html"):
            yield from html_blocks(known["text_as_html"])
        elif text:
            level = 1 if text in titles else (known.get("category_depth") or 0) + 2
            category = known.get("category")
            yield Block(text, level=level if category == "Title" else 0, tight=category == "ListItem")


def docx_sections(path: Path, reading: Reading) -> Iterator[Stretch]:
    """Read unstructured's elements, then what it leaves out (0.27): text boxes, content controls, notes."""
    from docx import Document as open_docx

    found = _elements(path, "UnstructuredWordDocumentLoader")
    word = open_docx(str(path))
    titles = frozenset(p.text.strip() for p in word.paragraphs if p.style and p.style.name == "Title")
    yield from in_sections(_element_blocks(found, titles))
    seen = "".join("".join(element.page_content.split()) for element in found)
    yield Stretch("\n".join(text for text in _word_paragraphs(word) if "".join(text.split()) not in seen))


def _word_paragraphs(word: Any) -> Iterator[str]:
    """Yield the text of each paragraph in a text box, content control, footnote or endnote."""
    from docx.oxml.ns import qn
    from lxml import etree

    # what Word before 2010 shows instead of a box, with the box's text in it again
    again = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
    notes = ("/footnotes.xml", "/endnotes.xml")
    trees = [etree.fromstring(p.blob) for p in word.part.package.iter_parts() if p.partname.endswith(notes)]
    inner = [*word.element.iter(qn("w:txbxContent"), qn("w:sdtContent")), *trees]
    for paragraph in dict.fromkeys(p for tree in inner for p in tree.iter(qn("w:p"))):
        style = paragraph.find(f"{qn('w:pPr')}/{qn('w:pStyle')}")
        contents = style is not None and style.get(qn("w:val"), "").startswith("TOC")  # headings again
        if not contents and next(paragraph.iterancestors(again), None) is None:
            runs = [t for t in paragraph.iter(qn("w:t")) if next(t.iterancestors(qn("w:p"))) is paragraph]
            yield "".join(t.text or "" for t in runs).strip()


def pptx_slides(path: Path, reading: Reading) -> Iterator[Stretch]:
    """Yield a stretch a slide under its title, tables included; the notes come last."""
    from pptx import Presentation

    slides: dict[int, list[Document]] = {}
    for element in _elements(path, "UnstructuredPowerPointLoader"):
        slides.setdefault(element.metadata.get("page_number") or 1, []).append(element)
    for number, slide in enumerate(Presentation(str(path)).slides, 1):
        blocks = list(_element_blocks(slides.get(number, [])))
        title = next((block.text for block in blocks if block.level == 2), "")  # level 2: depth 0
        # by python-pptx, because unstructured puts the notes before the slide
        notes = slide.notes_slide.notes_text_frame if slide.has_notes_slide else None
        texts = [*(block.text for block in blocks), notes.text.strip() if notes else ""]
        yield Stretch("\n".join(filter(None, texts)), " ".join(title.split()), number)


def _elements(path: Path, loader: str) -> list[Document]:
    _refuse_encrypted(path)
    return elements(path, loader)
