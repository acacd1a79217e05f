"""A page's HTML, or blocks read by another loader, come in; stretches of text under their headings go out.

Our own HTML reader: UnstructuredHTMLLoader (0.27) loses words in nested inline tags, BSHTMLLoader all headings.
"""

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from loaders.formats.grid import table_grid
from loaders.formats.reading import Stretch

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

JOINER = "\n\n"  # stands between two blocks of a stretch, and between two stretches of a file
HEADINGS = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6}
DROPPED = [
    *("script", "style", "noscript", "template", "svg", "nav", "head", "select", "datalist", "button", "dialog"),
]
# what a page has besides its text, by the roles, names and states that say so
HIDDEN = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden)(?![^;\"]*var\()", re.IGNORECASE)
ROLES = frozenset({"navigation", "banner", "search", "menu", "menubar", "contentinfo", "dialog", "alertdialog"})
ASIDE = ("aside", "footer")  # navigation as often as text
NOISE = re.compile(
    r"(?:^|[-_\s])(?:nav|navbar|navigation|menu|breadcrumbs?|sidebar|cookies?|cookiebar|consent|gdpr|share|sharing|social|"
    r"pagination|pager|skip-?link|advert|ads?)(?:$|[-_\s])",
    re.IGNORECASE,
)
MOST_LINKED = 0.5  # of the characters of an aside in an article
MOST_IN_ONE, MOST_IN_ALL = 0.3, 0.7  # of a page's text: what is more is the page, whatever its class is called
LONGEST_START = 6  # digits
BLOCKS = set(
    "address article aside blockquote body center dd details div dl dt fieldset figcaption figure footer form header "  # noqa: SIM905
    "hr html legend li main ol p pre section summary table tbody td tfoot th thead tr ul".split()
)


FRONT = -1  # the level of a text that stands above the first heading and goes with it, such as a page's title


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
        if block.level > 0:
            if held and (not held[-1].level or held[-1].level >= block.level):
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
    """Return a page's text without navigation; <title> heads it where there is no h1, or stands above the h1."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(html, "lxml")
    title = " ".join(soup.title.get_text().split()) if soup.title else ""
    for tag in soup(DROPPED):
        tag.decompose()
    for tag in soup(ASIDE):
        if not tag.decomposed and _leads_away(tag):
            tag.decompose()
    _drop_boilerplate(soup)
    blocks = [block for block in _blocks(soup, tight=False) if block.text]
    tops = " ".join(block.text for block in blocks if block.level == 1)
    if title and title.casefold() not in tops.casefold():
        blocks.insert(0, Block(title, level=FRONT if tops else 1))
    return blocks


def _leads_away(tag: "Tag") -> bool:
    """Tell whether an aside or footer is there for its links: any of the page's own, or one of mostly links."""
    linked = sum(len(link.get_text()) for link in tag("a"))
    return linked > MOST_LINKED * len(tag.get_text()) if tag.find_parent(["article", "main"]) else bool(tag.a)


def _drop_boilerplate(soup: "BeautifulSoup") -> None:
    """Take out what is hidden, and what is called a menu, a cookie banner and the like, but never most of a page."""
    size, noise = len(soup.get_text()), []
    seen: set[int] = set()  # what is inside of noise goes with it
    for tag in soup.find_all(True):
        if id(tag.parent) in seen:
            seen.add(id(tag))
        elif tag.name not in ("html", "body", "main", "article") and _is_noise(tag):
            seen.add(id(tag))
            noise.append(tag)
    sizes = [len(tag.get_text()) for tag in noise]
    for tag, length in zip(noise, sizes, strict=True):
        if length < MOST_IN_ONE * size and sum(sizes) < MOST_IN_ALL * size:
            tag.decompose()


def _is_noise(tag: "Tag") -> bool:
    if tag.has_attr("hidden") or tag.get("aria-hidden") == "true" or HIDDEN.search(str(tag.get("style", ""))):
        return True
    if str(tag.get("role", "")).lower() in ROLES:
        return True
    names = " ".join([*(tag.get("class") or []), str(tag.get("id", ""))])
    return bool(NOISE.search(names)) and not tag.find("h1")


def _blocks(tag: "Tag", *, tight: bool) -> Iterator[Block]:
    inline: list[str] = []
    number = _first(tag) - 1
    for part in _parts(tag):
        if isinstance(part, str):
            inline.append(part)
            continue
        yield Block(_lines(inline), tight=tight)
        inline = []
        if part.name == "li" and tag.name == "ol":
            yield from _numbered(part, number := number + 1)
        elif part.name in HEADINGS:
            yield Block(" ".join(part.get_text().split()), level=HEADINGS[part.name])
        elif part.name == "pre":
            yield Block(part.get_text().strip("\n"))
        elif part.name == "table" and not part.find(["table", *HEADINGS]):  # else it lays out the page
            yield from _rows(part)
        else:
            yield from _blocks(part, tight=part.name in ("li", "dt", "dd"))
    yield Block(_lines(inline), tight=tight)


def _first(tag: "Tag") -> int:
    """Return the number that a list begins with."""
    start = str(tag.get("start", ""))
    return int(start) if start.isascii() and start.isdecimal() and len(start) < LONGEST_START else 1


def _numbered(item: "Tag", number: int) -> Iterator[Block]:
    """Yield the blocks of a list's item, the first text of which shows its number, as it does on the page."""
    label = f"{number}. "
    for block in _blocks(item, tight=True):
        yield Block(label + block.text, block.level, tight=True) if label and block.text else block
        label = "" if block.text else label


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
    """Yield a table's caption and rows, each cell of a row with the heading of its column where there is one."""
    if table.caption:
        yield Block(" ".join(table.caption.get_text().split()))
    grid, headers = table_grid(table)
    names: list[str] = []
    for number, (cells, header) in enumerate(zip(grid, headers, strict=True)):
        if header and not all(headers[number:]):
            above = itertools.zip_longest(names, cells, fillvalue="") if number and headers[number - 1] else None
            names = [" ".join(dict.fromkeys(filter(None, pair))) for pair in above] if above else cells
            continue
        labelled = (f"{name}: {cell}" if name and cell else cell for name, cell in zip(names, cells, strict=False))
        kept = [*labelled, *cells[len(names) :]] if names else cells
        kept = list(filter(None, kept)) if names else kept
        yield Block(" | ".join(kept) if any(cells) else "", tight=True)


def _lines(inline: list[str]) -> str:
    return "\n".join(" ".join(line.split()) for line in "".join(inline).split("\n")).strip()
