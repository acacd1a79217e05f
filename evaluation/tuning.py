"""Questions of a user's own, or a BEIR-layout folder, come in; settings that answer them better, if any, go out."""

import random
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from errors import EvaluationError
from evaluation import refusals
from evaluation.ablation import as_env, difference
from evaluation.bench import DEPTH, Bench, open_task
from evaluation.climbing import Change, Trial, climb, front
from evaluation.retrieval import shown
from evaluation.significance import LEAST_QUERIES
from loaders.sync import Progress
from settings import Settings

SEED = 0
LEAST = 2 * LEAST_QUERIES  # questions, half of which must be able to tell
CHUNKS = (100, 150, 200, 250)  # tokens
COUNTS = (1, 2, 3, 4, 6, 8, 12, 16, 20)  # values of top_k
MEASURE = "nDCG@10"


def tune(
    settings: Settings,
    target: Path,
    *,
    chunks: bool = False,
    minutes: float = 10,
    on_progress: Progress = lambda done, total, chunks: None,
    on_note: Callable[[str], None] = lambda note: None,
) -> dict[str, Any]:
    """Return what was tried, what of it holds on questions that were held back, and the lines for .env.

    `target` is a file that read_questions takes, about the user's index, or a folder that read_collection takes, which
    is ingested into a temporary store. Half of the questions, drawn with a fixed seed, choose by their mean nDCG@10;
    the other half judge the choice against the present settings by the paired bootstrap. Sizes of chunks are tried for
    a folder, and with `chunks` for the user's files: each reads them anew into a temporary store. The search ends after
    `minutes`; the judgement comes on top. Raise EvaluationError where there are too few questions to tell.
    """
    task = open_task(settings, target, chunks=chunks, on_progress=on_progress, on_note=on_note)
    if len(task.queries) < LEAST:
        reason = f"{len(task.queries)} questions that expect a passage are too few to tell settings apart"
        raise EvaluationError(target, reason, f"write at least {LEAST}; fifty tell more")
    train, held = halves(task.queries)
    with ExitStack() as stack:
        bench = Bench(settings, task, stack)
        trials = _search(bench, train, time.monotonic() + 60 * minutes, on_note)
        best = max(trials, key=lambda trial: trial.mean)  # of equal ones the first: the present settings
        base, top = _measure(bench, held, {}), _measure(bench, held, best.change)
        judged = difference(top.scores, base.scores)
        change = dict(best.change) if _is_better(judged) else {}
        counts = _count(bench, train, held, change)
        evidence = _refuse(bench, train, held, change)
    for found, name in ((counts, "top_k"), (evidence, "least_evidence")):
        change |= {name: found["value"]} if _is_better(found) else {}
    return {
        "tried": [
            {"setting": as_env(trial.change), "ndcg@10": round(trial.mean, 4)}
            | {"query_ms_p50": trial.milliseconds, "front": is_front}
            | {"settings": shown(settings.model_copy(update=trial.change))}
            for trial, is_front in zip(trials, front(trials), strict=True)
        ],
        "train": len(train),
        "validation": len(held),
        "unanswerable": len(task.unanswerable),
        "best": {"setting": as_env(best.change), "present": round(base.mean, 4), "ndcg@10": round(top.mean, 4)}
        | judged,
        "top_k": counts,
        "least_evidence": evidence,
        "env": [as_env({name: value}) for name, value in change.items()],
    }


def append_env(path: Path, lines: list[str]) -> None:
    """Add lines to a .env file, where the last one of a setting counts."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    start = "\n" if text and not text.endswith("\n") else ""
    with path.open("a", encoding="utf-8") as file:
        file.write(start + "\n".join(["# found by main.py tune", *lines]) + "\n")


def halves(questions: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return two halves, drawn with a fixed seed; of an odd number the first has one more."""
    drawn = random.Random(SEED).sample(list(questions), len(questions))  # noqa: S311  (nothing secret)
    middle = (len(drawn) + 1) // 2
    train, held = ({id_: questions[id_] for id_ in part} for part in (drawn[:middle], drawn[middle:]))
    return train, held


def _is_better(found: Mapping[str, Any]) -> bool:
    return bool(found.get("beyond_noise")) and found["difference"] > 0


def _measure(bench: Bench, queries: Mapping[str, str], change: Change) -> Trial:
    scores, milliseconds = bench.scores(queries, change, [MEASURE])
    return Trial(change, scores[MEASURE], milliseconds)


def _search(bench: Bench, train: Mapping[str, str], deadline: float, on_note: Callable[[str], None]) -> list[Trial]:
    """Return the trials, the present settings first: sizes of chunks, then ever better parts over the best size."""

    def told(trial: Trial) -> Trial:
        on_note(f"{as_env(trial.change) or 'present settings'}: {MEASURE} {trial.mean:.4f}")
        return trial

    began = time.monotonic()
    trials = [told(_measure(bench, train, {}))]
    for tokens in CHUNKS if bench.task.chunks else ():
        took = (time.monotonic() - began) / len(trials)
        if tokens != bench.settings.chunk_tokens and time.monotonic() + took < deadline:
            trials.append(told(_measure(bench, train, _chunks(bench.settings, tokens))))
    start = max(trials, key=lambda trial: trial.mean)
    steps = climb(bench.settings, start, partial(_measure, bench, train), lambda: time.monotonic() < deadline)
    return [*trials, *map(told, steps)]


def _chunks(settings: Settings, tokens: int) -> Change:
    overlap = min(settings.overlap_tokens, (tokens - 1) // 2)  # Settings wants it under half of a chunk
    return {"chunk_tokens": tokens} | ({} if overlap == settings.overlap_tokens else {"overlap_tokens": overlap})


def _count(bench: Bench, train: Mapping[str, str], held: Mapping[str, str], change: Change) -> dict[str, Any]:
    """Return the share of questions that find a right passage among the first k, and the k that suffices.

    That is the smallest k within a hundredth of the most, on the training half; it is judged on the other one.
    """
    present = min(bench.settings.top_k, DEPTH)
    names = {k: f"Success@{k}" for k in sorted({*COUNTS, present})}
    half, other = (bench.scores(queries, change, list(names.values()))[0] for queries in (train, held))
    hits = {k: float(half[name].mean()) for k, name in names.items()}
    value = next(k for k in hits if hits[k] >= max(hits.values()) - 0.01)
    shares = {str(k): round(float(other[name].mean()), 4) for k, name in names.items()}
    return {"value": value, "hit_rate": shares} | difference(other[names[value]], other[names[present]])


def _refuse(bench: Bench, train: Mapping[str, str], held: Mapping[str, str], change: Change) -> dict[str, Any]:
    """Return the threshold of evidence that tells best which questions have no answer; nothing where few have none.

    It is chosen on the training half and judged on the other one.
    """
    if len(bench.task.unanswerable) < LEAST:
        return {}
    settings, index, _ = bench.open(change)
    parts = zip((train, held), halves(bench.task.unanswerable), strict=True)
    half, other = (refusals.decide(settings, index, *part) for part in parts)
    present = settings.least_evidence
    value = refusals.pick_threshold(half, present)
    shares = {"present": round(float(other[present].mean()), 4), "rightly_told": round(float(other[value].mean()), 4)}
    return {"value": value} | shares | difference(other[value], other[present])
