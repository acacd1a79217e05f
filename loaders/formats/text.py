"""A plain text file comes in; its text goes out as it stands."""

from collections.abc import Iterator
from pathlib import Path

from loaders.formats.community import community_loaders
from loaders.formats.encoding import encoding_of
from loaders.formats.reading import Reading, Stretch


def plain_text(path: Path, reading: Reading) -> Iterator[Stretch]:
    """Yield the whole file as one stretch."""
    for document in community_loaders().TextLoader(str(path), encoding=encoding_of(path)).lazy_load():
        yield Stretch(document.page_content, line=1)
