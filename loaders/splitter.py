"""A file's Documents come in; chunks that keep headings with their text, with exact offsets and stable ids, go out.

A chunk's text is always a verbatim stretch of the file's text: `start` says where it begins.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from hashlib import blake2b
from itertools import takewhile
from pathlib import PurePath
from typing import NamedTuple

from langchain_core.documents import Document

from loaders.cleaning import context
from loaders.formats.text import CODE
from loaders.headings import sections
from loaders.tokens import token_starts
from loaders.windows import Text, windows

LEAST = 8  # tokens of text in a chunk, however much its headings take


class Section(NamedTuple):
    """A stretch of a file that is cut for itself, and where its tokens begin, counted from its own beginning."""

    document: Document
    starts: "array[int]"


def split_documents(
    documents: Iterable[Document], *, count_tokens: Callable[[str], int], chunk_tokens: int, overlap_tokens: int
) -> list[Document]:
    """Return chunks of at most `chunk_tokens` tokens, their heading included, in the file's order.

    Each chunk but a section's first repeats up to `overlap_tokens` tokens of the one before it. Sections too short to
    stand alone (a quarter of a chunk) join the next one on their page. Metadata: source, page, line, section,
    start. The id is a hash of source, section and text, so an edit elsewhere in the file leaves it as it is.
    A TokenCounter is faster than any other count_tokens: it is asked for each text once.
    """
    chunks: list[Document] = []
    count = cache(lambda text: len(token_starts(count_tokens, text)))  # of headings, which come again and again
    for section, starts in _join_short(_tokenised(documents, count_tokens), chunk_tokens):
        place = {key: section.metadata[key] for key in ("source", "page", "line", "section")}
        place["section"] = _fit_path(place["section"], count, chunk_tokens // 4)
        limit = max(chunk_tokens - count(context(place)), overlap_tokens + LEAST)
        text, origin = section.page_content, section.metadata["start_index"]
        code = PurePath(place["source"]).suffix.lower() in CODE
        line, counted = place["line"], 0
        for start, end in windows(Text(text, starts, count_tokens, code), limit, overlap_tokens):
            line, counted = line and line + text.count("\n", counted, start), start
            at = {"start": origin + start, "line": line}
            chunks.append(Document(page_content=text[start:end], metadata=place | at))
    return _with_ids(chunks)


def _tokenised(documents: Iterable[Document], count_tokens: Callable[[str], int]) -> Iterator[Section]:
    """Yield the Documents' sections with where their tokens begin; a Document of several is tokenised once."""
    for document in documents:
        starts, origin = token_starts(count_tokens, document.page_content), document.metadata["start_index"]
        at = first = 0
        for section in sections([document]):
            at = section.metadata["start_index"] - origin
            stop = at + len(section.page_content)
            last = first
            while last < len(starts) and starts[last] < stop:
                last += 1
            if section.page_content.strip():
                yield Section(
                    section, array("L", (start - at for start in starts[first:last])) if at else starts[:last]
                )
            first = last


def _join_short(found: Iterable[Section], chunk_tokens: int) -> Iterator[Section]:
    """Yield the sections, those under a quarter of a chunk joined with what follows them on the same page."""
    held: Section | None = None
    for section in found:
        if held is None:
            held = section
            continue
        size = len(held.starts) + len(section.starts)
        if len(held.starts) < chunk_tokens // 4 and size <= chunk_tokens * 3 // 4 and _adjoin(held, section):
            held = _joined(held, section)
        else:
            yield held
            held = section
    if held:
        yield held


def _joined(one: Section, two: Section) -> Section:
    at = two.document.metadata["start_index"] - one.document.metadata["start_index"]
    text = one.document.page_content  # what stands between sections is white space: any does for the blank lines
    joined = Document(
        page_content=text + "\n" * (at - len(text)) + two.document.page_content,
        metadata=one.document.metadata | {"section": _shared_path(one.document, two.document)},
    )
    return Section(joined, one.starts + array("L", (at + start for start in two.starts)))


def _adjoin(one: Section, two: Section) -> bool:
    first, second = one.document.metadata, two.document.metadata
    end = first["start_index"] + len(one.document.page_content)
    return bool(first["page"] == second["page"] and second["start_index"] >= end)


def _shared_path(first: Document, second: Document) -> str:
    """Return the headings that two joined sections have in common; both paths where that is none."""
    paths = [document.metadata["section"] for document in (first, second)]
    one, two = (path.split(" > ") for path in paths)
    shared = [a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, two, strict=False))]
    return " > ".join(shared) or " / ".join(filter(None, paths))


def _fit_path(section: str, count_tokens: Callable[[str], int], limit: int) -> str:
    """Return as much of the heading path as fits `limit` tokens: its deepest headings, the last one cut if need be."""
    path = section.split(" > ")
    while len(path) > 1 and count_tokens(" > ".join(path)) > limit:
        path.pop(0)
    section = " > ".join(path)
    while count_tokens(section) > limit:
        section = section[: len(section) // 2]
    return section


def _with_ids(chunks: list[Document]) -> list[Document]:
    """Give each chunk its id; the n-th of several equal chunks of one file counts its number in."""
    seen: dict[str, int] = {}
    for chunk in chunks:
        key = "\0".join((chunk.metadata["source"], chunk.metadata["section"], chunk.page_content))
        seen[key] = seen.get(key, 0) + 1
        chunk.id = blake2b(f"{key}\0{seen[key]}".encode(), digest_size=16).hexdigest()
    return chunks
