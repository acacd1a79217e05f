"""Ranked chunks come in; passages, neighbours joined and each widened within its section, go out.

A passage's text is a verbatim stretch of its document, as a chunk's is: what could only be guessed is not joined.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableLambda

Neighbours = Callable[[str, int], Sequence[Document]]  # a chunk's id, how far → the chunks about it, in order
LEAST = 32  # tokens by which a chunk may be expected to widen a passage, at least


def build_passages(
    *,
    limit: int,
    parent_tokens: int = 0,
    neighbours: Neighbours = lambda id_, reach: (),
    count_tokens: Callable[[str], int] = len,
) -> Runnable[list[Document], list[Document]]:
    """Return a Runnable: chunks, best first → the passages that the best `limit` of them make, best first.

    Chunks of one page and section whose spans touch or overlap become one passage, with the rank and the score of the
    best; one that a passage holds already takes no room. `metadata["chunks"]` has the ids of all that were found in a
    passage, `metadata["hit"]` the span of the best one in characters of the document, `also_in` the other sources of
    any of them.

    parent_tokens: widen each passage to so many tokens, by whole chunks of its section on both sides alike. neighbours
    gives the chunks of the section up to so many places before and after one, that one among them.
    """

    def read(ranked: list[Document]) -> list[Document]:
        passages: dict[str, Document] = {}  # by the id of the best chunk, in the order of their ranks
        at_place: defaultdict[tuple[Any, ...], list[str]] = defaultdict(list)
        room = limit
        for chunk in ranked:
            place = tuple(chunk.metadata[key] for key in ("source", "page", "section"))
            beside, found = at_place[place], _passage(chunk)
            if not any(_holds(passages[id_], found) for id_ in beside):
                if not room:
                    break
                room -= 1
                if parent_tokens:
                    section = neighbours(str(chunk.id), parent_tokens // LEAST)
                    found = widened(found, section, parent_tokens, count_tokens)
            touching: list[str] = []
            for id_ in beside:
                if text := joined_text(passages[id_], found):
                    found = _joined(found, passages[id_], text) if touching else _joined(passages[id_], found, text)
                    touching.append(id_)
            for id_ in touching[1:]:  # the chunk closed the gap between two
                del passages[id_]
            passages[str(found.id)] = found
            at_place[place] = [id_ for id_ in dict.fromkeys([*beside, str(found.id)]) if id_ in passages]
        return list(passages.values())

    return RunnableLambda(read, name="passages")


def joined_text(one: Document, two: Document) -> str:
    """Return the verbatim text from the beginning of two passages to their end, or "" where what is between is unknown.

    Between chunks stands white space, or what was dropped. A gap of as many characters as lines holds nothing else.
    """
    first, second = sorted((one, two), key=lambda passage: int(passage.metadata["start"]))
    text, more = first.page_content, second.page_content
    shared = first.metadata["start"] + len(text) - second.metadata["start"]
    if shared >= 0:
        return text + more[shared:] if more.startswith(text[len(text) - shared :][: len(more)]) else ""
    lines = (second.metadata["line"] or 0) - (first.metadata["line"] or 0) - text.count("\n")
    return text + "\n" * lines + more if lines == -shared else ""


def widened(
    passage: Document, section: Sequence[Document], most_tokens: int, count_tokens: Callable[[str], int]
) -> Document:
    """Return the passage with whole chunks about it, evenly on both sides, of at most `most_tokens` tokens in all."""
    at = next((at for at, chunk in enumerate(section) if chunk.id == passage.id), None)
    if at is None:
        return passage
    sides = {-1: iter(section[at - 1 :: -1] if at else ()), 1: iter(section[at + 1 :])}
    total, added = count_tokens(passage.page_content), {-1: 0, 1: 0}
    while sides:
        side = min(sides, key=lambda side: added[side])
        chunk = next(sides[side], None)
        text = joined_text(passage, chunk) if chunk else ""
        size = count_tokens(_more(text, passage.page_content, side))
        if chunk is None or not text or total + size > most_tokens:
            del sides[side]
            continue
        total, added[side] = total + size, added[side] + size
        passage = _spanning(passage, chunk, text)
    return passage


def _more(text: str, part: str, side: int) -> str:
    """Return what a text has more than its beginning, or with side -1 than its end."""
    return text[len(part) :] if side > 0 else text[: len(text) - len(part)]


def _spanning(passage: Document, other: Document, text: str) -> Document:
    """Return the passage with the text, and its place, that it has together with another."""
    first = min((passage, other), key=lambda part: int(part.metadata["start"]))
    place = {key: first.metadata[key] for key in ("start", "line")}
    return Document(id=passage.id, page_content=text, metadata=passage.metadata | place)


def _joined(best: Document, other: Document, text: str) -> Document:
    """Return two passages as one, under the id, the score and the hit of the first."""
    found = _spanning(best, other, text)
    for key in ("chunks", "also_in"):
        found.metadata[key] = list(dict.fromkeys([*best.metadata[key], *other.metadata[key]]))
    return found


def _passage(chunk: Document) -> Document:
    start = chunk.metadata["start"]
    more = {"chunks": [chunk.id], "hit": (start, start + len(chunk.page_content))}
    return Document(id=chunk.id, page_content=chunk.page_content, metadata=chunk.metadata | more)


def _holds(passage: Document, chunk: Document) -> bool:
    start, at = passage.metadata["start"], chunk.metadata["hit"]
    return bool(start <= at[0] and at[1] <= start + len(passage.page_content))


def as_found(name: str, text: str, title: str = "") -> Document:
    """Return the text with the metadata of a passage that a search found, as if it were a file of its own."""
    place = {"source": name, "page": None, "line": 1, "section": title, "start": 0}
    found = {"also_in": [], "chunks": [name], "hit": (0, len(text)), "score": 1.0}
    return Document(id=name, page_content=text, metadata=place | found)


def narrowed(passage: Document) -> Document:
    """Return the part of a passage that was found, its scored sentences cut to it; one without `hit` as it is."""
    at = passage.metadata
    if not is_wide(passage):
        return passage
    start, end = (place - at["start"] for place in at["hit"])
    line = at["line"] and at["line"] + passage.page_content.count("\n", 0, start)
    place = {"start": at["hit"][0], "line": line, "chunks": [passage.id]}
    sentences = {"sentences": list(_cut(at["sentences"], *at["hit"]))} if "sentences" in at else {}
    return Document(id=passage.id, page_content=passage.page_content[start:end], metadata=at | place | sentences)


def is_wide(passage: Document) -> bool:
    """Tell whether a passage is more than the chunk that was found."""
    start, end = passage.metadata.get("hit", (0, len(passage.page_content)))
    return bool(end - start < len(passage.page_content))


def _cut(sentences: Sequence[Any], start: int, end: int) -> Iterator[Any]:
    """Yield the scored sentences (chains/evidence.py) in the span, those at its ends cut."""
    for sentence in sentences:
        first, last = max(sentence.start, start), min(sentence.start + len(sentence.text), end)
        if first < last:
            text = sentence.text[first - sentence.start : last - sentence.start]
            line = sentence.line and sentence.line + sentence.text.count("\n", 0, first - sentence.start)
            yield replace(sentence, start=first, line=line, text=text)
