"""Passages come in that no search brought; the chain of `ask` that answers from them goes out."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from chains.queries import Query
from pipeline import Chain, open_chain, open_empty_index
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

    search = RunnableLambda(bring, name="passages")
    with open_empty_index(settings) as (empty, index), open_chain(empty, index, search=search) as chain:
        yield chain, give
