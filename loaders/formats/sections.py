"""A page's HTML, or blocks read by another loader, come in; stretches of text under their headings go out.

Our own HTML reader: UnstructuredHTMLLoader (0.27) loses words in nested inline tags, BSHTMLLoader all headings.
"""

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from loaders.formats.reading import Stretch

if TYPE_CHECKING:
    from bs4 import Tag

JOINER = "\n\n"  # stands between two blocks of a stretch, and between two stretches of a file
HEADINGS = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6}
DROPPED = ["script", "style", "noscript", "template", "svg", "nav", "footer", "aside", "head"]
BLOCKS = set(
    "address article blockquote body center dd details div dl dt fieldset figcaption figure form header "  # noqa: SIM905
    "hr html legend li main ol p pre section summary table tbody td tfoot th thead tr ul".split()
)


class Block(NamedTuple):
    """A paragraph (level 0) or heading (from 1); no blank line between tight ones: list items, table rows."""

    text: str
    level: int = 0
    tight: bool = False


def in_sections(blocks: Iterable[Block]) -> Iterator[Stretch]:
    """Group blocks under their headings; a heading directly followed by a deeper one stays with it."""
    path: list[Block] = []
    held: list[Block] = []
    for block in blocks:
        if block.level:
            if held and not 0 < held[-1].level < block.level:
                yield _stretch(held, path)
                held = []
            path = [*(b for b in path if b.level < block.level), block]
        held.append(block)
    if held:
        yield _stretch(held, path)


def _stretch(blocks: list[Block], path: list[Block]) -> Stretch:
    text = blocks[0].text
    for before, block in itertools.pairwise(blocks):
        text += ("\n" if before.tight and block.tight else JOINER) + block.text
    return Stretch(text, " > ".join(" ".join(heading.text.split()) for heading in path))


def html_blocks(html: bytes | str) -> list[Block]:
    """Return a page's text without navigation, asides and footers; <title> heads it where there is no h1."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(html, "lxml")
    title = " ".join(soup.title.get_text().split()) if soup.title else ""
    for tag in soup(DROPPED):
        tag.decompose()
    blocks = [block for block in _blocks(soup, tight=False) if block.text]
    if title and not any(block.level == 1 for block in blocks):
        blocks.insert(0, Block(title, level=1))
    return blocks


def _blocks(tag: "Tag", *, tight: bool) -> Iterator[Block]:
    inline: list[str] = []
    for part in _parts(tag):
        if isinstance(part, str):
            inline.append(part)
            continue
        yield Block(_lines(inline), tight=tight)
        inline = []
        if part.name in HEADINGS:
            yield Block(" ".join(part.get_text().split()), level=HEADINGS[part.name])
        elif part.name == "pre":
            yield Block(part.get_text().strip("\n"))
        elif part.name == "table" and not part.find(["table", *HEADINGS]):  # else it lays out the page
            yield from _rows(part)
        else:
            yield from _blocks(part, tight=part.name in ("li", "dt", "dd"))
    yield Block(_lines(inline), tight=tight)


def _parts(tag: "Tag") -> Iterator["str | Tag"]:
    """Yield a tag's running text and block tags in order, looking through inline tags such as <b>."""
    from bs4.element import CData, NavigableString, Tag

    for child in tag.children:
        if isinstance(child, Tag):
            if child.name == "br":
                yield "\n"
            elif child.name in BLOCKS or child.name in HEADINGS:
                yield child
            else:
                yield from _parts(child)
        elif type(child) in (NavigableString, CData):  # its other subclasses are comments and declarations
            yield re.sub(r"\s+", " ", str(child))


def _rows(table: "Tag") -> Iterator[Block]:
    if table.caption:
        yield Block(" ".join(table.caption.get_text().split()))
    for row in table.find_all("tr"):
        cells = [" ".join(cell.get_text(" ").split()) for cell in row.find_all(["td", "th"])]
        yield Block(" | ".join(cells) if any(cells) else "", tight=True)


def _lines(inline: list[str]) -> str:
    return "\n".join(" ".join(line.split()) for line in "".join(inline).split("\n")).strip()
