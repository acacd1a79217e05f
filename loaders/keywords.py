"""Text comes in; a BM25 keyword index inside the catalog's SQLite file, searched by words, goes out.

SQLite's FTS5 keeps the index in the same transaction as the chunks, so the two can't drift apart. Its `bm25()` is
Robertson and Zaragoza's formula (2009) with k1 = 1.2 and b = 0.75; its `porter` tokenizer stems English.
"""

import re
import sqlite3
from collections.abc import Iterable

from loaders.cleaning import clean

# Scripts written without spaces: words can't be told apart by a simple rule, so overlapping pairs of characters stand
# in for them, the usual baseline of Chinese and Japanese retrieval.
UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0e7f]+")
WORD = re.compile(r"\w+")
# The commonest function words. FTS5 weighs a rare word up but still reads every posting of a common one: leaving these
# out makes a long question several times faster and moves nDCG@10 by less than 0.005.
STOP_WORDS = frozenset(
    """a about an and are as at be been by can could did do does for from had has have how i if in into is it its me my
    of on or our should so such than that the their them there these they this to was we were what when where which who
    whom whose why will with would you your""".split()  # noqa: SIM905  (thirty lines as a list)
)


def create(connection: sqlite3.Connection) -> None:
    """Create the index where it is missing."""
    connection.execute(
        "CREATE VIRTUAL TABLE IF NOT EXISTS keywords USING fts5(text, tokenize='porter unicode61 remove_diacritics 2')"
    )


def add(connection: sqlite3.Connection, rowid: int, text: str) -> None:
    """Index `text`, cleaned before, under `rowid`."""
    connection.execute("INSERT INTO keywords (rowid, text) VALUES (?, ?)", (rowid, " ".join(_words(text))))


def remove(connection: sqlite3.Connection, rowids: Iterable[object]) -> None:
    """Take these rows out of the index."""
    connection.executemany("DELETE FROM keywords WHERE rowid = ?", ((rowid,) for rowid in rowids))


def search(connection: sqlite3.Connection, query: str, limit: int) -> list[tuple[str, float]]:
    """Return (chunk id, BM25 score) of the chunks that hold any word of `query`, best first; higher is better."""
    words = list(dict.fromkeys(_words(clean(query))))
    words = [word for word in words if word not in STOP_WORDS] or words
    if not words:
        return []
    match = " OR ".join(f'"{word}"' for word in words)  # quoted: FTS5's own operators (AND, NEAR, *) stay plain words
    # the best rows first, their ids then: as one join, SQLite 3.40 walks all chunks (490 ms instead of 3 ms for 3,400)
    best = "SELECT rowid, -rank AS score FROM keywords WHERE keywords MATCH ? ORDER BY rank LIMIT ?"
    rows = connection.execute(
        f"SELECT chunks.id, score FROM ({best}) AS best JOIN chunks ON chunks.rowid = best.rowid ORDER BY score DESC",  # noqa: S608
        (match, limit),
    )
    return [(str(id_), float(score)) for id_, score in rows]


def _words(text: str) -> list[str]:
    """Return the words of `text` in lower case, unspaced scripts as pairs of characters."""
    return WORD.findall(UNSPACED.sub(_pairs, text.casefold()))


def _pairs(match: re.Match[str]) -> str:
    run = match.group()
    pairs = [run[at : at + 2] for at in range(len(run) - 1)] or [run]
    return f" {' '.join(pairs)} "
