"""The queue before the model: who comes when, without one; then many users on the real small weights."""

import asyncio
import pickle
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig, RunnableLambda, RunnablePassthrough

from errors import ModelBusy, ModelError
from inference.chat_model import LlamaCppChat
from inference.turns import LATECOMERS, Turns


@pytest.fixture
def turns() -> Iterator[Turns]:
    made = Turns()
    yield made
    made.close()


def wait_for(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    ends = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.002)


@contextmanager
def held(turns: Turns, cost: int = 1) -> Iterator[None]:
    """Keep the turn, and with it all others waiting, for the time of a with block."""
    left = threading.Event()

    def hold() -> Generator[None]:
        yield
        left.wait()

    holding = turns.stream(hold(), cost)
    next(holding)
    try:
        yield
    finally:
        left.set()


# (user, cost, when: after how many turns it comes)
arrivals = st.lists(st.tuples(st.sampled_from(["", "a", "b", "c"]), st.integers(1, 9), st.integers(0, 12)), max_size=30)


def order_of(jobs: list[tuple[str, int, int]]) -> list[tuple[int, set[int]]]:
    """Run the jobs; return each turn's job and those that waited meanwhile, jobs being told by where they stand."""
    turns, done, given_turns, waiting = Turns(limit=100), threading.Event(), list[tuple[int, set[int]]](), set[int]()

    def arrive(now: int) -> None:
        for n, (who, cost, _) in enumerate(jobs):
            if min(jobs[n][2], len(jobs)) == now and n not in waiting and all(n != job for job, _ in given_turns):
                turns._enter(serve(n), lambda item: None, cost, who)
                waiting.add(n)

    def serve(n: int) -> Generator[None]:
        waiting.discard(n)
        given_turns.append((n, set(waiting)))
        yield
        arrive(len(given_turns))
        if not waiting:  # nobody else would bring those that are still to come
            for now in range(len(given_turns), 13):
                arrive(now)
        if len(given_turns) == len(jobs):
            done.set()

    def begin() -> Generator[None]:
        yield
        arrive(0)
        if not waiting:
            for now in range(13):
                arrive(now)

    if jobs:
        turns._enter(begin(), lambda item: None, 1, "")
        assert done.wait(10)
    turns.close()
    return given_turns


@given(arrivals)
def test_every_job_is_served_once_and_a_users_in_the_order_of_their_coming(jobs: list[tuple[str, int, int]]) -> None:
    served = [job for job, _ in order_of(jobs)]
    assert sorted(served) == list(range(len(jobs)))
    for who in "abc":
        theirs = [min(jobs[n][2], len(jobs)) for n in served if jobs[n][0] == who]
        assert theirs == sorted(theirs)


@given(arrivals)
def test_nobody_starves(jobs: list[tuple[str, int, int]]) -> None:
    served = order_of(jobs)
    for at, (job, _) in enumerate(served):
        who, came = jobs[job][0], next(n for n, (_, waiting) in enumerate([*served, (0, {job})]) if job in waiting)
        others = [jobs[n][0] for n, waiting in served[came:at] if job in waiting]
        if not who or who not in others:  # first of its user
            later = [
                n for n, _ in served[came:at] if came and n not in served[came - 1][1] and n not in served[came][1]
            ]
            assert len(later) <= 2 * LATECOMERS
            for other in {*others} - {"", who}:
                assert others.count(other) <= 2


def test_among_those_that_wait_the_cheaper_go_first() -> None:
    jobs = [("", cost, 0) for cost in (5, 3, 9, 1)]
    assert [jobs[n][1] for n, _ in order_of(jobs)] == [1, 3, 5, 9]


def test_a_dear_job_is_served_under_a_stream_of_cheap_ones(turns: Turns) -> None:
    served: list[str] = []

    def serve(name: str) -> Generator[None]:
        served.append(name)
        yield
        if name == "cheap" and len(served) < 100:
            for _ in range(2):
                turns._enter(serve("cheap"), lambda item: None, 1, "")

    with held(turns):
        for name, cost in (("dear", 1000), ("cheap", 1), ("cheap", 1)):
            turns._enter(serve(name), lambda item: None, cost, "")
    wait_for(lambda: "dear" in served)
    assert served.index("dear") <= LATECOMERS + 2


def test_who_asks_much_takes_turns_with_who_asks_little(turns: Turns) -> None:
    served: list[str] = []

    def serve(name: str) -> Generator[None]:
        served.append(name)
        yield

    with held(turns):
        for who in ["much"] * 6 + ["little"] * 2:
            turns._enter(serve(who), lambda item: None, 1, who)
    wait_for(lambda: len(served) == 8)
    assert sorted(served[:2]) == sorted(served[2:4]) == ["little", "much"]


