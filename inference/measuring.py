"""Ways to load a model come in; the seconds that each takes to read and to write a token go out."""

import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from inference.engine import Engine, open_engine
from inference.loading import Loading

TEXT = "A token is what a language model reads and writes: a word, a part of one, a sign of punctuation or a digit. "


@dataclass(frozen=True)
class Pace:
    """Seconds a token."""

    reading: float
    writing: float

    def of_answer(self, prompt_tokens: int, answer_tokens: int) -> float:
        """Return the seconds that an answer takes."""
        return prompt_tokens * self.reading + answer_tokens * self.writing


def measure(
    ways: Mapping[str, tuple[Path, Loading]],
    *,
    prompt_tokens: int,
    answer_tokens: int,
    rounds: int,
    deadline: float = float("inf"),
) -> dict[str, list[Pace]]:
    """Return each way's pace in every whole round; all take turns, so that other work slows all of them alike.

    No round begins after `deadline`, in seconds of time.monotonic(), so there may be fewer than asked for.
    """
    paces: dict[str, list[Pace]] = {name: [] for name in ways}
    room = prompt_tokens + answer_tokens + 1
    with ExitStack() as opened:
        engines = {
            name: opened.enter_context(closing(open_engine(path, replace(loading, context_tokens=room))))
            for name, (path, loading) in ways.items()
        }
        for engine in engines.values():
            _pace(engine, 8, 2)  # the first evaluation reads the weights from disk, and makes buffers
        for number in range(rounds):
            if time.monotonic() > deadline:
                break
            # Every other round goes backwards, so that none profits from its place.
            for name in [*engines][:: 1 - 2 * (number % 2)]:
                paces[name].append(_pace(engines[name], prompt_tokens, answer_tokens))
    return paces


def typical(paces: list[Pace]) -> Pace:
    """Return the medians."""
    return Pace(median(pace.reading for pace in paces), median(pace.writing for pace in paces))


def _pace(engine: Engine, prompt_tokens: int, answer_tokens: int) -> Pace:
    import llama_cpp

    llama = engine.llama
    text = engine.tokenize(TEXT, special=False)
    tokens = (text * (1 + (prompt_tokens + answer_tokens) // len(text)))[: prompt_tokens + answer_tokens]
    llama.reset()  # type: ignore[no-untyped-call]
    began = time.perf_counter()
    llama.eval(tokens[:prompt_tokens])
    llama_cpp.llama_synchronize(llama.ctx)  # a GPU computes on after eval returns
    read = time.perf_counter()
    for token in tokens[prompt_tokens:]:
        llama.eval([token])
        llama_cpp.llama_synchronize(llama.ctx)
    written = time.perf_counter()
    return Pace((read - began) / prompt_tokens, (written - read) / answer_tokens)
