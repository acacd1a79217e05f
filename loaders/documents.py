"""Turns a file on disk into LangChain Documents: stretches of its text, each with its place in the file.

To add a format, write a reader in loaders/formats/ and add a line to SUFFIXES at the end.
"""

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from langchain_core.documents import Document

from errors import DocumentError, FormatError, one_line
from loaders.formats.archives import archived
from loaders.formats.kinds import is_media, kind_of
from loaders.formats.mail import eml_message, mbox_messages, mhtml_page
from loaders.formats.markup import html_page
from loaders.formats.notes import evernote_notes, notebook_cells, subtitles
from loaders.formats.office import office, pptx_slides, sectioned
from loaders.formats.old_powerpoint import ppt_slides
from loaders.formats.old_word import doc_sections
from loaders.formats.opendocument import odp_slides, ods_rows
from loaders.formats.outlook import msg_message
from loaders.formats.pdf import pdf_pages
from loaders.formats.reading import Reader, Reading, Stretch
from loaders.formats.records import csv_rows, json_records, jsonl_records, xls_rows, xlsx_rows
from loaders.formats.rtf import rtf_sections
from loaders.formats.sections import JOINER
from loaders.formats.text import CODE, PROSE, plain_text
from loaders.formats.word import docx_sections
from loaders.formats.xml import xml_text

DEFAULT = Reading()


def load_documents(path: Path, reading: Reading = DEFAULT) -> list[Document]:
    """Return a file's stretches of text in order; raise DocumentError where there are none to be had.

    Metadata: source (the path), page (PDF page or PPTX slide from 1, else None), line (from 1 in plain text, else
    None), section (headings joined by " > ", or sheet, or row) and start_index, in characters. The text of a file
    without pages is its stretches joined by JOINER, and start_index counts in that; on a page it counts from the
    page's beginning. A part that can't be read is a Document without text, after the others: see unread.
    """
    stretches = [found for found in _stretches(path, reading) if found.text.strip() or found.unread]
    if not stretches:
        raise DocumentError(path, "empty", "fill it or leave it out")
    return list(_documents(path, stretches))


def unread(documents: Iterable[Document]) -> list[str]:
    """Return a line for each part of a file that could not be read: "page 3: no text layer (scanned page)"."""
    parts = ((document.metadata, document.metadata.get("unread")) for document in documents)
    return [f"{at['section'] or 'page'} {at['page'] or ''}".strip() + f": {reason}" for at, reason in parts if reason]


def no_reader(path: Path) -> str:
    """Return why a file is of no use here, as far as its name tells, or an empty string."""
    known = path.suffix.lower() in SUFFIXES or not is_media(path.name)
    return "" if known else f"no reader for {path.suffix.lower()}"


def _stretches(path: Path, reading: Reading) -> list[Stretch]:
    try:
        if not path.stat().st_size:
            return []
        kind = kind_of(path)
        if kind not in SUFFIXES:
            raise FormatError(path, f"no reader for {kind}", "convert it to text, HTML or PDF")
        with warnings.catch_warnings():
            # parsers warn of what they skip, such as styles and extensions, and nobody can act on that
            warnings.simplefilter("ignore", UserWarning)
            return list(SUFFIXES[kind](path, reading))
    except DocumentError as error:  # of a decrypted copy or of an archive's member, perhaps
        raise type(error)(path, error.reason, error.remedy) from error
    except OSError as error:
        raise DocumentError(path, one_line(error), "check the path and its permissions") from error
    except Exception as error:  # parsers raise anything, and one bad file must not stop the others
        remedy = "see whether it opens, repair it or leave it out"
        raise DocumentError(path, one_line(error), remedy) from error


def _documents(path: Path, stretches: list[Stretch]) -> Iterator[Document]:
    end = 0
    for stretch in sorted(stretches, key=lambda stretch: bool(stretch.unread)):
        start = 0 if stretch.page else end
        where = {
            "page": stretch.page,
            "line": stretch.line,
            "section": _encodable(stretch.section),
            "start_index": start,
        }
        if stretch.unread:
            where["unread"] = stretch.unread
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
    **dict.fromkeys((".docx", ".docm", ".dotx", ".dotm", ".doc", ".dot"), office(docx_sections, doc_sections)),
    **dict.fromkeys((".pptx", ".pptm", ".potx", ".ppsx", ".ppt", ".pps"), office(pptx_slides, ppt_slides)),
    **dict.fromkeys((".xlsx", ".xlsm", ".xltx", ".xltm", ".xls"), office(xlsx_rows, xls_rows)),
    ".xlsb": office(xls_rows, xls_rows),
    **dict.fromkeys((".csv", ".tsv", ".psv"), csv_rows),
    **dict.fromkeys((".json", ".geojson"), json_records),
    **dict.fromkeys((".jsonl", ".ndjson"), jsonl_records),
    ".eml": eml_message,
    ".mbox": mbox_messages,
    ".msg": msg_message,
    ".enex": evernote_notes,
    ".ipynb": notebook_cells,
    **dict.fromkeys((".vtt", ".srt"), subtitles),
    ".epub": office(sectioned("UnstructuredEPubLoader", ".epub")),
    **dict.fromkeys((".odt", ".ott"), office(sectioned("UnstructuredODTLoader", ".odt"))),
    **dict.fromkeys((".odp", ".otp"), office(odp_slides)),
    **dict.fromkeys((".ods", ".ots"), office(ods_rows)),
    ".rtf": rtf_sections,
    **dict.fromkeys((".xml", ".rss", ".atom"), xml_text),
}
SUFFIXES |= dict.fromkeys((".zip", ".gz"), archived(lambda path, reading: iter(_stretches(path, reading)), SUFFIXES))
