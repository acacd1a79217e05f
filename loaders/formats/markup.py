"""A file in a markup language comes in; its text, under its headings where it has any, goes out."""

from collections.abc import Iterator
from pathlib import Path

from errors import DocumentError
from loaders.formats.encoding import text_of, unicode_rtf
from loaders.formats.reading import Reading, Stretch
from loaders.formats.sections import html_blocks, in_sections


def html_page(path: Path, reading: Reading) -> Iterator[Stretch]:
    """Yield a stretch a heading, navigation left out."""
    return in_sections(html_blocks(text_of(path)))


def rtf_sections(path: Path, reading: Reading) -> Iterator[Stretch]:
    """Read through pandoc as UnstructuredRTFLoader does, but with the file's own code page."""
    import pypandoc

    data = path.read_bytes()
    if not data.lstrip().startswith(b"{\\rtf"):  # pandoc 3 reads anything as RTF
        raise DocumentError(path, "not RTF", "give the file its true suffix")
    html = pypandoc.convert_text(unicode_rtf(data), "html", format="rtf", extra_args=["--wrap=none"])
    return in_sections(html_blocks(html))
