"""A PDF file comes in; the text of its pages goes out."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import DocumentError
from loaders.formats.community import community_loaders
from loaders.formats.ocr import words_on
from loaders.formats.pdf_forms import filled_fields
from loaders.formats.protection import REMEDY
from loaders.formats.reading import Reading, Stretch

if TYPE_CHECKING:
    from langchain_core.documents import Document

NO_TEXT = "no text layer (scanned page)"


def pdf_pages(path: Path, reading: Reading) -> Iterator[Stretch]:
    """Yield a stretch a page, filled form fields last; one with pictures only is read by OCR, or unread without."""
    import pypdfium2

    pages, password = _pages(path, reading)
    blank = [number for number, page in enumerate(pages) if not page.page_content.strip()]
    with pypdfium2.PdfDocument(path, password=password) as file:
        fields = filled_fields(file)
        pictured = {number: "" for number in blank if number not in fields and _shows(file, number)}
        if reading.ocr:
            pictured = {number: words_on(file[number], reading.ocr, path) for number in pictured}
    texts = [page.page_content.strip() or pictured.get(number, "") for number, page in enumerate(pages)]
    if pictured and not reading.ocr and not fields and not any(texts):
        remedy = "set RAG_OCR to its language, such as eng, or run OCR on it first"
        raise DocumentError(path, "no text layer (scanned pages)", remedy)
    for number, text in enumerate(texts):
        whole = "\n".join(filter(None, [text, fields.get(number)]))
        yield Stretch(whole, page=number + 1, unread=NO_TEXT if number in pictured and not whole else "")


def _pages(path: Path, reading: Reading) -> tuple[list["Document"], str | None]:
    """Return the pages, and the password that opened the file."""
    import pypdfium2

    for password in (None, *reading.passwords):
        try:
            loader = community_loaders().PyPDFium2Loader(str(path), mode="page", password=password)
            return loader.load(), password
        except pypdfium2.PdfiumError as error:
            if "password" not in str(error).lower():
                remedy = "see whether it opens, repair it or leave it out"
                detail = str(error).replace(" (PDFium: Success)", "").rstrip(".")
                raise DocumentError(path, f"not a PDF file, or a damaged one: {detail}", remedy) from error
    raise DocumentError(path, "encrypted", REMEDY)


def _shows(file: Any, number: int) -> bool:
    page = file[number]
    try:
        return next(page.get_objects(max_depth=1), None) is not None
    finally:
        page.close()
