"""Sources, chunks and vectors come in; one SQLite file, the index's only truth, holds them and gives them out.

Chroma and the keyword index are derived from it. A source's rows change in one transaction, so that a source is
in the catalog whole or not at all.
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from langchain_core.documents import Document

from loaders import keywords
from loaders.cleaning import searchable

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sources (
    source TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, sha256 TEXT, splitting TEXT, failure TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS chunks (
    rowid INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, source TEXT NOT NULL, page INTEGER, line INTEGER,
    section TEXT NOT NULL,    start INTEGER NOT NULL, text TEXT NOT NULL, vector_key TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS chunks_of_source ON chunks (source);
CREATE INDEX IF NOT EXISTS chunks_of_vector ON chunks (vector_key);
CREATE TABLE IF NOT EXISTS vectors (key TEXT PRIMARY KEY, vector BLOB NOT NULL);
"""
PLACE = ("source", "page", "line", "section", "start")  # a chunk's metadata, each a column
BATCH = 500  # SQL variables in one statement


@dataclass(frozen=True)
class SourceState:
    """What the catalog knows of one file: its bytes, how it was split, and why it failed ("" when it did not)."""

    source: str
    size: int
    mtime_ns: int
    sha256: str
    splitting: str
    failure: str = ""


class Catalog:
    """Keep sources, chunks, vectors and keywords in one SQLite file; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        """Open or create the file."""
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._lock = threading.RLock()
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")  # an acknowledged file survives a power cut
        self._connection.executescript(SCHEMA)
        keywords.create(self._connection)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make everything inside happen at once or not at all."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite has rolled back by itself where the disk is full
                    self._connection.execute("ROLLBACK")
                raise

    def _rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def read_meta(self, key: str) -> str:
        """Return the value kept under `key`, or an empty string."""
        rows = self._rows("SELECT value FROM meta WHERE key = ?", (key,))
        return str(rows[0][0]) if rows else ""

    def write_meta(self, key: str, value: str) -> None:
        """Keep `value` under `key`."""
        self._rows("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def sources(self) -> dict[str, SourceState]:
        """Return every known file, failed ones included, by its path."""
        rows = self._rows("SELECT * FROM sources ORDER BY source")
        return {str(row[0]): SourceState(*row) for row in rows}  # type: ignore[arg-type]

    def chunk_counts(self) -> dict[str, int]:
        """Return the number of chunks of each source that has any."""
        return {str(s): int(str(n)) for s, n in self._rows("SELECT source, count(*) FROM chunks GROUP BY source")}

    def chunk_ids(self) -> list[str]:
        """Return the ids of all chunks."""
        return [str(row[0]) for row in self._rows("SELECT id FROM chunks ORDER BY rowid")]

    def replace_source(self, state: SourceState, chunks: Sequence[Document], keys: Sequence[str]) -> list[str]:
        """Put a file's chunks (with the keys of their vectors) in the place of its old ones; return the old ids."""
        gone = self.remove_source(state.source)
        values = (state.source, state.size, state.mtime_ns, state.sha256, state.splitting, state.failure)
        self._connection.execute("INSERT INTO sources VALUES (?, ?, ?, ?, ?, ?)", values)
        for chunk, key in zip(chunks, keys, strict=True):
            at = chunk.metadata
            row = (chunk.id, *(at[name] for name in PLACE), chunk.page_content, key)
            sql = f"INSERT INTO chunks (id, {', '.join(PLACE)}, text, vector_key) VALUES ({', '.join('?' * len(row))})"  # noqa: S608
            cursor = self._connection.execute(sql, row)
            keywords.add(self._connection, cursor.lastrowid or 0, searchable(chunk))
        return gone

    def touch_source(self, state: SourceState) -> None:
        """Remember a file's new size and time, its text being the same."""
        self._rows(
            "UPDATE sources SET size = ?, mtime_ns = ? WHERE source = ?", (state.size, state.mtime_ns, state.source)
        )

    def remove_source(self, source: str) -> list[str]:
        """Forget a file; return the ids that its chunks had."""
        rows = self._rows("SELECT rowid, id FROM chunks WHERE source = ?", (source,))
        keywords.remove(self._connection, (row[0] for row in rows))
        self._connection.execute("DELETE FROM chunks WHERE source = ?", (source,))
        self._connection.execute("DELETE FROM sources WHERE source = ?", (source,))
        return [str(row[1]) for row in rows]

    def known_vectors(self, keys: Iterable[str]) -> dict[str, np.ndarray]:
        """Return the vectors (float32, 1-D) that are already kept, by their keys."""
        found, wanted = {}, list(dict.fromkeys(keys))
        for at in range(0, len(wanted), BATCH):
            part = wanted[at : at + BATCH]
            marks = ",".join("?" * len(part))
            sql = f"SELECT key, vector FROM vectors WHERE key IN ({marks})"  # noqa: S608
            for key, blob in self._rows(sql, part):
                found[str(key)] = np.frombuffer(blob, dtype=np.float32)  # type: ignore[call-overload]
        return found

    def add_vectors(self, vectors: dict[str, np.ndarray]) -> None:
        """Keep float32 vectors by their keys."""
        rows = [(key, vector.astype(np.float32).tobytes()) for key, vector in vectors.items()]
        self._connection.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)

    def drop_unused_vectors(self) -> None:
        """Delete the vectors of text that no source holds any more: text can be guessed from them."""
        self._rows("DELETE FROM vectors WHERE key NOT IN (SELECT vector_key FROM chunks)")

    def stream_vectors(self) -> Iterator[tuple[list[str], np.ndarray]]:
        """Yield (ids, float32 matrix) of all chunks, a batch at a time."""
        last = 0
        sql = (
            "SELECT c.rowid, c.id, v.vector FROM chunks c JOIN vectors v ON v.key = c.vector_key"
            " WHERE c.rowid > ? ORDER BY c.rowid LIMIT ?"
        )
        while rows := self._rows(sql, (last, BATCH)):
            last = int(str(rows[-1][0]))
            yield [str(row[1]) for row in rows], np.stack([np.frombuffer(row[2], dtype=np.float32) for row in rows])  # type: ignore[call-overload]

    def chunks(self, ids: Sequence[str]) -> list[Document]:
        """Return the chunks with these ids, in this order; an unknown id is left out."""
        by_id: dict[str, Document] = {}
        for at in range(0, len(ids), BATCH):
            part = ids[at : at + BATCH]
            marks = ",".join("?" * len(part))
            sql = f"SELECT id, text, {', '.join(PLACE)} FROM chunks WHERE id IN ({marks})"  # noqa: S608
            for id_, text, *place in self._rows(sql, part):
                metadata = dict(zip(PLACE, place, strict=True))
                by_id[str(id_)] = Document(id=str(id_), page_content=str(text), metadata=metadata)
        return [by_id[id_] for id_ in ids if id_ in by_id]

    def search_keywords(self, query: str, limit: int) -> list[tuple[str, float]]:
        """Return (id, BM25 score) of the best chunks for the words of `query`, best first."""
        with self._lock:
            return keywords.search(self._connection, query, limit)
