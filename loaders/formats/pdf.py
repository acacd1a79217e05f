"""A PDF file comes in; the text of its pages goes out."""

from collections.abc import Iterator
from pathlib import Path

from errors import DocumentError
from loaders.formats.community import community_loaders
from loaders.formats.reading import Reading, Stretch


def pdf_pages(path: Path, reading: Reading) -> Iterator[Stretch]:
    """Yield a stretch a page."""
    try:
        pages = community_loaders().PyPDFium2Loader(str(path), mode="page").load()
    except Exception as error:
        if "password" in str(error).lower():
            raise DocumentError(path, "encrypted", "save it anew without a password") from error
        raise
    if not any(page.page_content.strip() for page in pages):
        raise DocumentError(path, "no text layer (scanned pages)", "run OCR on it first")
    for page in pages:
        yield Stretch(page.page_content.strip(), page=page.metadata["page"] + 1)
