"""A Word, PowerPoint, Writer or EPUB file comes in; its text under its headings, or slide by slide, goes out."""

import re
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain_core.documents import Document

from errors import DocumentError
from loaders.formats.archives import MOST_XML, check_zip
from loaders.formats.community import elements
from loaders.formats.protection import OLE, begins, unlocked
from loaders.formats.reading import Reader, Reading, Stretch
from loaders.formats.sections import Block, in_sections
from loaders.formats.tables import html_table, table_blocks

Unlocked = Callable[[Path], Iterator[Stretch]]
# what templates and files with macros call themselves, which python-docx and python-pptx refuse
KINDS = re.compile(
    rb"application/vnd\.(?:ms-(?:word|powerpoint)|openxmlformats-officedocument\.(?:wordprocessingml|presentationml))"
    rb"\.(?:document|template|presentation|slideshow)(?:\.macroEnabled(?:Template)?)?\.main\+xml"
)
TYPES = "[Content_Types].xml"
PLAIN = {
    ".docx": b"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml",
    ".pptx": b"application/vnd.openxmlformats-officedocument.presentationml.presentation.main+xml",
}


def office(new: Unlocked, old: Unlocked | None = None) -> Reader:
    """Return a reader that takes the password off, looks for a zip bomb, and goes by what the file is, not its suffix."""

    def read(path: Path, reading: Reading) -> Iterator[Stretch]:
        with unlocked(path, reading.passwords) as plain:
            if begins(plain, OLE):
                if old is None:
                    raise DocumentError(
                        path, "an old Office file under a newer suffix", "give the file its true suffix"
                    )
                yield from old(plain)
            else:
                check_zip(plain, MOST_XML)
                yield from new(plain)

    return read


@contextmanager
def _under(path: Path, suffix: str) -> Iterator[Path]:
    """Give the file, or a copy that has this suffix and calls itself a plain document."""
    with zipfile.ZipFile(path) as archive:
        types = archive.read(TYPES) if TYPES in archive.namelist() else b""
        wanted = KINDS.sub(PLAIN.get(suffix, b""), types)
        if (path.suffix.lower(), types) == (suffix, wanted):
            yield path
            return
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / f"plain{suffix}"
            with zipfile.ZipFile(copy, "w") as out:
                for name in dict.fromkeys(archive.namelist()):
                    out.writestr(name, wanted if name == TYPES else archive.read(name))
            yield copy


def sectioned(loader: str, suffix: str) -> Unlocked:
    """Return a reader for what the named unstructured loader of LangChain reads."""

    def read(path: Path) -> Iterator[Stretch]:
        with _under(path, suffix) as plain:
            yield from in_sections(_element_blocks(elements(plain, loader)))

    return read


def _element_blocks(found: Iterable[Document], titles: frozenset[str] = frozenset()) -> Iterator[Block]:
    """Turn unstructured's elements into blocks; a heading whose text is in titles ranks above all others."""
    for element in found:
        text, known = element.page_content.strip(), element.metadata
        if known.get("text_as_html"):
            yield from table_blocks(html_table(known["text_as_html"]))
        elif text:
            level = 1 if text in titles else (known.get("category_depth") or 0) + 2
            category = known.get("category")
            yield Block(text, level=level if category == "Title" else 0, tight=category == "ListItem")


def docx_sections(path: Path) -> Iterator[Stretch]:
    """Read unstructured's elements, then what it leaves out (0.27): text boxes, content controls, notes, comments."""
    from docx import Document as open_docx

    with _under(path, ".docx") as plain:
        found = elements(plain, "UnstructuredWordDocumentLoader")
        word = open_docx(str(plain))
    titles = frozenset(p.text.strip() for p in word.paragraphs if p.style and p.style.name == "Title")
    yield from in_sections(_element_blocks(found, titles))
    seen = "".join("".join(element.page_content.split()) for element in found)
    yield Stretch("\n".join(text for text in _word_paragraphs(word) if "".join(text.split()) not in seen))


def _word_paragraphs(word: Any) -> Iterator[str]:
    """Yield the text of each paragraph in a text box, content control, note or comment."""
    from docx.oxml.ns import qn
    from lxml import etree

    # what Word before 2010 shows instead of a box, with the box's text in it again
    again = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
    notes = ("/footnotes.xml", "/endnotes.xml", "/comments.xml")
    trees = [etree.fromstring(p.blob) for p in word.part.package.iter_parts() if p.partname.endswith(notes)]
    inner = [*word.element.iter(qn("w:txbxContent"), qn("w:sdtContent")), *trees]
    for paragraph in dict.fromkeys(p for tree in inner for p in tree.iter(qn("w:p"))):
        style = paragraph.find(f"{qn('w:pPr')}/{qn('w:pStyle')}")
        contents = style is not None and style.get(qn("w:val"), "").startswith("TOC")  # headings again
        if not contents and next(paragraph.iterancestors(again), None) is None:
            runs = [t for t in paragraph.iter(qn("w:t")) if next(t.iterancestors(qn("w:p"))) is paragraph]
            yield "".join(t.text or "" for t in runs).strip()


def pptx_slides(path: Path) -> Iterator[Stretch]:
    """Yield a stretch a slide under its title, tables included; the notes come last."""
    from pptx import Presentation

    with _under(path, ".pptx") as plain:
        found = elements(plain, "UnstructuredPowerPointLoader")
        deck = Presentation(str(plain))
    slides: dict[int, list[Document]] = {}
    for element in found:
        slides.setdefault(element.metadata.get("page_number") or 1, []).append(element)
    for number, slide in enumerate(deck.slides, 1):
        blocks = list(_element_blocks(slides.get(number, [])))
        title = next((block.text for block in blocks if block.level == 2), "")  # level 2: depth 0
        # by python-pptx, because unstructured puts the notes before the slide
        notes = slide.notes_slide.notes_text_frame if slide.has_notes_slide else None
        texts = [*(block.text for block in blocks), notes.text.strip() if notes else ""]
        yield Stretch("\n".join(filter(None, texts)), " ".join(title.split()), number)
