"""A PowerPoint file from before 2007 (.ppt) comes in; the text of its slides goes out.

Our own reader of the records that [MS-PPT] describes, because the open ones bring a runtime of 76 MB or ten packages
for the same words (figures in benchmarks/README.md).
"""

import struct
from collections.abc import Iterator
from pathlib import Path

from errors import DocumentError
from loaders.formats.reading import Stretch

SLIDE_LIST, SLIDE_AT, SLIDE_NOTES = 0x0FF0, 0x03F3, 0x03F1
TEXT_KIND, WIDE_TEXT, NARROW_TEXT, OUTLINE_TEXT = 0x0F9F, 0x0FA0, 0x0FA8, 0x0F9E
TITLES = (0, 6)
DEEPEST = 30  # containers in containers; drawings nest groups
Record = tuple[int, int, int, int]  # kind, instance, begin, end


def ppt_slides(path: Path) -> Iterator[Stretch]:
    """Yield a stretch a slide under its title, its notes last."""
    import olefile

    with olefile.OleFileIO(path) as file:
        if not file.exists("PowerPoint Document") or not file.exists("Current User"):
            raise DocumentError(path, "no PowerPoint slides inside", "give the file its true suffix")
        data = file.openstream("PowerPoint Document").read()
        (edit,) = struct.unpack_from("<I", file.openstream("Current User").read(), 16)
    places, document = _places(data, edit)
    lists = {
        record[1]: record for record in _records(data, *_inside(data, places[document])) if record[0] == SLIDE_LIST
    }
    notes = {}
    for at, _, _ in _listed(data, lists.get(2)):
        if at in places:
            begin, end = _inside(data, places[at])
            slide = next((r for r in _records(data, begin, end) if r[0] == SLIDE_NOTES), None)
            if slide:
                notes[struct.unpack_from("<I", data, slide[2])[0]] = _texts(data, begin, end, [])
    for number, (at, identity, outline) in enumerate(_listed(data, lists.get(0)), 1):
        texts = _texts(data, *_inside(data, places[at]), outline) if at in places else outline
        title = next((text for kind, text in texts if kind in TITLES), "")
        spoken = [text for _, text in notes.get(identity, [])]
        yield Stretch("\n".join([text for _, text in texts] + spoken), " ".join(title.split()), number)


def _places(data: bytes, edit: int) -> tuple[dict[int, int], int]:
    """Return where each object lies since the last edit, by its number, and the document's number."""
    places: dict[int, int] = {}
    seen: set[int] = set()
    document = 0
    while edit and edit not in seen:
        seen.add(edit)
        before, directory, first = struct.unpack_from("<III", data, edit + 16)
        document = document or first
        at, end = _inside(data, directory)
        while at + 4 <= end:
            (head,) = struct.unpack_from("<I", data, at)
            start, count = head & 0xFFFFF, head >> 20
            for number, place in enumerate(struct.unpack_from(f"<{count}I", data, at + 4), start):
                places.setdefault(number, place)
            at += 4 + 4 * count
        edit = before
    return places, document


def _inside(data: bytes, at: int) -> tuple[int, int]:
    (size,) = struct.unpack_from("<I", data, at + 4)
    return at + 8, min(at + 8 + size, len(data))


def _records(data: bytes, begin: int, end: int, depth: int = 0) -> Iterator[Record]:
    """Yield the records in a container in order, those in its containers after each of them."""
    while begin + 8 <= end:
        head, kind, size = struct.unpack_from("<HHI", data, begin)
        inner, begin = begin + 8, min(begin + 8 + size, end)
        yield kind, head >> 4, inner, begin
        if head & 15 == 15 and depth < DEEPEST:
            yield from _records(data, inner, begin, depth + 1)


def _listed(data: bytes, record: Record | None) -> Iterator[tuple[int, int, list[tuple[int, str]]]]:
    """Yield each slide's object number, its identity and its texts in the outline."""
    slides: list[tuple[int, int, list[tuple[int, str]]]] = []
    kind = -1
    for found in _records(data, *record[2:]) if record else ():
        if found[0] == SLIDE_AT:
            at, _, _, identity = struct.unpack_from("<4I", data, found[2])
            slides.append((at, identity, []))
        elif found[0] == TEXT_KIND:
            (kind,) = struct.unpack_from("<I", data, found[2])
        elif slides and found[0] in (WIDE_TEXT, NARROW_TEXT):
            slides[-1][2].append((kind, _text(data, found)))
    yield from slides


def _texts(data: bytes, begin: int, end: int, outline: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Return (kind, text) of each box on a slide; a box may only point into the outline."""
    found, kind = [], -1
    for record in _records(data, begin, end):
        if record[0] == TEXT_KIND:
            (kind,) = struct.unpack_from("<I", data, record[2])
        elif record[0] in (WIDE_TEXT, NARROW_TEXT):
            found.append((kind, _text(data, record)))
        elif record[0] == OUTLINE_TEXT:
            (number,) = struct.unpack_from("<I", data, record[2])
            found += outline[number : number + 1]
    return [(kind, text) for kind, text in found if text]


def _text(data: bytes, record: Record) -> str:
    encoding = "utf-16-le" if record[0] == WIDE_TEXT else "latin-1"
    text = data[record[2] : record[3]].decode(encoding, "replace")
    return text.replace("\r", "\n").replace("\x0b", "\n").strip()
