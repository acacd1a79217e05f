"""A query's vector comes in with what a filter allows; the nearest allowed chunks go out, as many as there are."""

from collections.abc import Sequence

import numpy as np

from loaders.catalog import Catalog
from loaders.exact import ranked, unit
from loaders.filters import Allowed
from loaders.indexes import VectorIndex

Hits = list[tuple[str, float]]  # (chunk id, score), best first
SPARE = 2  # how many times more vectors are asked for than should do, as what is allowed may lie far away
READING = 2  # times what the index takes to give one more vector: 15 to 25 µs and about 10, at 11,000 chunks
READ = 4000  # vectors read from the catalog at once


def nearest_allowed(
    catalog: Catalog, index: VectorIndex, allowed: Allowed | None, vector: Sequence[float], limit: int
) -> Hits:
    """Return (id of the chunk to show, cosine) of the allowed chunks nearest to a vector, nearest first.

    Either the index is asked for more and more of the nearest until enough of them are allowed, or the allowed vectors
    are read from the catalog and all compared, whichever is to take less time.
    """
    if allowed is None:
        return index.nearest(vector, limit)
    total, few = index.count(), len(allowed.shown)
    asked = SPARE * limit * total // max(1, few)
    while 0 < asked < READING * few:
        near = index.nearest(vector, asked)
        found = [(allowed.shown[id_], score) for id_, score in near if id_ in allowed.shown]
        if len(found) >= limit:
            return found[:limit]
        asked *= 4
    return _compared(catalog, allowed, vector, limit)


def _compared(catalog: Catalog, allowed: Allowed, vector: Sequence[float], limit: int) -> Hits:
    """Compare every allowed vector, a part at a time."""
    hits: Hits = []
    ids = list(allowed.shown)
    for at in range(0, len(ids), READ):
        vectors = catalog.vectors_of(ids[at : at + READ])
        if vectors:
            hits += ranked(list(vectors), unit(np.stack(list(vectors.values()))), vector, limit)
    hits.sort(key=lambda hit: -hit[1])
    return [(allowed.shown[id_], score) for id_, score in hits[:limit]]
