"""A file's Documents come in; chunks that keep headings with their text, with exact offsets and stable ids, go out.

A chunk's text is always a verbatim stretch of the file's text: `start` says where it begins.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from itertools import takewhile
from pathlib import PurePath

from langchain_core.documents import Document
from langchain_text_splitters import RecursiveCharacterTextSplitter

from loaders.cleaning import context
from sentences import SENTENCE_END, boundaries, trim

SEPARATORS = [r"\n\s*\n\s*", r"\n", SENTENCE_END, r"[;:,،，；、]\s*", r"\s+", ""]
MARKDOWN = frozenset({".md", ".markdown"})
HEADING = re.compile(
    r"^(#{1,6})[ \t]+(.+?)(?:[ \t]+#+)?[ \t]*$|^[ \t]*(`{3,}(?=[^`\n]*$)|~{3,})[ \t]*(\S?)", re.MULTILINE
)
WORD_START = re.compile(r"(?<=\s)\S")


def split_documents(
    documents: Iterable[Document], *, count_tokens: Callable[[str], int], chunk_tokens: int, overlap_tokens: int
) -> list[Document]:
    """Return chunks of at most `chunk_tokens` tokens, their heading included, in the file's order.

    Each chunk but a section's first repeats up to `overlap_tokens` tokens of the one before it. Sections too short to
    stand alone (a quarter of a chunk) join the next one on their page. Metadata: source, page, line, section,
    start. The id is a hash of source, section and text, so an edit elsewhere in the file leaves it as it is.
    """
    chunks: list[Document] = []
    for section in _join_short(_sections(documents), count_tokens, chunk_tokens):
        place = {key: section.metadata[key] for key in ("source", "page", "line", "section")}
        place["section"] = _fit_path(place["section"], count_tokens, chunk_tokens // 4)
        room = max(chunk_tokens - overlap_tokens - count_tokens(context(place)), 8)
        text, origin = section.page_content, section.metadata["start_index"]
        for start, end in _windows(text, count_tokens, room, overlap_tokens):
            at = {"start": origin + start, "line": place["line"] and place["line"] + text.count("\n", 0, start)}
            chunks.append(Document(page_content=text[start:end], metadata=place | at))
    return _with_ids(chunks)


def _sections(documents: Iterable[Document]) -> Iterator[Document]:
    """Yield the Documents as loaded; those of Markdown files cut at their headings, the heading path as section."""
    for document in documents:
        if PurePath(document.metadata["source"]).suffix.lower() not in MARKDOWN:
            yield document
            continue
        text, path, start, fenced = document.page_content, [""] * 6, 0, ""
        section = ""
        for match in HEADING.finditer(text):
            marks, title, fence, info = match.groups()
            if fence:
                if not fenced:
                    fenced = fence
                elif fence.startswith(fenced) and not info:
                    fenced = ""
            elif not fenced:
                yield _part(document, start, match.start(), section)
                start, level = match.start(), len(marks)
                path[level - 1 :] = [title, *[""] * (6 - level)]
                section = " > ".join(filter(None, path))
        yield _part(document, start, len(text), section)


def _part(document: Document, start: int, end: int, section: str) -> Document:
    text, before = document.page_content, document.metadata
    at = {"start_index": before["start_index"] + start, "line": before["line"] + text.count("\n", 0, start)}
    return Document(page_content=text[start:end], metadata=before | at | {"section": section})


def _join_short(
    sections: Iterable[Document], count_tokens: Callable[[str], int], chunk_tokens: int
) -> Iterator[Document]:
    """Yield the sections, those under a quarter of a chunk joined with what follows them on the same page."""
    held: Document | None = None
    size = 0
    for section in sections:
        if not section.page_content.strip():
            continue
        tokens = count_tokens(section.page_content)
        if held and size < chunk_tokens // 4 and size + tokens <= chunk_tokens * 3 // 4 and _adjoin(held, section):
            gap = section.metadata["start_index"] - _end(held)  # blank lines: all that stands between sections
            held = Document(
                page_content=held.page_content + "\n" * gap + section.page_content,
                metadata=held.metadata | {"section": _shared_path(held, section)},
            )
            size += tokens
            continue
        if held:
            yield held
        held, size = section, tokens
    if held:
        yield held


def _end(section: Document) -> int:
    return int(section.metadata["start_index"]) + len(section.page_content)


def _adjoin(first: Document, second: Document) -> bool:
    return bool(first.metadata["page"] == second.metadata["page"] and second.metadata["start_index"] >= _end(first))


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


def _windows(text: str, count_tokens: Callable[[str], int], room: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each chunk of a section: LangChain's recursive splitter tiles it, overlap reaches back."""
    splitter = RecursiveCharacterTextSplitter(
        separators=SEPARATORS,
        is_separator_regex=True,
        keep_separator="end",
        strip_whitespace=False,  # so that the tiles, put together, are the text: offsets are sums, not searches
        chunk_size=room,
        chunk_overlap=0,
        length_function=count_tokens,
    )
    before = at = 0
    held: tuple[int, int] | tuple[()] = ()
    for tile in splitter.split_text(text):
        start = _reach_back(text, before, at, count_tokens, overlap) if at else 0
        before, at = at, at + len(tile)
        span = trim(text, start, at)
        if held and span and span[0] > held[0]:  # else the next chunk holds all of it: a heading, a short first line
            yield held
        held = span or held
    if held:
        yield held


def _reach_back(text: str, lowest: int, start: int, count_tokens: Callable[[str], int], overlap: int) -> int:
    """Return the first sentence start, or else word start, from which the text up to `start` fits the overlap."""
    before = text[lowest:start]
    if count_tokens(before) <= overlap:
        return lowest
    for starts in (boundaries(before), (match.start() for match in WORD_START.finditer(before))):
        for at in starts:
            if at < len(before) and count_tokens(before[at:]) <= overlap:
                return lowest + at
    return start


def _with_ids(chunks: list[Document]) -> list[Document]:
    """Give each chunk its id; the n-th of several equal chunks of one file counts its number in."""
    seen: dict[str, int] = {}
    for chunk in chunks:
        key = "\0".join((chunk.metadata["source"], chunk.metadata["section"], chunk.page_content))
        seen[key] = seen.get(key, 0) + 1
        chunk.id = blake2b(f"{key}\0{seen[key]}".encode(), digest_size=16).hexdigest()
    return chunks
