"""A generation's directory comes in; what is damaged in it goes out, a line for each thing.

The examination runs in a process of its own: damaged files make Chroma 1.5.9 abort it, or answer wrongly without an
error, which only stored vectors that no longer find themselves give away.
"""

import sqlite3
from pathlib import Path

from errors import RagError
from loaders import keywords
from loaders.parsing import SpawnContext
from loaders.store import Store

CANARIES = 64
SECONDS = 600.0
TRUTH = "the catalog itself"  # how a line begins when no rebuilding from the catalog helps


def examine(directory: Path) -> list[str]:
    """Compare the vector index and the keyword index with the catalog, in a child process that may die of it."""
    from pebble import ProcessExpired, ProcessPool

    with ProcessPool(max_workers=1, context=SpawnContext()) as pool:
        try:
            found: list[str] = pool.schedule(damage, args=(directory,), timeout=SECONDS).result()
        except ProcessExpired as error:
            return [f"the vector index is so damaged that it ends the program (exit code {error.exitcode})"]
        except TimeoutError:
            pool.stop()  # type: ignore[no-untyped-call]
            return [f"the vector index did not answer within {SECONDS:.0f} s"]
    return found


def damage(directory: Path) -> list[str]:
    """Return a line for each thing that is wrong in the generation, in this process."""
    try:
        store = Store(directory)
    except sqlite3.DatabaseError as error:
        return [f"{TRUTH} can't be read ({error})"]
    except RagError as error:
        return [error.reason]
    try:
        return [*catalog_damage(store), *keyword_damage(store), *vector_damage(store)]
    except RagError as error:
        return [error.reason]
    finally:
        store.close()


def catalog_damage(store: Store) -> list[str]:
    """Return what is wrong in the catalog, which nothing can be rebuilt from then."""
    verdict = store.catalog.rows("PRAGMA quick_check(1)")[0][0]
    lines = [] if verdict == "ok" else [f"{TRUTH} is damaged ({verdict})"]
    sql = (
        "SELECT count(*) FROM chunks WHERE kept_by IS NULL AND vector_key NOT IN (SELECT key FROM vectors)"
        " UNION ALL SELECT count(*) FROM chunks WHERE source NOT IN (SELECT source FROM sources)"
        " UNION ALL SELECT count(*) FROM chunks WHERE kept_by NOT IN (SELECT rowid FROM chunks WHERE kept_by IS NULL)"
    )
    wrong = ("have no vector", "belong to no source", "point to a copy that is not there")
    for what, (count,) in zip(wrong, store.catalog.rows(sql), strict=True):
        if count:
            lines.append(f"{TRUTH} is inconsistent: {count} chunks {what}")
    return lines


def keyword_damage(store: Store) -> list[str]:
    """Return what is wrong in the keyword index."""
    try:
        held = keywords.rows(store.catalog.connection)
        wrong = keywords.miscounted(store.catalog.connection)
    except sqlite3.DatabaseError as error:
        return [f"the keyword index is damaged ({error})"]
    wanted = {row for (row,) in store.catalog.rows("SELECT rowid FROM chunks WHERE kept_by IS NULL")}
    missing, stray = len(wanted - held), len(held - wanted)
    lines = [f"{missing} chunks are missing from the keyword index"] if missing else []
    lines += [f"{stray} rows of the keyword index belong to no chunk"] if stray else []
    return lines + ([f"{wrong} terms of the keyword index have lost chunks"] if wrong else [])


def vector_damage(store: Store) -> list[str]:
    """Return what is wrong in the vector index."""
    wanted, held = set(store.catalog.chunk_ids()), store.vectors.ids()
    lines = []
    if missing := len(wanted - held):
        lines.append(f"{missing} of {len(wanted)} chunks are missing from {store.vectors.name}")
    if stray := len(held - wanted):
        lines.append(f"{stray} vectors in {store.vectors.name} belong to no chunk")
    lost = tried = 0
    for ids, vectors in store.catalog.stream_vectors():
        for at in range(0, len(ids), max(1, len(wanted) // CANARIES)):
            tried += 1
            near = store.vectors.nearest(vectors[at].tolist(), 1)
            lost += not near or float(near[0][1]) < 0.999  # an equal text elsewhere is as good
    if lost:
        lines.append(f"{lost} of {tried} stored vectors do not find themselves")
    return lines
