"""A table's rows come in; a line a row goes out, each cell beside the name of its column where the table has names.

A row found by itself must still say what its cells are, and a chunk seldom holds the table's head.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from loaders.formats.sections import Block

NUMBER = re.compile(r"[^\w\s]*\d[\d\s.,:/%€$£+-]*\w{0,3}")  # 3, -1.5, 40 %, 2024-05-01, 12kg
LONGEST_NAME = 60  # in characters: longer first cells are text laid out in columns


def table_blocks(rows: Iterable[Sequence[str]], *, marked: bool = False) -> Iterator[Block]:
    """Yield a tight block a row: "a | b" for the first and for tables without names, else "name: a | other: b".

    marked says that the file itself calls the first row a header.
    """
    table = [row for cells in rows if any(row := [" ".join(cell.split()) for cell in cells])]
    names = table[0] if table and (marked or _named(table)) else []
    for number, row in enumerate(table):
        if number and names:
            cells = [f"{name}: {cell}" if name else cell for name, cell in zip(names, row, strict=False) if cell] + row[
                len(names) :
            ]
        else:
            cells = [cell for at, cell in enumerate(row) if not at or cell != row[at - 1] or not _spanned(row)]
        yield Block(" | ".join(filter(None, cells)), tight=True)


def _named(table: list[list[str]]) -> bool:
    """Say whether the first row names the columns.

    Its cells are filled, short, distinct and no numbers; and as two columns are as often names beside values, a
    column under two names must hold numbers.
    """
    if len(table) < 2 or len(table[0]) < 2:
        return False
    first, *rest = table
    if any(not name or len(name) > LONGEST_NAME or NUMBER.fullmatch(name) for name in first):
        return False
    if len(set(first)) < len(first):
        return False
    return len(first) > 2 or any(NUMBER.fullmatch(row[1]) for row in rest if len(row) > 1)


def _spanned(row: list[str]) -> bool:
    """Say whether one merged cell fills the row, which readers repeat once a column."""
    return len(set(row)) == 1


def html_table(html: str) -> list[list[str]]:
    """Return the rows of cells of a table that another reader rendered as HTML."""
    from lxml.html import fragment_fromstring

    rows = fragment_fromstring(html, create_parent=True).iter("tr")
    return [[str(cell.text_content()) for cell in row.iter("td", "th")] for row in rows]
