"""Texts come in; an inverted index inside the catalog's SQLite file, searched by BM25, goes out.

It lies in the catalog's tables, so that it changes in the same transaction as the chunks and can't drift from them.
A block of 8,192 rows has one entry list for each of its terms: new chunks touch the last block only, and a query reads
a few short lists, which numpy adds up. Scores are exact: Robertson and Zaragoza's formula (2009), with 1 added inside
the logarithm as Lucene does, so that a word in over half the chunks still counts.
"""

import math
import sqlite3
import struct
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from loaders.cleaning import clean
from loaders.terms import index_terms, markers, query_terms, spellings, tokenize

K1, B = 1.2, 0.75
BLOCK_BITS = 13
TERM_BITS = 32  # place of an entry list: block << TERM_BITS | the term's id
TOKENS = ""  # the term whose count is that of all terms in all chunks
ENTRY = np.dtype("<u4")  # row inside its block << 16 | times in the chunk, at most 255 << 8 | length of the chunk
LENGTH_STEPS = 16  # a doubling: lengths are kept to 2 %
BATCH = 500  # SQL variables in one statement
SCHEMA = """
CREATE TABLE IF NOT EXISTS terms (id INTEGER PRIMARY KEY, term TEXT UNIQUE NOT NULL, chunks INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS postings (place INTEGER PRIMARY KEY, entries BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS spellings (word TEXT PRIMARY KEY, chunks INTEGER NOT NULL) WITHOUT ROWID;
"""
Array = np.ndarray[Any, np.dtype[Any]]
Texts = Mapping[int, str]  # row → text, cleaned
Entries = dict[str, list[int]]  # term → entries
Lists = dict[int, Entries]  # block → …
Hits = list[tuple[str, float]]
LISTS = (
    "WITH RECURSIVE blocks(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM blocks"  # noqa: S608
    f" WHERE n < (SELECT max(place) >> {TERM_BITS} FROM postings))"
    " SELECT t.term, t.chunks, p.place, p.entries FROM terms t CROSS JOIN blocks b"
    f" CROSS JOIN postings p ON p.place = (b.n << {TERM_BITS}) | t.id WHERE t.term IN ({{}})"
)


def create(connection: sqlite3.Connection) -> None:
    """Create the index where it is missing."""
    for statement in SCHEMA.strip().splitlines():
        connection.execute(statement)


def drop(connection: sqlite3.Connection) -> None:
    """Delete the index."""
    for table in ("terms", "postings", "spellings"):
        connection.execute(f"DROP TABLE IF EXISTS {table}")


def update(connection: sqlite3.Connection, gone: Texts, new: Texts) -> None:
    """Take the rows in `gone` out of the index, their texts those that were put in, and put the rows in `new` in."""
    chunks, words = Counter[str](), Counter[str]()  # by how much the counts of terms and of spellings change
    leaving: Lists = defaultdict(lambda: defaultdict(list))
    entering: Lists = defaultdict(lambda: defaultdict(list))
    for texts, change, lists in ((gone, -1, leaving), (new, 1, entering)):
        for row, text in sorted(texts.items()):
            tokens = Counter(tokenize(text))
            times = index_terms(tokens)
            length = times.total()
            block, entry = lists[row >> BLOCK_BITS], (row & (1 << BLOCK_BITS) - 1) << 16 | _length_code(length)
            for term, count in times.items():
                block[term].append(entry | min(count, 255) << 8)
            for term in times:
                chunks[term] += change
            chunks[TOKENS] += change * length
            for word in spellings(tokens):
                words[word] += change
    _count(connection, "terms", "term", chunks)
    _count(connection, "spellings", "word", words)
    ids = dict(_select(connection, "SELECT term, id FROM terms WHERE term IN ({})", list(chunks)))
    for number in leaving.keys() | entering.keys():
        _write_block(connection, number, ids, leaving[number], entering[number])
    _forget(connection, "terms", "term", chunks)
    _forget(connection, "spellings", "word", words)


