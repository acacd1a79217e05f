"""The XML of a chart or diagram in an Office file comes in; its title, its figures and its words go out.

No loader reads them, and a slide's figures are often nowhere else.
"""

from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING

from loaders.formats.sections import Block
from loaders.formats.tables import table_blocks

if TYPE_CHECKING:
    from lxml.etree import _Element

C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"


def drawn_blocks(part: "_Element") -> Iterator[Block]:
    """Yield a diagram's paragraphs, or a chart's titles and a row for each category, under the names of its series."""
    for paragraph in part.iter(A + "p"):
        if text := "".join(t.text or "" for t in paragraph.iter(A + "t")).strip():
            yield Block(text)
    columns: list[list[str]] = []
    names: list[str] = []
    labels: list[str] = []
    for series in part.iter(C + "ser"):
        names.append(" ".join(_values(series, "tx")))
        labels = max(labels, _values(series, "cat") or _values(series, "xVal"), key=len)
        columns.append(_values(series, "val") or _values(series, "yVal"))
    rows = [[cell or "" for cell in row] for row in zip_longest(labels, *columns)] if columns else []
    yield from table_blocks([["category", *names], *rows] if rows else [], marked=True)


def _values(series: "_Element", part: str) -> list[str]:
    found = series.find(C + part)
    return [] if found is None else [value.text or "" for value in found.iter(C + "v")]
