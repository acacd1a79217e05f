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
from loaders.formats.charts import drawn_blocks
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
    """Return a reader that takes the password off, refuses zip bombs, and goes by content, not suffix."""

    def read(path: Path, reading: Reading) -> Iterator[Stretch]:
        with unlocked(path, reading.passwords) as plain:
            if begins(plain, OLE):
                if old is None:
                    raise DocumentError(
                        path, "an old Office file under a newer suffix", "give the file its true suffix"
                    )
                yield from old(plain)
            elif not zipfile.is_zipfile(plain):
                remedy = "give it its true suffix, or repair it"
                raise DocumentError(path, "not of the format that its suffix names, or damaged", remedy)
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
            try:
                found = elements(plain, loader)
            except RuntimeError as error:  # how pypandoc says that pandoc gave up
                reason = "damaged, or not of the format that its suffix names"
                raise DocumentError(path, reason, "see whether it opens, repair it or leave it out") from error
            yield from in_sections(_element_blocks(found))

    return read


def _element_blocks(found: Iterable[Document]) -> Iterator[Block]:
    for element in found:
        text, known = element.page_content.strip(), element.metadata
        if known.get("text_as_html"):
            yield from table_blocks(html_table(known["text_as_html"]))
        elif text:
            level, category = (known.get("category_depth") or 0) + 2, known.get("category")
            yield Block(text, level=level if category == "Title" else 0, tight=category == "ListItem")


def pptx_slides(path: Path) -> Iterator[Stretch]:
    """Yield a stretch a slide under its title, tables included; then charts and SmartArt, and the notes."""
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
        texts = [*(block.text for block in blocks), *_drawn(slide), notes.text.strip() if notes else ""]
        yield Stretch("\n".join(filter(None, texts)), " ".join(title.split()), number)


def _drawn(slide: Any) -> Iterator[str]:
    """Yield the lines of the charts and the SmartArt on a slide."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    for related in slide.part.rels.values():
        if related.reltype.endswith(("/chart", "/diagramData")):
            part = etree.fromstring(related.target_part.blob, parser)
            yield from (block.text for block in drawn_blocks(part))
