"""A PDF file comes in; the text of its pages goes out."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import DocumentError
from loaders.formats.community import community_loaders
from loaders.formats.ocr import words_on
from loaders.formats.protection import REMEDY
from loaders.formats.reading import Reading, Stretch

if TYPE_CHECKING:
    from langchain_core.documents import Document

NO_TEXT = "no text layer (scanned page)"


def pdf_pages(path: Path, reading: Reading) -> Iterator[Stretch]:
    """Yield a stretch a page; one with pictures and no text is read by OCR, or unread where that is off."""
    pages, password = _pages(path, reading)
    blank = [number for number, page in enumerate(pages) if not page.page_content.strip()]
    pictured = _pictured(path, password, blank, reading.ocr)
    if pictured and len(blank) == len(pages) and not any(pictured.values()) and not reading.ocr:
        remedy = "set RAG_OCR to its language, such as eng, or run OCR on it first"
        raise DocumentError(path, "no text layer (scanned pages)", remedy)
    for number, page in enumerate(pages):
        text = page.page_content.strip() or pictured.get(number, "")
        yield Stretch(text, page=number + 1, unread=NO_TEXT if number in pictured and not text else "")


def _pages(path: Path, reading: Reading) -> tuple[list["Document"], str | None]:
    """Return the pages, and the password that opened the file."""
    for password in (None, *reading.passwords):
        try:
            loader = community_loaders().PyPDFium2Loader(str(path), mode="page", password=password)
            return loader.load(), password
        except Exception as error:
            if "password" not in str(error).lower():
                raise
    raise DocumentError(path, "encrypted", REMEDY)


def _pictured(path: Path, password: str | None, blank: list[int], languages: str) -> dict[int, str]:
    """Return what OCR, if it is on, reads on those of the blank pages that show something."""
    import pypdfium2

    if not blank:
        return {}
    found = {}
    with pypdfium2.PdfDocument(path, password=password) as file:
        for number in blank:
            page: Any = file[number]
            if next(page.get_objects(max_depth=1), None) is not None:
                found[number] = words_on(page, languages, path) if languages else ""
            page.close()
    return found
