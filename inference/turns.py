"""Completions come in from any thread or event loop; what they yield goes out, one after the other run by one thread.

llama.cpp crashes or mixes texts when two completions share a context. That thread never waits for a reader, so a slow
client, a stream left open in a notebook and a chain that asks within its own answer hold nobody up.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, TypeVar

from errors import ModelBusy, ModelError

Item = TypeVar("Item")
END = object()
LATECOMERS = 8  # jobs that may join the round that is being served: those of it are overtaken so many times at most


@dataclass(eq=False)
class Job:
    """One completion: what makes it, who gets it, and its place in the queue."""

    steps: Generator[Any]
    send: Callable[[Any], None]
    cost: int  # prompt and answer tokens at most
    who: str
    round: int
    # Set without a lock, as the garbage collector may close a stream while its thread holds one.
    cancelled: bool = False


@dataclass(eq=False)
class Turns:
    """A bounded queue in rounds: a user has one job in each, and within a round the cheaper go first.

    What comes joins the present round, up to LATECOMERS, if its user has had no turn in it, else the one behind the
    user's last. Jobs without a user are each a user's of their own.
    """

    limit: int = 32  # jobs that may wait
    waiting: list[Job] = field(default_factory=list)  # in the order of their coming
    running: Job | None = None
    began: float = 0.0
    round: int = 0
    latecomers: int = 0
    served: set[str] = field(default_factory=set)  # users who had their turn in this round
    pace: float = 0.0  # seconds a token of cost, lately
    lock: threading.Lock = field(default_factory=threading.Lock)
    worker: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "llama"))

    def stream(self, steps: Generator[Item], cost: int, who: str = "") -> Generator[Item]:
        """Yield what `steps` yields, run in its turn; raise ModelBusy when the queue is full. Closing it cancels."""
        arrived: SimpleQueue[Any] = SimpleQueue()
        job = self._enter(steps, arrived.put, cost, who)
        try:
            while (item := arrived.get()) is not END:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            job.cancelled = True

    async def astream(self, steps: Generator[Item], cost: int, who: str = "") -> AsyncGenerator[Item]:
        """Do the same without blocking the event loop, or taking one of the application's threads to wait in."""
        loop, arrived = asyncio.get_running_loop(), asyncio.Queue[Any]()

        def send(item: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed while a token was computed
                loop.call_soon_threadsafe(arrived.put_nowait, item)

        job = self._enter(steps, send, cost, who)
        try:
            while (item := await arrived.get()) is not END:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            job.cancelled = True

    def close(self) -> None:
        """End what runs and refuse what waits, with a ModelError; return when the thread is done."""
        with self.lock:
            ended = [*self.waiting, *filter(None, [self.running])]
        for job in ended:
            job.cancelled = True
            job.send(ModelError("the model", "it was closed", "Open it again"))
        self.worker.shutdown()

    def _enter(self, steps: Generator[Any], send: Callable[[Any], None], cost: int, who: str) -> Job:
        with self.lock:
            self.waiting = [job for job in self.waiting if not job.cancelled]
            if len(self.waiting) + bool(self.running) > self.limit:
                raise self._busy()
            now = self.round + (who in self.served or self.latecomers >= LATECOMERS)
            behind = [job.round + 1 for job in self.waiting if who and job.who == who]
            job = Job(steps, send, cost, who, max([now, *behind]))
            self.latecomers += job.round == self.round
            self.worker.submit(self._run_next)  # one for each job; those of cancelled ones find less to do
            self.waiting.append(job)
            return job

    def _busy(self) -> ModelBusy:
        """Return the error with the seconds in which all that waits will have had its turn."""
        running = self.running.cost if self.running else 0
        pace = self.pace or ((time.monotonic() - self.began) / running if running else 0.0)
        wait_s = max(1.0, pace * (running + sum(job.cost for job in self.waiting)))
        reason = f"{len(self.waiting)} requests wait for it already"
        return ModelBusy("the model", reason, f"Ask again in {wait_s:.0f} s, or raise RAG_QUEUE", wait_s)

    def _next(self) -> Job | None:
        with self.lock:
            self.waiting = [job for job in self.waiting if not job.cancelled]
            if not self.waiting:
                return None
            job = min(self.waiting, key=lambda job: (job.round, job.cost))
            self.waiting.remove(job)
            if job.round > self.round:
                self.round, self.latecomers, self.served = job.round, 0, set()
            self.served |= {job.who} - {""}
            self.running, self.began = job, time.monotonic()
            return job

    def _run_next(self) -> None:
        if not (job := self._next()):
            return
        end: Any = END
        try:
            with contextlib.closing(job.steps):
                for item in job.steps:
                    if job.cancelled:
                        break
                    job.send(item)
        except BaseException as error:  # handed over, and raised where the answer is read
            end = error
        with self.lock:
            self.running = None
            if end is END and not job.cancelled:
                spent = (time.monotonic() - self.began) / max(job.cost, 1)
                self.pace += (spent - self.pace) * (0.2 if self.pace else 1)
        job.send(end)
