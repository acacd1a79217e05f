"""A generation's directory and a key come in; the answer kept under it, until the index changes, goes out."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

FILE = "answers.sqlite"
SCHEMA = "CREATE TABLE IF NOT EXISTS answers (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE, answer TEXT)"
MOST = 500  # answers, of some 6 kB each; the oldest go


def read_kept(directory: Path, key: str) -> str:
    """Return the answer that is kept under `key`, or an empty string."""
    if not (directory / FILE).exists():
        return ""
    with _open(directory) as answers:
        rows = answers.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchall()
    return str(rows[0][0]) if rows else ""


def keep(directory: Path, key: str, answer: str) -> None:
    """Keep an answer, in a file for its owner's eyes only."""
    os.close(os.open(directory / FILE, os.O_CREAT | os.O_RDWR, 0o600))
    with _open(directory) as answers:
        answers.execute("INSERT OR REPLACE INTO answers (key, answer) VALUES (?, ?)", (key, answer))
        answers.execute("DELETE FROM answers WHERE id <= (SELECT max(id) FROM answers) - ?", (MOST,))


def forget(directory: Path) -> None:
    """Overwrite all that is kept: answers hold what documents say, and those of a changed index are out of date."""
    path = directory / FILE
    if path.exists():
        try:
            with _open(directory) as answers:
                answers.execute("DELETE FROM answers")
        except sqlite3.DatabaseError:
            path.unlink(missing_ok=True)


@contextmanager
def _open(directory: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(directory / FILE)) as connection:
        connection.execute("PRAGMA secure_delete=ON")  # what is removed is overwritten
        connection.execute("PRAGMA journal_mode=MEMORY")  # a journal on the disk would hold it, too
        with connection:
            connection.execute(SCHEMA)
            yield connection
