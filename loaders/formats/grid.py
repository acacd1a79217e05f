"""A table of a web page comes in; its rows of cells, spanned ones in each row that they span, go out."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bs4 import Tag

WIDEST, TALLEST = 100, 10_000  # columns and rows that a cell is taken to span; pages have any number there


def table_grid(table: "Tag") -> tuple[list[list[str]], list[bool]]:
    """Return a table's rows as cells, one that spans rows in each of them, and whether a row is one of headings."""
    grid: list[list[str]] = []
    headers: list[bool] = []
    spans: dict[int, tuple[int, str]] = {}  # column → in how many more rows its cell stands
    for row in table.find_all("tr"):
        tags = row.find_all(["td", "th"])
        cells: list[str] = []
        for tag in tags:
            while len(cells) in spans:
                cells.append(_spanned(spans, len(cells)))
            text = " ".join(tag.get_text(" ").split())
            for extra in range(min(_span(tag, "colspan"), WIDEST)):
                if (rows := _span(tag, "rowspan")) > 1:
                    spans[len(cells)] = (rows - 1, text)
                cells.append("" if extra and tag.name == "td" else text)
        while len(cells) in spans:
            cells.append(_spanned(spans, len(cells)))
        grid.append(cells)
        headers.append(bool(tags) and all(tag.name == "th" for tag in tags))
    return grid, headers


def _spanned(spans: dict[int, tuple[int, str]], column: int) -> str:
    left, text = spans.pop(column)
    if left > 1:
        spans[column] = (left - 1, text)
    return text


def _span(tag: "Tag", name: str) -> int:
    value = str(tag.get(name, "1"))
    return int(value) if value.isascii() and value.isdecimal() and 0 < int(value) < TALLEST else 1
