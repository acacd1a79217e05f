"""A generation's directory comes in; a healthy Store, the catalog and Chroma as one, goes out."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from langchain_core.documents import Document

from loaders.catalog import Catalog
from loaders.vectorstore import VectorIndex

CHROMA, CLEAN = (
    "chroma",
    "chroma_clean",
)  # the catalog's notes: Chroma's directory, and whether its last writer finished
CATALOG = "catalog.sqlite"


class Store:
    """Join the catalog and the Chroma collection of one generation; chunks are named by their ids in both."""

    def __init__(self, directory: Path) -> None:
        """Open the generation in `directory`; rebuild Chroma from the catalog where its last writer was interrupted."""
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.catalog = Catalog(directory / CATALOG)
        if not _is_sound(self.catalog, directory):
            self._rebuild(self.catalog.read_meta(CHROMA))
        self.vectors = VectorIndex(directory / self.catalog.read_meta(CHROMA))

    def _rebuild(self, old: str) -> None:
        """Fill a new Chroma directory from the catalog's vectors, embedding nothing."""
        name = f"chroma-{int(old.partition('-')[2] or 0) + 1:04d}"  # Chroma 1.5.9 can't reuse a path in one process
        shutil.rmtree(self.directory / name, ignore_errors=True)
        index = VectorIndex(self.directory / name)
        for ids, vectors in self.catalog.stream_vectors():
            index.upsert(ids, vectors)
        index.close()
        self.catalog.write_meta(CHROMA, name)
        self.catalog.write_meta(CLEAN, "yes")
        for path in self.directory.glob("chroma-*"):
            if path.name != name:
                shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Mark Chroma as unfinished while it is written: whoever opens the store after a crash rebuilds it."""
        self.catalog.write_meta(CLEAN, "no")
        yield
        self.catalog.write_meta(CLEAN, "yes")

    def close(self) -> None:
        """Let go of the files."""
        self.vectors.close()
        self.catalog.close()

    def dense(self, vector: list[float], limit: int) -> list[tuple[str, float]]:
        """Return (chunk id, cosine similarity) of the chunks nearest to a query's vector."""
        return self.vectors.nearest(vector, limit)

    def keyword(self, query: str, limit: int) -> list[tuple[str, float]]:
        """Return (chunk id, BM25 score) of the chunks that hold the query's words."""
        return self.catalog.search_keywords(query, limit)

    def chunks(self, ids: list[str]) -> list[Document]:
        """Return the chunks with these ids."""
        return self.catalog.chunks(ids)

    def damage(self) -> list[str]:
        """Compare Chroma with the catalog; return one line for each thing that is wrong."""
        wanted, held = set(self.catalog.chunk_ids()), self.vectors.ids()
        lines = []
        if missing := len(wanted - held):
            lines.append(f"{missing} of {len(wanted)} chunks are missing from Chroma")
        if stray := len(held - wanted):
            lines.append(f"{stray} vectors in Chroma belong to no chunk")
        lost = tried = 0
        for ids, vectors in self.catalog.stream_vectors():
            for at in range(0, len(ids), max(1, len(wanted) // 64)):  # about 64 canaries over the whole index
                tried += 1
                near = self.vectors.nearest(vectors[at].tolist(), 1)
                lost += not near or float(near[0][1]) < 0.999  # an equal text elsewhere is as good
        if lost:
            lines.append(f"{lost} of {tried} stored vectors do not find themselves")
        return lines


def needs_repair(directory: Path) -> bool:
    """Tell whether opening the generation would write to it: its last writer was interrupted, or Chroma is gone."""
    catalog = Catalog(directory / CATALOG)
    try:
        return not _is_sound(catalog, directory)
    finally:
        catalog.close()


def _is_sound(catalog: Catalog, directory: Path) -> bool:
    chroma = catalog.read_meta(CHROMA)
    return bool(chroma) and catalog.read_meta(CLEAN) == "yes" and (directory / chroma).is_dir()
