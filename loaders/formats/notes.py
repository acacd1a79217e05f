"""A notebook, a file of subtitles or an export of notes comes in; its text under its headings or times goes out."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from errors import DocumentError
from loaders.formats.encoding import text_of
from loaders.formats.reading import Reading, Stretch
from loaders.formats.sections import Block, html_blocks, in_sections

HEADING = re.compile(r"^(#{1,6})[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  # a terminal's colours, in which tracebacks are stored
LONGEST_OUTPUT = 5_000  # characters of one output: more of it is data, and not what was found in it
CUE = re.compile(r"^(?:(\d+):)?(\d\d):(\d\d)[.,]\d{3}[ \t]+-->")
HEAD = re.compile(r"^WEBVTT[ \t-]*")
VOICE, TAG = re.compile(r"<v(?:\.[^ >]*)?[ \t]+([^>]+)>"), re.compile(r"</?[a-z\d][^>]*>|\{\\[^}]*\}")
PASSAGE = 60  # seconds of speech in a stretch


def notebook_cells(path: Path, reading: Reading) -> Iterator[Stretch]:
    """Yield a stretch a heading: the cells in their order, code with what it printed."""
    try:
        cells = json.loads(text_of(path))["cells"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DocumentError(path, "not a Jupyter notebook", "save it anew in the format of version 4") from error
    return in_sections(block for cell in cells for block in _cell(cell))


def _cell(cell: dict[str, Any]) -> Iterator[Block]:
    source = _joined(cell.get("source")).strip()
    if cell.get("cell_type") != "markdown":
        yield from filter(_filled, [Block(source)])
        yield from filter(_filled, (Block(_output(output)) for output in cell.get("outputs", ())))
        return
    at = 0
    for match in HEADING.finditer(source):
        yield from filter(_filled, [Block(source[at : match.start()].strip())])
        yield Block(match[2], level=len(match[1]))
        at = match.end()
    yield from filter(_filled, [Block(source[at:].strip())])


def _filled(block: Block) -> bool:
    return bool(block.text)


def _output(output: dict[str, Any]) -> str:
    """Return what an output shows as text: what was printed, a result, an error with its trace."""
    text = _joined(output.get("text") or (output.get("data") or {}).get("text/plain") or output.get("traceback", ""))
    return ANSI.sub("", text).strip()[:LONGEST_OUTPUT]


def _joined(lines: str | list[str] | None) -> str:
    return lines if isinstance(lines, str) else "".join(lines or ())


def subtitles(path: Path, reading: Reading) -> Iterator[Stretch]:
    """Yield a stretch a minute of speech, each cue under its time and without its number; the section is the minute."""
    lines: list[str] = []
    began = now = 0
    for cue in re.split(r"\n[ \t]*\n", text_of(path).strip()):
        seconds, text = _cue(cue)
        now = now if seconds is None else seconds
        if lines and now >= began + PASSAGE:
            yield Stretch("\n".join(lines), _clock(began))
            lines = []
        began = began if lines else now
        spoken = [line for line in lines if "-->" not in line][-1:]
        said = [line for line in text if line not in spoken]  # rolling captions repeat the line before
        lines += said if any("-->" not in line for line in said) else []
    yield Stretch("\n".join(lines), _clock(began))


def _cue(cue: str) -> tuple[int | None, list[str]]:
    """Return when a cue begins, in seconds, its time and its lines; of a block without times a note or a title."""
    lines = cue.split("\n")
    for number, line in enumerate(lines):
        if time := CUE.match(line.strip()):
            hours, minutes, seconds = (int(part or 0) for part in time.groups())
            spoken = (TAG.sub("", VOICE.sub(r"\1: ", line)).strip() for line in lines[number + 1 :])
            return hours * 3600 + minutes * 60 + seconds, [line for line in [lines[number].strip(), *spoken] if line]
    first = lines[0].lstrip("\ufeff").strip()
    if first.startswith("NOTE"):  # which says that nobody speaks this
        return None, [line for line in [first, *map(str.strip, lines[1:])] if line]
    return None, [title] if (title := HEAD.sub("", first)) != first and title else []  # no styles and regions


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def evernote_notes(path: Path, reading: Reading) -> Iterator[Stretch]:
    """Yield the notes in their order, the title of each above its headings, with its date and tags."""
    from lxml import etree

    # a note's attachments stand in it as text of any length
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=True, huge_tree=True)
    root = etree.fromstring(path.read_bytes(), parser)
    for note in root.iter("note") if root is not None else ():
        title = " ".join((note.findtext("title") or "Untitled").split())
        about = {
            "Created": (note.findtext("created") or "")[:8],
            "Tags": ", ".join(t.text or "" for t in note.iter("tag")),
        }
        facts = "\n".join(f"{name}: {value}" for name, value in about.items() if value)
        body = [block for block in html_blocks(note.findtext("content") or "") if block.text]
        deeper = (block._replace(level=block.level and block.level + 1) for block in body)
        yield from in_sections([Block(title, level=1), *filter(_filled, [Block(facts)]), *deeper])
