"""A file in a markup language comes in; its text, under its headings where it has any, goes out."""

from collections.abc import Iterator
from pathlib import Path

from loaders.formats.reading import Reading, Stretch
from loaders.formats.sections import html_blocks, in_sections


def html_page(path: Path, reading: Reading) -> Iterator[Stretch]:
    """Yield a stretch a heading, navigation left out."""
    return in_sections(html_blocks(path.read_bytes()))


def xml_text(path: Path, reading: Reading) -> Iterator[Stretch]:
    """Yield the text of all elements, a line each."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    texts = etree.parse(str(path), parser).getroot().itertext(etree.Element)
    yield Stretch("\n".join(text.strip() for text in texts if text.strip()))