def search(connection: sqlite3.Connection, query: str, limit: int, allowed: Collection[int] | None = None) -> Hits:
    """Return (chunk id, BM25 score) of the chunks that hold any word of `query`, best first; higher is better.

    With `allowed`, rows of chunks, the best of these.
    """
    tokens, held, asked = _asked(connection, query)
    count = sum(held.values())
    lists = list(_select(connection, LISTS, list(asked)))
    if not lists:
        return []
    weights = [asked[term] * _rarity(term, chunks, held, count) for term, chunks, _, _ in lists]
    entries = np.frombuffer(b"".join(found for *_, found in lists), ENTRY)
    sizes = [len(found) // ENTRY.itemsize for *_, found in lists]
    rows = np.repeat([place >> TERM_BITS << BLOCK_BITS for _, _, place, _ in lists], sizes) + (entries >> 16)
    scores = np.bincount(rows, np.repeat(weights, sizes) * _saturation(round(tokens / count, 1))[entries & 0xFFFF])
    if allowed is not None:
        scores[~np.isin(np.arange(len(scores)), np.fromiter(allowed, np.int64, len(allowed)))] = 0
    best = _best(scores, limit)
    ids = dict(_select(connection, "SELECT rowid, id FROM chunks WHERE rowid IN ({})", best))
    return [(ids[row], float(scores[row])) for row in best if row in ids]


def prospect(connection: sqlite3.Connection, query: str) -> tuple[float, float]:
    """Return the BM25 score near which a chunk comes that holds all of `query` often, and how much of it can be found.

    That is the share, by weight, of the words that any chunk holds; one that none holds weighs as the rarest. Of the
    languages that the query may be in, the one with the highest score counts.
    """
    _, held, asked = _asked(connection, query)
    count = sum(held.values())
    chunks = dict(_select(connection, "SELECT term, chunks FROM terms WHERE term IN ({})", list(asked)))
    total: defaultdict[str, float] = defaultdict(float)
    found: defaultdict[str, float] = defaultdict(float)
    for term, weight in asked.items():
        language, worth = term[: term.find(":") + 1], weight * _rarity(term, chunks.get(term, 0), held, count)
        total[language] += worth
        found[language] += worth * (term in chunks)
    shared = total.pop("", 0.0)
    language = max(total, key=total.__getitem__, default="none")
    most = shared + total[language]
    return (K1 + 1) * most, (found[""] + found[language]) / most if most else 0.0


def rows(connection: sqlite3.Connection) -> set[int]:
    """Return the rows that are indexed."""
    lists = _select(connection, LISTS, markers())
    return {
        (place >> TERM_BITS << BLOCK_BITS) + int(row)
        for _, _, place, found in lists
        for row in np.frombuffer(found, ENTRY) >> 16
    }


def miscounted(connection: sqlite3.Connection) -> int:
    """Return how many terms have not as many entries as chunks."""
    # the cast says that it is an integer: only then does SQLite index it for the join, which is quadratic otherwise
    term = f"CAST(place & {(1 << TERM_BITS) - 1} AS INTEGER)"
    entries = f"SELECT {term} AS id, sum(length(entries)) / {ENTRY.itemsize} AS held FROM postings"  # noqa: S608
    sql = (
        f"SELECT count(*) FROM terms LEFT JOIN ({entries} GROUP BY 1) USING (id)"  # noqa: S608
        " WHERE term <> ? AND chunks IS NOT held"
    )
    return int(connection.execute(sql, (TOKENS,)).fetchone()[0])


def dictionary(connection: sqlite3.Connection) -> dict[str, int]:
    """Return each word as it is spelt, in lower case, with the number of chunks that hold it."""
    return dict(connection.execute("SELECT word, chunks FROM spellings"))


def _asked(connection: sqlite3.Connection, query: str) -> tuple[int, dict[str, int], dict[str, float]]:
    """Return the number of tokens in the index, that of chunks by their language, and the query's weighted terms."""
    held = dict(_select(connection, "SELECT term, chunks FROM terms WHERE term IN ({})", [TOKENS, *markers()]))
    return held.pop(TOKENS, 0), held, query_terms(clean(query), held)


def _rarity(term: str, chunks: int, held: Mapping[str, int], count: int) -> float:
    """Return a term's weight; a stem is rare or common among the chunks of its language."""
    among = held.get(term[: term.find(":") + 1], count)
    return math.log1p((among - chunks + 0.5) / (chunks + 0.5))


def _best(scores: Array, limit: int) -> list[int]:
    """Return the rows of the highest scores above 0, best first, equal ones in the order of the rows."""
    rows = np.flatnonzero(scores > 0)
    if len(rows) > limit:
        least = np.partition(scores[rows], -limit)[-limit]
        rows = rows[scores[rows] >= least]
    return [int(row) for row in rows[np.argsort(-scores[rows], kind="stable")][:limit]]


@lru_cache(1)
def _saturation(average: float) -> Array:
    """Return for each entry's lower 16 bits BM25's weight of so many occurrences in a chunk of such a length."""
    times, code = np.divmod(np.arange(1 << 16), 256)
    length = np.exp2(code / LENGTH_STEPS)
    return times * (K1 + 1) / (times + K1 * (1 - B + B * length / average))


def _length_code(length: int) -> int:
    return min(255, round(LENGTH_STEPS * math.log2(length)))


def _write_block(
    connection: sqlite3.Connection, block: int, ids: dict[str, int], leaving: Entries, entering: Entries
) -> None:
    places = {block << TERM_BITS | ids[term]: term for term in leaving.keys() | entering.keys()}
    old = dict(_select(connection, "SELECT place, entries FROM postings WHERE place IN ({})", list(places)))
    new: dict[int, bytes] = {}
    for place, term in places.items():
        entries, more = old.get(place, b""), entering.get(term, [])
        if term in leaving:
            held = np.frombuffer(entries, ENTRY)
            rows = [entry >> 16 for entry in leaving[term]]
            entries = held[~np.isin(held >> 16, rows, kind="table")].tobytes()
        if entries and more and int.from_bytes(entries[-ENTRY.itemsize :], "little") > more[0]:
            more, entries = sorted([*np.frombuffer(entries, ENTRY).tolist(), *more]), b""
        new[place] = entries + struct.pack(f"<{len(more)}I", *more)
    kept = [(place, entries) for place, entries in new.items() if entries]
    connection.executemany("INSERT OR REPLACE INTO postings VALUES (?, ?)", kept)
    empty = [(place,) for place, entries in new.items() if not entries]
    connection.executemany("DELETE FROM postings WHERE place = ?", empty)


def _count(connection: sqlite3.Connection, table: str, key: str, changes: Counter[str]) -> None:
    sql = (
        f"INSERT INTO {table} ({key}, chunks) VALUES (?, ?)"  # noqa: S608
        f" ON CONFLICT ({key}) DO UPDATE SET chunks = chunks + excluded.chunks"
    )
    connection.executemany(sql, sorted(changes.items()))


def _forget(connection: sqlite3.Connection, table: str, key: str, changes: Counter[str]) -> None:
    fewer = [(word,) for word, change in changes.items() if change <= 0]
    connection.executemany(f"DELETE FROM {table} WHERE {key} = ? AND chunks <= 0", fewer)  # noqa: S608


def _select(connection: sqlite3.Connection, sql: str, values: Sequence[object]) -> Iterator[tuple[Any, ...]]:
    for at in range(0, len(values), BATCH):
        part = values[at : at + BATCH]
        yield from connection.execute(sql.format(",".join("?" * len(part))), part)
