"""Files' new chunks come in; the catalog holds them, repeated ones marked, and what that changes for search goes out.

Chunks stand in the order of their sources' paths and, within a file, of their positions. A chunk is kept when no
earlier kept one holds the same text, or nearly; else it is dropped and points to the first that does. So the catalog is
a function of the files alone: whatever order they came in, it equals one that was built from scratch.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from loaders import keywords
from loaders.catalog import Catalog, SourceState, batches
from loaders.cleaning import searchable
from loaders.duplicates import in_context, is_near
from loaders.entries import Drop, Entry

UNSETTLED = -1  # in the column kept_by: not compared with the others yet


class Placed(NamedTuple):
    """A chunk's place in the order of all chunks, and its row."""

    source: str
    position: int
    row: int


@dataclass
class Changes:
    """What a transaction changed for search: the ids that leave it, and the ids that enter it with their text.

    `settle` comes last: it writes the rows that leave and enter the keyword index, with their text, all at once.
    """

    gone: set[str] = field(default_factory=set)
    new: dict[str, str] = field(default_factory=dict)
    unsettled: set[int] = field(default_factory=set)
    leaving: dict[int, str] = field(default_factory=dict)
    entering: dict[int, str] = field(default_factory=dict)


def replace_source(
    catalog: Catalog, state: SourceState, entries: Sequence[Entry], drops: Sequence[Drop], changes: Changes
) -> None:
    """Put a file's chunks in the place of its old ones; a chunk that it had before keeps its row."""
    catalog.write_source(state)
    catalog.rows("DELETE FROM drops WHERE source = ?", (state.source,))
    catalog.connection.executemany("INSERT INTO drops VALUES (?, ?, ?, ?, ?)", [(state.source, *d) for d in drops])
    rows = catalog.rows("SELECT id, rowid, position FROM chunks WHERE source = ?", (state.source,))
    known = {id_: (row, position) for id_, row, position in rows}
    _remove(catalog, known.keys() - {entry.id for entry in entries}, changes)
    last = -1
    for position, entry in enumerate(entries):
        if entry.id not in known:
            changes.unsettled.add(_insert(catalog, state.source, position, entry))
            continue
        row, before = known[entry.id]
        if before < last:  # the file's chunks changed places, and with them which of two equal ones stands first
            changes.unsettled.update(found for found, _ in known.values())
        last = max(last, before)
        catalog.connection.execute(
            "UPDATE chunks SET position = ?, page = ?, line = ?, start = ? WHERE rowid = ?",
            (position, entry.page, entry.line, entry.start, row),
        )


def remove_source(catalog: Catalog, source: str, changes: Changes) -> None:
    """Forget a file and its chunks."""
    _remove(catalog, [row[0] for row in catalog.rows("SELECT id FROM chunks WHERE source = ?", (source,))], changes)
    for table in ("sources", "drops", "fields"):
        catalog.rows(f"DELETE FROM {table} WHERE source = ?", (source,))  # noqa: S608


def settle(catalog: Catalog, least_similarity: float, changes: Changes) -> None:
    """Decide for each unsettled chunk, and for each later one that this concerns, whether it is kept.

    `least_similarity` is that of near-duplicates (`loaders.duplicates.is_near`); 1 drops equal texts only, 0 nothing.
    """
    heap = [Placed(*row) for part in batches(list(changes.unsettled)) for row in _places(catalog, part)]
    changes.unsettled.clear()
    heapq.heapify(heap)
    done: Placed | None = None
    while heap:
        item = heapq.heappop(heap)
        if item == done:
            continue
        done = item
        sql = "SELECT id, kept_by, exact, section, text FROM chunks WHERE rowid = ?"
        ((id_, before, exact, section, text),) = catalog.rows(sql, (item.row,))
        keeper = _first_kept_before(catalog, item, exact, in_context(section, text), least_similarity)
        if keeper == before:
            continue
        catalog.connection.execute("UPDATE chunks SET kept_by = ? WHERE rowid = ?", (keeper, item.row))
        later: list[tuple[object, ...]] = []
        if keeper is None:
            _enter(catalog, id_, item.row, changes)
            later = _later_neighbours(catalog, item, exact) if least_similarity else []
        elif before is None:
            _leave(catalog, id_, item.row, changes)
            later = catalog.rows("SELECT source, position, rowid FROM chunks WHERE kept_by = ?", (item.row,))
        for found in later:
            heapq.heappush(heap, Placed(*found))  # type: ignore[arg-type]
    keywords.update(catalog.connection, changes.leaving, changes.entering)
    changes.leaving.clear()
    changes.entering.clear()


def rebuild_keywords(catalog: Catalog) -> None:
    """Make the keyword index anew from the chunks."""
    keywords.drop(catalog.connection)
    keywords.create(catalog.connection)
    rows = catalog.rows("SELECT id, rowid FROM chunks WHERE kept_by IS NULL ORDER BY rowid")
    for part in batches(rows):
        texts = [searchable(chunk) for chunk in catalog.chunks([id_ for id_, _ in part])]
        keywords.update(catalog.connection, {}, dict(zip([row for _, row in part], texts, strict=True)))


