"""Ways to load a model come in; the seconds that each takes to read and to write a token go out."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

from inference.engine import Engine, open_engine, threads_of
from inference.loading import Loading

TEXT = "A token is what a language model reads and writes: a word, a part of one, a sign of punctuation or a digit. "
Way = tuple[Path, Loading]


@dataclass(frozen=True)
class Pace:
    """Seconds a token."""

    reading: float
    writing: float

    def of_answer(self, prompt_tokens: int, answer_tokens: int) -> float:
        """Return the seconds that an answer takes."""
        return prompt_tokens * self.reading + answer_tokens * self.writing


def measure(
    ways: Mapping[str, Way],
    *,
    prompt_tokens: int,
    answer_tokens: int,
    rounds: int,
    deadline: float = float("inf"),
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[Pace]]:
    """Return each way's pace in every whole round; all take turns, so that other work slows all of them alike.

    No round begins after `deadline`, in seconds of time.monotonic(), so there may be fewer than asked for.
    """
    import llama_cpp

    paces: dict[str, list[Pace]] = {name: [] for name in ways}
    room = prompt_tokens + answer_tokens + 1
    loaded: dict[Way, Engine] = {}  # what differs in threads only is one: a large model may not fit twice
    with ExitStack() as opened:
        for path, loading in map(_without_threads, ways.values()):
            if (path, loading) not in loaded:
                engine = opened.enter_context(closing(open_engine(path, replace(loading, context_tokens=room))))
                _pace(engine, 8, 2, clock)  # the first evaluation reads the weights from disk, and makes buffers
                loaded[path, loading] = engine
        for number in range(rounds):
            if time.monotonic() > deadline:
                break
            # Every other round goes backwards, so that none profits from its place.
            for name in [*ways][:: 1 - 2 * (number % 2)]:
                engine, (_, loading) = loaded[_without_threads(ways[name])], ways[name]
                llama_cpp.llama_set_n_threads(engine.llama.ctx, *threads_of(loading))
                paces[name].append(_pace(engine, prompt_tokens, answer_tokens, clock))
    return paces


def _without_threads(way: Way) -> Way:
    return way[0], replace(way[1], threads=0, prompt_threads=0)


def _pace(engine: Engine, prompt_tokens: int, answer_tokens: int, clock: Callable[[], float]) -> Pace:
    import llama_cpp

    llama = engine.llama
    text = engine.tokenize(TEXT, special=False)
    tokens = (text * (1 + (prompt_tokens + answer_tokens) // len(text)))[: prompt_tokens + answer_tokens]
    llama.reset()  # type: ignore[no-untyped-call]
    began = clock()
    llama.eval(tokens[:prompt_tokens])
    llama_cpp.llama_synchronize(llama.ctx)  # a GPU computes on after eval returns
    read = clock()
    for token in tokens[prompt_tokens:]:
        llama.eval([token])
        llama_cpp.llama_synchronize(llama.ctx)
    written = clock()
    return Pace((read - began) / prompt_tokens, (written - read) / answer_tokens)