def test_a_full_queue_says_when_to_come_again_and_who_leaves_makes_room() -> None:
    turns = Turns(limit=2)
    turns.pace = 0.01
    with held(turns, 100):
        jobs = [turns._enter(iter_of(), lambda item: None, 50, "") for _ in range(2)]
        with pytest.raises(ModelBusy, match=r"2 requests wait.*Ask again in 2 s.*RAG_QUEUE") as caught:
            next(turns.stream(iter_of(), 50))
        assert caught.value.retry_after_s == pytest.approx(2.0)
        assert pickle.loads(pickle.dumps(caught.value)).retry_after_s == caught.value.retry_after_s
        jobs[0].cancelled = True
        assert turns._enter(iter_of(), lambda item: None, 50, "")
    turns.close()


def iter_of(*items: str) -> Generator[str]:
    yield from items


def failing() -> Generator[str]:
    yield "first"
    raise ValueError("inside")


def test_an_error_reaches_the_reader_and_frees_the_turn(turns: Turns) -> None:
    with pytest.raises(ValueError, match="inside"):
        list(turns.stream(failing(), 1))
    assert list(turns.stream(iter_of("a", "b"), 1)) == ["a", "b"]


def test_closing_the_queue_tells_all_who_wait(turns: Turns) -> None:
    with ThreadPoolExecutor(2) as pool, held(turns):
        readers = [pool.submit(lambda: list(turns.stream(iter_of("x"), 1))) for _ in range(2)]
        wait_for(lambda: len(turns.waiting) == 2)
        closing = threading.Thread(target=turns.close)
        closing.start()
        for reader in readers:
            with pytest.raises(ModelError, match="closed"):
                reader.result(10)
    closing.join(10)
    assert not closing.is_alive()


MARKERS = ("apple", "bridge", "candle", "dragon", "engine", "forest", "guitar", "hammer")


def chain_on(llm: LlamaCppChat) -> Any:
    prompt = ChatPromptTemplate.from_messages([("human", "Write one sentence with the word {word} in it.")])
    return prompt | llm.bind(max_tokens=8) | StrOutputParser()


async def test_eight_users_get_the_answers_that_they_get_alone(llm: LlamaCppChat) -> None:
    chain = chain_on(llm)
    alone = {word: chain.invoke({"word": word}) for word in MARKERS}
    assert len(set(alone.values())) == len(MARKERS) and all(word in alone[word].lower() for word in MARKERS)

    async def ask(word: str) -> tuple[str, str]:
        return word, "".join([piece async for piece in chain.astream({"word": word})])

    with ThreadPoolExecutor(2) as pool:
        threads = [pool.submit(chain.invoke, {"word": word}) for word in MARKERS[:2]]
        assert dict(await asyncio.gather(*map(ask, MARKERS))) == alone
        assert [thread.result() for thread in threads] == [alone[word] for word in MARKERS[:2]]


async def test_the_users_name_reaches_the_queue_by_every_way_of_asking(llm: LlamaCppChat) -> None:
    chain = RunnablePassthrough.assign(result=RunnableLambda(lambda state: "Hi") | llm.bind(max_tokens=1))

    async def read(stream: AsyncIterator[Any]) -> None:
        async for _ in stream:
            pass

    def config(who: str) -> RunnableConfig:
        return {"metadata": {"user": who}}

    with ThreadPoolExecutor(4) as pool, held(llm.engine.turns):
        pool.submit(lambda: list(chain.stream({}, config=config("chain stream"))))
        pool.submit(lambda: list(llm.stream("Hi", config=config("stream"), max_tokens=1)))
        pool.submit(lambda: chain.invoke({}, config=config("chain invoke")))
        pool.submit(lambda: llm.batch(["Hi"], config=config("batch"), max_tokens=1))
        tasks = [
            asyncio.create_task(read(chain.astream({}, config=config("chain astream")))),
            asyncio.create_task(read(llm.astream("Hi", config=config("astream"), max_tokens=1))),
            asyncio.create_task(llm.ainvoke("Hi", config=config("ainvoke"), max_tokens=1)),
        ]
        while len(llm.engine.turns.waiting) < 7:
            await asyncio.sleep(0.005)
        names = {"chain stream", "stream", "chain invoke", "batch", "chain astream", "astream", "ainvoke"}
        assert {job.who for job in llm.engine.turns.waiting} == names
    await asyncio.gather(*tasks)


async def test_a_short_request_goes_before_long_ones_and_a_cancelled_one_leaves(llm: LlamaCppChat) -> None:
    long, finished = "The sea is wide. " * 30, list[str]()

    async def ask(name: str, text: str) -> None:
        await llm.ainvoke(text, max_tokens=4)
        finished.append(name)

    with held(llm.engine.turns):
        tasks = [asyncio.create_task(ask(name, long + name)) for name in ("long", "cancelled")]
        tasks.append(asyncio.create_task(ask("short", "Hi")))
        await asyncio.sleep(0)
        while len(llm.engine.turns.waiting) < 3:
            await asyncio.sleep(0.002)
        tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert finished == ["short", "long"]


async def test_a_running_request_ends_within_a_token(llm: LlamaCppChat) -> None:
    stream = llm.astream("Tell a very long story.", max_tokens=900)
    await anext(stream)
    job = llm.engine.turns.running
    await stream.aclose()  # type: ignore[attr-defined]
    await asyncio.to_thread(wait_for, lambda: llm.engine.turns.running is not job, 2.0)
