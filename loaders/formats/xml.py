"""An XML file comes in; the text of its elements, a record or a heading a stretch, goes out."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loaders.formats.encoding import text_of
from loaders.formats.reading import Reading, Stretch
from loaders.formats.sections import JOINER, Block, html_blocks, in_sections

DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")  # its encoding is no longer true of decoded text
HEADINGS = frozenset({"title", "head", "heading", "article-title"})
NAMES = ("title", "name", "label", "id", "loc")  # of these children the first that a record has names it
HTML = re.compile(r"</?(?:p|br|div|a|ul|li|h\d|b|i|em|strong|img|span)\b[^>]*>", re.IGNORECASE)
LONGEST_NAME = 100  # characters


def xml_text(path: Path, reading: Reading) -> Iterator[Stretch]:
    """Yield prose under its titles; of data, such as feeds, a stretch a record, each line of it "name: value"."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True)
    text = DECLARATION.sub("", text_of(path), count=1)
    root = etree.fromstring(text.encode("utf-8", "replace"), parser)
    if any(_mixed(element) for element in root.iter(etree.Element)):
        yield from in_sections(_prose(root, 1))
        return
    records = _records(root)
    yield Stretch("\n".join(_lines(root, "", frozenset(records))))
    for number, record in enumerate(records, 1):
        section = next((words for name in NAMES if (words := _child_text(record, name))), f"{_name(record)} {number}")
        yield Stretch("\n".join(_lines(record, "", frozenset())), section[:LONGEST_NAME])


def _name(element: Any) -> str:
    """Return an element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]


def _children(element: Any) -> list[Any]:
    return [child for child in element if isinstance(child.tag, str)]


def _mixed(element: Any) -> bool:
    """Tell whether an element holds text beside other elements, as a paragraph with something in italics does."""
    texts = [element.text, *(child.tail for child in element)]
    return bool(_children(element)) and any(text and text.strip() for text in texts)


def _prose(element: Any, depth: int) -> Iterator[Block]:
    name, children = _name(element), _children(element)
    if name in HEADINGS:
        yield Block(" ".join("".join(element.itertext("*")).split()), level=depth)
    elif _mixed(element):
        yield Block(" ".join("".join(element.itertext("*")).split()))
    elif not children:
        yield Block((element.text or "").strip())
    for child in children if name not in HEADINGS and not _mixed(element) else ():
        yield from (block for block in _prose(child, depth + (name == "sec" or _titled(element))) if block.text)


def _titled(element: Any) -> bool:
    """Tell whether an element has a title of its own, so that those inside it rank below."""
    return any(_name(child) in HEADINGS for child in _children(element)) and element.getparent() is not None


def _records(root: Any) -> list[Any]:
    """Return the elements of one name that repeat right under the root or its children and have parts of their own."""
    best: list[Any] = []
    for parent in (root, *_children(root)):
        parts = [child for child in _children(parent) if _children(child) or child.attrib]
        common = Counter(child.tag for child in parts).most_common(1)
        if common and common[0][1] > max(len(best), 1):
            best = [child for child in parts if child.tag == common[0][0]]
    return best


def _child_text(element: Any, name: str) -> str:
    found = (child.text for child in _children(element) if _name(child) == name)
    return " ".join((next(found, "") or element.get(name, "")).split())


def _lines(element: Any, path: str, left_out: frozenset[Any]) -> Iterator[str]:
    """Yield a line a value: the names that lead to it, its attributes before a text, and the value."""
    text = (element.text or "").strip()
    given = {name.rpartition("}")[2]: value.strip() for name, value in element.attrib.items() if "}" not in name}
    if text:
        label = " ".join([path, *filter(None, given.values())])
        yield f"{label}: {_plain(text)}" if label else _plain(text)
    else:
        yield from (f"{path} {name}: {value}".strip() for name, value in given.items() if value)
    for child in _children(element):
        if child not in left_out:
            yield from _lines(child, f"{path}.{_name(child)}" if path else _name(child), left_out)


def _plain(text: str) -> str:
    """Return the words of HTML that stands in a feed as text, and any other text as it is."""
    return JOINER.join(block.text for block in html_blocks(text)) if HTML.search(text) else text
