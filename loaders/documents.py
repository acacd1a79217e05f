"""Turns a file on disk into LangChain Documents: stretches of its text, each with its place in the file.

To add a format, write a function from a path to its Stretches and add a line to SUFFIXES at the end.
"""

import functools
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from langchain_core.documents import Document

from errors import DocumentError, one_line
from loaders.encoding import encoding_of, unicode_rtf
from loaders.mail import eml_message
from loaders.records import csv_rows, json_records, jsonl_records, xlsx_rows
from loaders.sections import JOINER, Block, Stretch, html_blocks, in_sections

OLE = bytes.fromhex("d0cf11e0a1b11ae1")  # how old Office files begin, and new ones that have a password


def load_documents(path: Path) -> list[Document]:
    """Return a file's stretches of text in order; raise DocumentError where there are none to be had.

    Metadata: source (the path), page (PDF page or PPTX slide from 1, else None), line (from 1 in plain text, else
    None), section (headings joined by " > ", or sheet, or row) and start_index, in characters. The text of a file
    without pages is its stretches joined by JOINER, and start_index counts in that; on a page it counts from the
    page's beginning.
    """
    read = SUFFIXES.get(path.suffix.lower())
    if read is None:
        remedy = f"convert it to one of {' '.join(SUFFIXES)}"
        raise DocumentError(path, f"unknown suffix {path.suffix!r}", remedy)
    try:
        with warnings.catch_warnings():
            # parsers warn of what they skip, such as styles and extensions, and nobody can act on that
            warnings.simplefilter("ignore", UserWarning)
            stretches = [found for found in read(path) if found.text.strip()] if path.stat().st_size else []
    except DocumentError:
        raise
    except OSError as error:
        raise DocumentError(path, one_line(error), "check the path and its permissions") from error
    except Exception as error:  # parsers raise anything, and one bad file must not stop the others
        remedy = "see whether it opens, repair it or leave it out"
        raise DocumentError(path, one_line(error), remedy) from error
    if not stretches:
        raise DocumentError(path, "empty", "fill it or leave it out")
    return list(_documents(path, stretches))


def _documents(path: Path, stretches: Iterable[Stretch]) -> Iterator[Document]:
    end = 0
    for stretch in stretches:
        start = 0 if stretch.page else end
        where = {
            "page": stretch.page,
            "line": stretch.line,
            "section": _encodable(stretch.section),
            "start_index": start,
        }
        text = _encodable(stretch.text)
        yield Document(page_content=text, metadata={"source": str(path)} | where)
        end = start + len(text) + len(JOINER)


def _encodable(text: str) -> str:
    """Put a question mark for half a surrogate pair, which JSON and mail can hold and no database can."""
    return text.encode("utf-8", "replace").decode()


def _community() -> Any:
    with warnings.catch_warnings():
        # 0.4.2 warns that the package is sunset: known, and the reason for its pin
        warnings.simplefilter("ignore", DeprecationWarning)
        from langchain_community import document_loaders
    return document_loaders


def _decoded(read: Callable[[Path, str], Iterator[Stretch]]) -> Callable[[Path], Iterator[Stretch]]:
    return lambda path: read(path, encoding_of(path))


def _text(path: Path, encoding: str) -> Iterator[Stretch]:
    for document in _community().TextLoader(str(path), encoding=encoding).lazy_load():
        yield Stretch(document.page_content, line=1)


def _html(path: Path) -> Iterator[Stretch]:
    return in_sections(html_blocks(path.read_bytes()))


def _xml(path: Path) -> Iterator[Stretch]:
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    texts = etree.parse(str(path), parser).getroot().itertext(etree.Element)
    yield Stretch("\n".join(text.strip() for text in texts if text.strip()))


