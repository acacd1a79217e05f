"""What is known of a passage on its way into the catalog: an Entry of one that is kept, a Drop of one that is not."""

from typing import NamedTuple


class Drop(NamedTuple):
    """A passage that was left out of the index, and why; start counts characters, as a chunk's does."""

    page: int | None
    start: int
    reason: str
    text: str


class Entry(NamedTuple):
    """A chunk as the catalog takes it: place, verbatim text, the key of its vector and the marks of its duplicates."""

    id: str
    page: int | None
    line: int | None
    section: str
    start: int
    text: str
    vector_key: str
    exact: str
    bands: tuple[int, ...]
