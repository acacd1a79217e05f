"""A file in a markup language comes in; its text, under its headings where it has any, goes out."""

from collections.abc import Iterator
from pathlib import Path

from loaders.formats.encoding import text_of
from loaders.formats.reading import Reading, Stretch
from loaders.formats.sections import html_blocks, in_sections


def html_page(path: Path, reading: Reading) -> Iterator[Stretch]:
    """Yield a stretch a heading, navigation left out."""
    return in_sections(html_blocks(text_of(path)))
