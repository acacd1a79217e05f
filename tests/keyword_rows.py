"""What the keyword index holds, read straight from its tables."""

import sqlite3
from collections import defaultdict

import numpy as np

from loaders.keywords import BLOCK_BITS


def keyword_rows(connection: sqlite3.Connection) -> dict[int, dict[str, tuple[int, int]]]:
    """Return of each row its terms, each with how often it stands there and the code of the row's length."""
    found: dict[int, dict[str, tuple[int, int]]] = defaultdict(dict)
    sql = "SELECT place >> 32, term, entries FROM postings JOIN terms ON id = place & 4294967295"
    for block, term, entries in connection.execute(sql):
        for entry in np.frombuffer(entries, "<u4").tolist():
            found[(block << BLOCK_BITS) + (entry >> 16)][term] = (entry >> 8 & 255, entry & 255)
    return dict(found)
