"""A GGUF file and how it was to be loaded come in; the file and the loading that are fastest on this machine go out."""

import json
import logging
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path

from errors import ModelError, one_line
from inference.engine import physical_cores, usable_cpus
from inference.gguf_header import read_header
from inference.loading import Loading
from inference.measuring import Way, measure
from inference.requantising import requantise

# An answer from four passages: what reading and writing weigh in deciding what is faster.
PROMPT_TOKENS, ANSWER_TOKENS = 900, 60
LEAST_GAIN = 1.1  # times as fast by the best round and by the middle one, or all stays as it is
ROUNDS = 3  # of a comparison
SMALL, LARGE = (96, 12), (32, 4)  # tokens read and written in a round, of files under and over LARGEST
BUDGET_S = 20.0  # no round begins later: what too little was seen of by then stays as it is
# Larger files are not written anew, nor those of more bits a weight: q8_0, of 8.5, loses nothing of what has up to six.
LARGEST, MOST_BITS = 1_000_000_000, 6.6
VERSION = 1  # of all this: another one measures anew
PROCESSORS = Path("/proc/cpuinfo")

log = logging.getLogger(__name__)


def tune(path: Path, loading: Loading, cache: Path, *, requantised: bool = True, budget_s: float = BUDGET_S) -> Way:
    """Return which file to load and how: measured at the first start, then remembered in the folder `cache`.

    What is remembered holds for this file, machine, llama.cpp and numbers of threads asked for, so that a question has
    the same answer at every start; without the file tuned-….json it is measured again. Numbers of threads that the
    loading names stay. On a GPU nothing is measured. `requantised`: whether a copy of the weights may be used.
    """
    import llama_cpp

    if loading.gpu_layers != 0 and llama_cpp.llama_supports_gpu_offload():
        return path, loading
    note = cache / f"tuned-{_key(path, loading, requantised)}.json"
    way = _read(note, path, loading)
    if way is None:
        way, gains = _measure(path, loading, cache, requantised, budget_s)
        chosen = {"file": str(way[0]), "threads": [way[1].threads, way[1].prompt_threads], "times as fast": gains}
        try:
            cache.mkdir(parents=True, exist_ok=True)
            draft = note.with_suffix(".new")
            draft.write_text(json.dumps(chosen))
            draft.replace(note)
        except OSError as error:
            log.warning("%s can't be written (%s): set RAG_CACHE or RAG_TUNE=false.", cache, one_line(error))
    return way


def _measure(
    path: Path, loading: Loading, cache: Path, requantised: bool, budget_s: float
) -> tuple[Way, dict[str, float]]:
    """Return the fastest way that was found in time, and how many times as fast each change was."""
    way, gains, deadline = (path, loading), {}, time.monotonic() + budget_s
    if changes := _changes(path, loading, cache, requantised):
        log.warning("Measuring once how %s runs fastest here: 5 to %.0f s.", path.name, budget_s)
    for name, change in changes.items():
        if time.monotonic() > deadline:
            break
        try:
            other = change(way)
            gains[name] = _gain(way, other, deadline)
        except ModelError as error:  # no room for the copy, or llama.cpp refuses: it runs as it is
            log.warning("%s", error)
            continue
        way = other if gains[name] >= LEAST_GAIN else way
    return way, gains


def _changes(path: Path, loading: Loading, cache: Path, requantised: bool) -> dict[str, Callable[[Way], Way]]:
    """Return what may make the model faster, each to be tried on what has proved best so far.

    Batches and flash attention are not among it: on a CPU they change less than the noise (benchmarks/model.md).
    """
    size, cores = path.stat().st_size, physical_cores()
    changes: dict[str, Callable[[Way], Way]] = {}
    if requantised and size < LARGEST and size < read_header(path).parameters * MOST_BITS / 8:
        changes["q8_0 weights"] = lambda way: (requantise(path, "q8_0", cache), way[1])
    if not loading.threads:  # memory limits how fast a token is written, and few threads may reach the limit
        for threads in sorted({cores // 2, usable_cpus()} - {0, 1, cores}):
            changes[f"{threads} threads"] = partial(_with_threads, threads)
    return changes


def _with_threads(threads: int, way: Way) -> Way:
    return way[0], replace(way[1], threads=threads, prompt_threads=way[1].prompt_threads or usable_cpus())


def _gain(way: Way, other: Way, deadline: float) -> float:
    """Return how many times as fast the other way is by the less favourable of two measures; 1 where time ran out."""
    ways = {"now": way, "other": other}
    read, written = SMALL if way[0].stat().st_size < LARGEST else LARGE
    paces = measure(ways, prompt_tokens=read, answer_tokens=written, rounds=ROUNDS, deadline=deadline)
    seconds = {name: sorted(p.of_answer(PROMPT_TOKENS, ANSWER_TOKENS) for p in of) for name, of in paces.items()}
    if len(seconds["now"]) < ROUNDS:
        return 1.0
    # Other work only ever slows a round: the best ones tell most, and the middle ones guard against a lucky one.
    return round(min(seconds["now"][at] / seconds["other"][at] for at in (0, ROUNDS // 2)), 2)


def _key(path: Path, loading: Loading, requantised: bool) -> str:
    """Return what the measurement depends on, hashed."""
    import llama_cpp

    stat, cpu = path.stat(), platform.processor()
    if PROCESSORS.is_file():
        cpu = next((line for line in PROCESSORS.read_text().splitlines() if line.startswith("model name")), cpu)
    machine = (cpu, usable_cpus(), physical_cores(), llama_cpp.__version__)
    asked = (loading.threads, loading.prompt_threads, requantised)
    what = (VERSION, str(path.resolve()), stat.st_size, stat.st_mtime_ns, machine, asked)
    return sha256(json.dumps(what).encode()).hexdigest()[:16]


def _read(note: Path, path: Path, loading: Loading) -> Way | None:
    try:
        noted = json.loads(note.read_text())
        file, (threads, prompt_threads) = Path(noted["file"]), map(int, noted["threads"])
    except (OSError, ValueError, KeyError, TypeError):  # not there yet, or damaged: measured again
        return None
    # Only a copy that was made here may stand in for the file that was asked for.
    known = file == path or (file.parent == note.parent and file.name.startswith(path.stem))
    return (
        (file, replace(loading, threads=threads, prompt_threads=prompt_threads)) if known and file.is_file() else None
    )
