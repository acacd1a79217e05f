"""Sources, chunks and vectors come in; one SQLite file, the index's only truth, holds them and gives them out.

The vector index beside it and the keyword index in it are derived. A source's rows change in one transaction, so that
a source is in the catalog whole or not at all.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from langchain_core.documents import Document

from errors import StoreError
from loaders import keywords
from loaders.entries import Drop

LAYOUT = 3  # raise it with every change of the tables
SCHEMA = f"""
PRAGMA user_version = {LAYOUT};
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sources (
    source TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, sha256 TEXT,
    failure TEXT NOT NULL, note TEXT NOT NULL, skipped INTEGER NOT NULL, language TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS fields (
    source TEXT, key TEXT, value TEXT, given INTEGER, PRIMARY KEY (source, key, value, given)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chunks (
    rowid INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, source TEXT NOT NULL, position INTEGER NOT NULL, page INTEGER,
    line INTEGER, section TEXT NOT NULL, start INTEGER NOT NULL, text TEXT NOT NULL, vector_key TEXT NOT NULL,
    exact TEXT NOT NULL, kept_by INTEGER);
CREATE INDEX IF NOT EXISTS chunks_of_source ON chunks (source, position, kept_by, id);  -- all that filters read
CREATE INDEX IF NOT EXISTS chunks_of_vector ON chunks (vector_key);
CREATE INDEX IF NOT EXISTS chunks_of_text ON chunks (exact, kept_by);
CREATE INDEX IF NOT EXISTS chunks_of_keeper ON chunks (kept_by) WHERE kept_by IS NOT NULL;
CREATE TABLE IF NOT EXISTS bands (
    band INTEGER, kept INTEGER, chunk INTEGER, PRIMARY KEY (band, kept, chunk)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS bands_of_chunk ON bands (chunk);
CREATE TABLE IF NOT EXISTS drops (source TEXT, page INTEGER, start INTEGER, reason TEXT, text TEXT);
CREATE INDEX IF NOT EXISTS drops_of_source ON drops (source);
CREATE TABLE IF NOT EXISTS vectors (key TEXT PRIMARY KEY, vector BLOB NOT NULL, unused_since REAL);
CREATE INDEX IF NOT EXISTS vectors_unused ON vectors (unused_since) WHERE unused_since IS NOT NULL;
"""
PLACE = ("source", "page", "line", "section", "start")  # a chunk's metadata, each a column
BATCH = 500  # SQL variables in one statement
Value = TypeVar("Value")
DAY = 86_400.0  # seconds


@dataclass(frozen=True)
class SourceState:
    """What the catalog knows of one file: its bytes, why it failed ("" when it did not), what of it was not read.

    skipped: it failed because files of its kind are not read at all. language: an ISO 639 code, or empty.
    """

    source: str
    size: int
    mtime_ns: int
    ctime_ns: int
    sha256: str
    failure: str = ""
    note: str = ""
    skipped: bool = False
    language: str = ""


class Catalog:
    """Keep sources, chunks, vectors and keywords in one SQLite file; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        """Open or create the file; raise StoreError when another version of this program made it."""
        self.connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._lock = threading.RLock()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",  # an acknowledged file survives a power cut
            "secure_delete=ON",  # what is removed is overwritten
            "cache_size=-65536",  # 64 MB: the b-trees of 100,000 chunks
        ):
            self.connection.execute(f"PRAGMA {pragma}")
        if self.rows("SELECT count(*) FROM sqlite_master")[0][0] and self.rows("PRAGMA user_version")[0][0] != LAYOUT:
            self.connection.close()
            raise StoreError(path, "another version of Groundwork made it", "run: python main.py ingest --rebuild PATH")
        self.connection.executescript(SCHEMA)
        keywords.create(self.connection)

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make everything inside happen at once or not at all."""
        with self._lock:
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:  # SQLite has rolled back by itself where the disk is full
                    self.connection.execute("ROLLBACK")
                raise

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        with self._lock:
            return self.connection.execute(sql, values).fetchall()

    def read_meta(self, key: str) -> str:
        """Return the value kept under `key`, or an empty string."""
        rows = self.rows("SELECT value FROM meta WHERE key = ?", (key,))
        return str(rows[0][0]) if rows else ""

    def write_meta(self, key: str, value: str) -> None:
        """Keep `value` under `key`."""
        self.rows("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def sources(self) -> dict[str, SourceState]:
        """Return every known file, failed ones included, by its path."""
        return {row[0]: SourceState(*row) for row in self.rows("SELECT * FROM sources ORDER BY source")}

    def chunk_counts(self) -> dict[str, tuple[int, int]]:
        """Return of each source that has any the number of its chunks, and how many of them are searched."""
        sql = "SELECT source, count(*), count(*) - count(kept_by) FROM chunks GROUP BY source"
        return {source: (all_, kept) for source, all_, kept in self.rows(sql)}

    def chunk_ids(self) -> list[str]:
        """Return the ids of all chunks that are searched."""
        return [row[0] for row in self.rows("SELECT id FROM chunks WHERE kept_by IS NULL ORDER BY rowid")]

    def write_source(self, state: SourceState) -> None:
        """Remember a file's state, its chunks left as they are."""
        self.rows("INSERT OR REPLACE INTO sources VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", astuple(state))

    def write_fields(self, source: str, fields: Mapping[str, Sequence[str]], *, given: bool = False) -> None:
        """Keep these fields of a file, its own or those `given` to it, in the place of those that it had."""
        rows = [(source, key, value, int(given)) for key, values in fields.items() for value in values]
        self.rows("DELETE FROM fields WHERE source = ? AND given = ?", (source, int(given)))
        self.connection.executemany("INSERT OR IGNORE INTO fields VALUES (?, ?, ?, ?)", rows)

    def given_fields(self) -> dict[str, set[tuple[str, str]]]:
        """Return the (key, value) pairs that were given to each file that has any."""
        found: dict[str, set[tuple[str, str]]] = {}
        for source, key, value in self.rows("SELECT source, key, value FROM fields WHERE given"):
            found.setdefault(source, set()).add((key, value))
        return found

    def drops(self) -> list[tuple[str, Drop]]:
        """Return (source, Drop) of everything that was left out, duplicates with the place of what stands for them."""
        rows = self.rows("SELECT source, page, start, reason, text FROM drops ORDER BY source, page, start")
        found = [(row[0], Drop(*row[1:])) for row in rows]
        copies = self.rows(
            "SELECT c.source, c.page, c.start, k.source, k.page, k.start, c.text FROM chunks c"
            " JOIN chunks k ON k.rowid = c.kept_by ORDER BY c.source, c.position"
        )
        for source, page, start, keeper, keeper_page, keeper_start, text in copies:
            where = f"page {keeper_page}" if keeper_page else f"character {keeper_start}"
            found.append((source, Drop(page, start, f"the same as in {keeper}, {where}", text)))
        return found

    def vector_keys(self, ids: Iterable[str]) -> dict[str, str]:
        """Return the key of each chunk's vector by the chunk's id."""
        found: dict[str, str] = {}
        for part in batches(list(ids)):
            found.update(self.rows(f"SELECT id, vector_key FROM chunks WHERE id IN ({_marks(part)})", part))  # noqa: S608
        return found

    def known_vectors(self, keys: Iterable[str]) -> dict[str, np.ndarray]:
        """Return the vectors (float32, 1-D) that are already kept, by their keys."""
        found = {}
        for part in batches(list(dict.fromkeys(keys))):
            sql = f"SELECT key, vector FROM vectors WHERE key IN ({_marks(part)})"  # noqa: S608
            found.update({key: np.frombuffer(blob, dtype=np.float32) for key, blob in self.rows(sql, part)})
        return found

    def vectors_of(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the vectors (float32, 1-D) by the chunks' ids, of a repeated chunk that of the one standing for it."""
        found = {}
        for part in batches(ids):
            joined = (
                "SELECT c.id, v.vector FROM chunks c LEFT JOIN chunks k ON k.rowid = c.kept_by"
                " JOIN vectors v ON v.key = coalesce(k.vector_key, c.vector_key)"
            )
            sql = f"{joined} WHERE c.id IN ({_marks(part)})"
            found.update({id_: np.frombuffer(blob, dtype=np.float32) for id_, blob in self.rows(sql, part)})
        return {id_: found[id_] for id_ in ids if id_ in found}

    def add_vectors(self, vectors: dict[str, np.ndarray]) -> None:
        """Keep float32 vectors by their keys."""
        rows = [(key, vector.astype(np.float32).tobytes()) for key, vector in vectors.items()]
        self.connection.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?, NULL)", rows)

    def mark_unused_vectors(self) -> None:
        """Note since when a vector belongs to no chunk that is searched."""
        used = "EXISTS (SELECT 1 FROM chunks WHERE vector_key = key AND kept_by IS NULL)"
        self.rows(f"UPDATE vectors SET unused_since = ? WHERE unused_since IS NULL AND NOT {used}", (time.time(),))  # noqa: S608
        self.rows(f"UPDATE vectors SET unused_since = NULL WHERE unused_since IS NOT NULL AND {used}")  # noqa: S608

    def forget_vectors(self, after_days: float) -> None:
        """Delete the vectors that have been unused for so long: text can be guessed from them."""
        self.rows("DELETE FROM vectors WHERE unused_since <= ?", (time.time() - after_days * DAY,))

    def stream_vectors(self) -> Iterator[tuple[list[str], np.ndarray]]:
        """Yield (ids, float32 matrix) of all chunks that are searched, a batch at a time."""
        last = 0
        sql = (
            "SELECT c.rowid, c.id, v.vector FROM chunks c JOIN vectors v ON v.key = c.vector_key"
            " WHERE c.rowid > ? AND c.kept_by IS NULL ORDER BY c.rowid LIMIT ?"
        )
        while rows := self.rows(sql, (last, BATCH)):
            last = rows[-1][0]
            yield [row[1] for row in rows], np.stack([np.frombuffer(row[2], dtype=np.float32) for row in rows])

    def chunks(self, ids: Sequence[str], sources: Collection[str] | None = None) -> list[Document]:
        """Return the chunks with these ids, in this order; an unknown id is left out.

        Metadata: the chunk's place, and `also_in`, the other sources with the same text, of `sources` only if given.
        """
        by_id: dict[str, Document] = {}
        same = "k.kept_by = coalesce(chunks.kept_by, chunks.rowid) OR k.rowid = chunks.kept_by"
        copies = f"(SELECT json_group_array(DISTINCT k.source) FROM chunks k WHERE {same})"  # noqa: S608
        for part in batches(list(ids)):
            sql = f"SELECT id, text, {copies}, {', '.join(PLACE)} FROM chunks WHERE id IN ({_marks(part)})"  # noqa: S608
            for id_, text, also_in, *place in self.rows(sql, part):
                at: dict[str, Any] = dict(zip(PLACE, place, strict=True))
                others = set(json.loads(also_in)) - {at["source"]}
                at["also_in"] = sorted(others if sources is None else others.intersection(sources))
                by_id[id_] = Document(id=id_, page_content=text, metadata=at)
        return [by_id[id_] for id_ in ids if id_ in by_id]

    def search_keywords(self, query: str, limit: int, allowed: Collection[int] | None = None) -> keywords.Hits:
        """Return (id, BM25 score) of the best chunks for the words of `query`, best first, of these rows only."""
        with self._lock:
            return keywords.search(self.connection, query, limit, allowed)

    def prospect(self, query: str) -> tuple[float, float]:
        """Return the highest BM25 score that a query can have, and the share of it in words that any chunk holds."""
        with self._lock:
            return keywords.prospect(self.connection, query)

    def dictionary(self) -> dict[str, int]:
        """Return each word of the searched chunks, as it is spelt, with the number of chunks that hold it."""
        with self._lock:
            return keywords.dictionary(self.connection)


def batches(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    """Yield the values in parts that fit one SQL statement."""
    for at in range(0, len(values), BATCH):
        yield values[at : at + BATCH]


def _marks(values: Sequence[str]) -> str:
    return ",".join("?" * len(values))
