"""Passages come in that no search brought; the chain of `ask` that answers from them goes out."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from chains.queries import Query
from loaders.generations import open_store
from pipeline import Chain, open_chain, open_index
from settings import Settings

Give = Callable[[Sequence[Document]], None]


@contextmanager
def chain_over_given(settings: Settings) -> Iterator[tuple[Chain, Give]]:
    """Yield the chain from the highlighter on, and what gives it the passages of its next question."""
    given: list[Document] = []

    def give(passages: Sequence[Document]) -> None:
        given[:] = passages

    def bring(queries: Sequence[Query]) -> list[Document]:
        # the chain writes into what it reads
        return [passage.model_copy(update={"metadata": dict(passage.metadata)}) for passage in given]

    with tempfile.TemporaryDirectory(prefix="groundwork-") as directory:
        # an index without documents: no word of theirs is known, so no question is corrected
        settings = settings.model_copy(update={"store": Path(directory), "index": "exact"})
        with open_store(settings.store, write=True, kind=settings.index):
            pass
        search = RunnableLambda(bring, name="passages")
        with open_index(settings) as index, open_chain(settings, index, search=search) as chain:
            yield chain, give


def as_found(name: str, text: str, title: str = "") -> Document:
    """Return the text with the metadata of a passage that a search found, as if it were a file of its own."""
    place = {"source": name, "page": None, "line": 1, "section": title, "start": 0}
    found = {"also_in": [], "chunks": [name], "hit": (0, len(text)), "score": 1.0}
    return Document(id=name, page_content=text, metadata=place | found)
