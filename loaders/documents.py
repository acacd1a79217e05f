"""Turns a file on disk into LangChain Documents: stretches of its text, each with its place in the file.

To add a format, write a reader in loaders/formats/ and add a line to SUFFIXES at the end.
"""

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from langchain_core.documents import Document

from errors import DocumentError, one_line
from loaders.formats.kinds import kind_of
from loaders.formats.mail import eml_message, mbox_messages, mhtml_page
from loaders.formats.markup import html_page, rtf_sections
from loaders.formats.notes import evernote_notes, notebook_cells, subtitles
from loaders.formats.office import docx_sections, pptx_slides, sectioned, sheets
from loaders.formats.outlook import msg_message
from loaders.formats.pdf import pdf_pages
from loaders.formats.reading import Reader, Reading, Stretch
from loaders.formats.records import csv_rows, json_records, jsonl_records
from loaders.formats.sections import JOINER
from loaders.formats.text import CODE, PROSE, plain_text
from loaders.formats.xml import xml_text

DEFAULT = Reading()


def load_documents(path: Path, reading: Reading = DEFAULT) -> list[Document]:
    """Return a file's stretches of text in order; raise DocumentError where there are none to be had.

    Metadata: source (the path), page (PDF page or PPTX slide from 1, else None), line (from 1 in plain text, else
    None), section (headings joined by " > ", or sheet, or row) and start_index, in characters. The text of a file
    without pages is its stretches joined by JOINER, and start_index counts in that; on a page it counts from the
    page's beginning.
    """
    try:
        kind = kind_of(path)
        if kind not in SUFFIXES:
            raise DocumentError(path, f"no reader for {kind}", "convert it to text, HTML or PDF")
        read = SUFFIXES[kind]
        with warnings.catch_warnings():
            # parsers warn of what they skip, such as styles and extensions, and nobody can act on that
            warnings.simplefilter("ignore", UserWarning)
            stretches = [found for found in read(path, reading) if found.text.strip()] if path.stat().st_size else []
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


SUFFIXES: dict[str, Reader] = {
    **dict.fromkeys(sorted(PROSE | CODE), plain_text),
    **dict.fromkeys((".html", ".htm", ".xhtml"), html_page),
    **dict.fromkeys((".mhtml", ".mht"), mhtml_page),
    ".pdf": pdf_pages,
    ".docx": docx_sections,
    ".pptx": pptx_slides,
    ".xlsx": sheets,
    **dict.fromkeys((".csv", ".tsv", ".psv"), csv_rows),
    **dict.fromkeys((".json", ".geojson"), json_records),
    **dict.fromkeys((".jsonl", ".ndjson"), jsonl_records),
    ".eml": eml_message,
    ".mbox": mbox_messages,
    ".msg": msg_message,
    ".enex": evernote_notes,
    ".ipynb": notebook_cells,
    **dict.fromkeys((".vtt", ".srt"), subtitles),
    ".epub": sectioned("UnstructuredEPubLoader"),
    ".odt": sectioned("UnstructuredODTLoader"),
    ".rtf": rtf_sections,
    **dict.fromkeys((".xml", ".rss", ".atom"), xml_text),
}
