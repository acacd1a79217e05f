"""Settings come in; one open index and one chat model, lent to many questions at once, go out."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pipeline
from chat_models import ChatModel, open_model
from errors import RagError
from loaders.filters import Filter
from loaders.generations import is_wanted
from loaders.pointer import current
from pipeline import Chain
from searching import Index
from settings import Settings

LOOK_S = 1.0  # how often it is looked whether somebody wants to change the index
PATIENCE_S = 8.0  # for which questions that run may go on then: `ingest` waits ten seconds for the index
PAUSE_S = 0.3  # in which `ingest`, which tries every 0.05 s, takes the index
WAIT_S = 0.5  # that a question waits for an index that is being changed
FILTERS = 8  # whose chains are kept


@dataclass(eq=False)
class Opened:
    """One generation of the index, open, with a chain for each filter and the number of questions that read it."""

    index: Index
    generation: str | None
    stack: ExitStack
    chains: dict[Filter | None, Chain] = field(default_factory=dict)
    readers: int = 0


@dataclass(eq=False)
class Library:
    """The index and the model that a server lends; the index is opened anew after it was changed."""

    settings: Settings  # with RAG_ANSWER_STYLE resolved
    stack: ExitStack  # what is open until the end
    model: ChatModel | None = None  # in style quote opened when it is first asked for
    opened: Opened | None = None
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    loading: threading.Lock = field(default_factory=threading.Lock)

    @asynccontextmanager
    async def chain(self, where: Filter | None) -> AsyncIterator[tuple[Chain, Path]]:
        """Lend the chain over the documents that `where` allows, and name the folder of the generation that it reads.

        Raise StoreLocked while the index is changed.
        """
        async with self.changing:
            opened = self.opened if self.opened else await asyncio.to_thread(self.open)
            if where not in opened.chains:
                while len(opened.chains) >= FILTERS:
                    del opened.chains[next(iter(opened.chains))]
                model = None if self.settings.answer_style == "quote" else self.model
                build = pipeline.build_chain
                opened.chains[where] = await asyncio.to_thread(build, self.settings, opened.index, model, where)
            chain = opened.chains[where]
            opened.readers += 1
        try:
            yield chain, opened.index.store.directory
        finally:
            opened.readers -= 1
            if opened is not self.opened and not opened.readers:
                opened.stack.close()

    def errors(self) -> AbstractContextManager[None]:
        """Turn the failures of a model on another server into ModelErrors."""
        return self.model.errors() if self.model else contextlib.nullcontext()

    def open(self) -> Opened:
        """Open the generation in use, unless it is open; what a client that has gone asked for is not lost either."""
        with self.loading:
            if self.opened is None:
                with ExitStack() as stack:
                    index = stack.enter_context(pipeline.open_index(self.settings, wait=WAIT_S))
                    self.opened = Opened(index, current(self.settings.store), stack.pop_all())
            return self.opened

    def chat_model(self) -> ChatModel:
        """Return the open chat model."""
        with self.loading:
            if self.model is None:
                self.model = self.stack.enter_context(open_model(self.settings))
            return self.model

    async def watch(self) -> None:
        """Let go of an index that was replaced, and once of one that another process is about to change."""
        gave_way = False
        while True:
            await asyncio.sleep(LOOK_S)
            with contextlib.suppress(RagError):  # who asks next is told
                wanted = await asyncio.to_thread(is_wanted, self.settings.store)
                if self.opened and self.opened.generation != current(self.settings.store):
                    async with self.changing:
                        self._let_go()
                elif self.opened and wanted and not gave_way:
                    async with self.changing:
                        await self._give_way(self.opened)
                gave_way = wanted  # a rebuild holds the lock for long, and wants nothing of the index in use

    def _let_go(self) -> None:
        opened, self.opened = self.opened, None
        if opened and not opened.readers:  # else who reads it last closes it
            opened.stack.close()

    async def _give_way(self, opened: Opened) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while opened.readers:
                    await asyncio.sleep(0.05)
        if not opened.readers:
            self._let_go()
            await asyncio.sleep(PAUSE_S)


@contextmanager
def open_library(settings: Settings) -> Iterator[Library]:
    """Open the index, and the chat model where the answers need one."""
    settings = pipeline.with_style(settings)
    with ExitStack() as stack:
        library = Library(settings, stack)
        library.open()
        if settings.answer_style != "quote":
            library.chat_model()
        try:
            yield library
        finally:
            if library.opened:
                library.opened.stack.close()