def _first_kept_before(catalog: Catalog, item: Placed, exact: str, text: str, least: float) -> int | None:
    """Return the row of the first kept chunk before `item` that holds its text, or nearly; None where there is none."""
    if not least:
        return None
    place = (item.source, item.position)
    first = "AND c.kept_by IS NULL AND (c.source, c.position) < (?, ?) ORDER BY c.source, c.position"
    same = catalog.rows(f"SELECT c.rowid FROM chunks c WHERE c.exact = ? {first} LIMIT 1", (exact, *place))  # noqa: S608
    if same:  # its earlier near-duplicates would have stood for this one too
        return int(same[0][0])
    bands = _bands(catalog, item.row) if least < 1 else []
    if not bands:
        return None
    sql = (
        "SELECT DISTINCT c.rowid, c.section, c.text FROM bands b CROSS JOIN chunks c ON c.rowid = b.chunk"  # noqa: S608
        f" WHERE b.band IN ({','.join('?' * len(bands))}) AND b.kept = 1 {first}"
    )
    candidates = catalog.rows(sql, (*bands, *place))
    near = (row for row, section, other in candidates if is_near(in_context(section, other), text, least))
    return next(near, None)


def _later_neighbours(catalog: Catalog, item: Placed, exact: str) -> list[tuple[object, ...]]:
    """Return the places of the chunks behind `item` that could be its duplicates."""
    place, later = (item.source, item.position), "(c.source, c.position) > (?, ?)"
    what = "c.source, c.position, c.rowid"
    found = catalog.rows(f"SELECT {what} FROM chunks c WHERE c.exact = ? AND {later}", (exact, *place))  # noqa: S608
    bands = _bands(catalog, item.row)
    sql = (
        f"SELECT DISTINCT {what} FROM bands b CROSS JOIN chunks c ON c.rowid = b.chunk"  # noqa: S608
        f" WHERE b.band IN ({','.join('?' * len(bands))}) AND b.kept IN (0, 1) AND {later}"
    )
    return found + (catalog.rows(sql, (*bands, *place)) if bands else [])


def _enter(catalog: Catalog, id_: str, row: int, changes: Changes) -> None:
    (chunk,) = catalog.chunks([id_])
    text = searchable(chunk)
    if changes.leaving.get(row) == text:
        del changes.leaving[row]
    else:  # the row may be that of another chunk, which has left
        changes.entering[row] = text
    _mark_bands(catalog, row, kept=True)
    changes.new[id_] = text
    changes.gone.discard(id_)


def _leave(catalog: Catalog, id_: str, row: int, changes: Changes) -> None:
    (chunk,) = catalog.chunks([id_])
    if changes.entering.pop(row, None) is None:
        changes.leaving[row] = searchable(chunk)
    _mark_bands(catalog, row, kept=False)
    if changes.new.pop(id_, None) is None:
        changes.gone.add(id_)


def _insert(catalog: Catalog, source: str, position: int, entry: Entry) -> int:
    sql = (
        "INSERT INTO chunks (id, source, position, page, line, section, start, text, vector_key, exact, kept_by)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    )
    at = (entry.page, entry.line, entry.section, entry.start, entry.text, entry.vector_key, entry.exact, UNSETTLED)
    row = catalog.connection.execute(sql, (entry.id, source, position, *at)).lastrowid or 0
    catalog.connection.executemany("INSERT INTO bands VALUES (?, 0, ?)", [(band, row) for band in set(entry.bands)])
    return row


def _remove(catalog: Catalog, ids: Iterable[str], changes: Changes) -> None:
    for id_ in ids:
        ((row, keeper),) = catalog.rows("SELECT rowid, kept_by FROM chunks WHERE id = ?", (id_,))
        if keeper is None:
            _leave(catalog, id_, row, changes)
            changes.unsettled.update(r[0] for r in catalog.rows("SELECT rowid FROM chunks WHERE kept_by = ?", (row,)))
        catalog.rows("DELETE FROM bands WHERE chunk = ?", (row,))
        catalog.rows("DELETE FROM chunks WHERE rowid = ?", (row,))


def _bands(catalog: Catalog, row: int) -> list[int]:
    return [found[0] for found in catalog.rows("SELECT band FROM bands WHERE chunk = ?", (row,))]


def _mark_bands(catalog: Catalog, row: int, *, kept: bool) -> None:
    catalog.connection.execute("UPDATE bands SET kept = ? WHERE chunk = ?", (int(kept), row))


def _places(catalog: Catalog, rows: Sequence[int]) -> list[tuple[str, int, int]]:
    marks = ",".join("?" * len(rows))
    return catalog.rows(f"SELECT source, position, rowid FROM chunks WHERE rowid IN ({marks})", rows)  # noqa: S608
