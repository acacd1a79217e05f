"""A page of a PDF file that is only a picture comes in; the words that tesseract sees on it go out."""

from pathlib import Path
from typing import TYPE_CHECKING

from errors import DocumentError

if TYPE_CHECKING:
    from pypdfium2 import PdfPage

DOTS = 300  # an inch: what tesseract's manual advises
POINTS = 72  # an inch: PDF's unit
MOST_PIXELS = 30_000_000  # an A3 page has 17 million; a hostile one can claim to be a hundred times that
SECONDS = 120  # a page


def words_on(page: "PdfPage", languages: str, path: Path) -> str:
    """Return the text on a page, languages joined by + as tesseract names them ("eng+deu")."""
    try:
        import pytesseract
    except ImportError as error:
        raise DocumentError(path, "OCR needs the package pytesseract", "run pip install -e '.[ocr]'") from error
    width, height = page.get_size()
    scale = min(DOTS / POINTS, (MOST_PIXELS / max(width * height, 1)) ** 0.5)
    picture = page.render(scale=scale, grayscale=True).to_pil()
    try:
        return str(pytesseract.image_to_string(picture, lang=languages, timeout=SECONDS)).strip()
    except pytesseract.TesseractNotFoundError as error:
        remedy = "install tesseract (tesseract-ocr) with your system's packages, or empty RAG_OCR"
        raise DocumentError(path, "OCR needs the program tesseract", remedy) from error
    except pytesseract.TesseractError as error:
        remedy = "install the languages that RAG_OCR names, or change it"
        raise DocumentError(path, f"tesseract: {error.message}"[:200], remedy) from error
    except RuntimeError as error:  # how pytesseract says that the time is over
        raise DocumentError(path, f"OCR took more than {SECONDS} s for a page", "leave the file out") from error