def _rtf(path: Path) -> Iterator[Stretch]:
    """Read through pandoc as UnstructuredRTFLoader does, but with the file's own code page."""
    import pypandoc

    data = path.read_bytes()
    if not data.lstrip().startswith(b"{\\rtf"):  # pandoc 3 reads anything as RTF
        raise DocumentError(path, "not RTF", "give the file its true suffix")
    html = pypandoc.convert_text(unicode_rtf(data), "html", format="rtf", extra_args=["--wrap=none"])
    return in_sections(html_blocks(html))


@functools.cache
def _unstructured() -> Any:
    """Return LangChain's loaders with unstructured kept off the network.

    Version 0.27 downloads a spaCy model into site-packages at first use, to tell narration from the rest.
    Nothing here asks for that: a blank pipeline gives the same sections on every machine, and sooner.
    """
    import spacy
    from unstructured.nlp import tokenize

    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    tokenize._get_nlp = lambda: nlp  # type: ignore[assignment]
    return _community()


def _elements(path: Path, loader: str, **options: object) -> list[Document]:
    """Return unstructured's elements; languages=[""] spares it guessing the language of each."""
    _refuse_encrypted(path)
    build = getattr(_unstructured(), loader)
    elements: list[Document] = build(str(path), mode="elements", languages=[""], **options).load()
    return elements


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


def _xlsx(path: Path) -> Iterator[Stretch]:
    _refuse_encrypted(path)
    return xlsx_rows(path)


def _sectioned(loader: str) -> Callable[[Path], Iterator[Stretch]]:
    return lambda path: in_sections(_element_blocks(_elements(path, loader)))


def _element_blocks(elements: Iterable[Document], titles: frozenset[str] = frozenset()) -> Iterator[Block]:
    """Turn unstructured's elements into blocks; a heading whose text is in titles ranks above all others."""
    for element in elements:
        text, found = element.page_content.strip(), element.metadata
        if found.get("text_as_html"):
            yield from html_blocks(found["text_as_html"])
        elif text:
            level = 1 if text in titles else (found.get("category_depth") or 0) + 2
            category = found.get("category")
            yield Block(text, level=level if category == "Title" else 0, tight=category == "ListItem")


def _docx(path: Path) -> Iterator[Stretch]:
    """Read unstructured's elements, then what it leaves out (0.27): text boxes, content controls, notes."""
    from docx import Document as open_docx

    elements = _elements(path, "UnstructuredWordDocumentLoader")
    word = open_docx(str(path))
    titles = frozenset(p.text.strip() for p in word.paragraphs if p.style and p.style.name == "Title")
    yield from in_sections(_element_blocks(elements, titles))
    seen = "".join("".join(element.page_content.split()) for element in elements)
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


def _pptx(path: Path) -> Iterator[Stretch]:
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


def _pdf(path: Path) -> Iterator[Stretch]:
    try:
        pages = _community().PyPDFium2Loader(str(path), mode="page").load()
    except Exception as error:
        if "password" in str(error).lower():
            raise DocumentError(path, "encrypted", "save it anew without a password") from error
        raise
    if not any(page.page_content.strip() for page in pages):
        raise DocumentError(path, "no text layer (scanned pages)", "run OCR on it first")
    for page in pages:
        yield Stretch(page.page_content.strip(), page=page.metadata["page"] + 1)


SUFFIXES: dict[str, Callable[[Path], Iterator[Stretch]]] = {
    **dict.fromkeys((".md", ".markdown", ".txt", ".text", ".rst", ".org", ".log"), _decoded(_text)),
    **dict.fromkeys((".html", ".htm"), _html),
    ".pdf": _pdf,
    ".docx": _docx,
    ".pptx": _pptx,
    ".xlsx": _xlsx,
    **dict.fromkeys((".csv", ".tsv"), _decoded(csv_rows)),
    ".json": _decoded(json_records),
    **dict.fromkeys((".jsonl", ".ndjson"), _decoded(jsonl_records)),
    ".eml": eml_message,
    ".epub": _sectioned("UnstructuredEPubLoader"),
    ".odt": _sectioned("UnstructuredODTLoader"),
    ".rtf": _rtf,
    ".xml": _xml,
}
