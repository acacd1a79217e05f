"""Settings and a measure of changes to them come in; the changes that were tried, each with its scores, go out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from settings import Settings

Change = dict[str, Any]  # setting → value, where it differs from the present one
SPACE: dict[str, tuple[Any, ...]] = {  # what has moved results most on the development sets stands first
    "keyword_weight": (0.45, 0.3, 0.6, 0.15, 0.75, 0.0, 1.0),
    "reranker": ("light", "off"),
    "correct": (True, False),
    "decompose": (True, False),
    "rerank_candidates": (10, 20, 30, 60, 100),
    "candidates": (50, 100, 200),
}


@dataclass(frozen=True)
class Trial:
    """A change, the score of each question under it, and the median milliseconds of a question."""

    change: Change
    scores: np.ndarray
    milliseconds: float

    @property
    def mean(self) -> float:
        """Return the mean score."""
        return float(self.scores.mean())


def climb(
    settings: Settings, start: Trial, measure: Callable[[Change], Trial], in_time: Callable[[], bool]
) -> Iterator[Trial]:
    """Yield trials of coordinate ascent from `start`: a setting at a time, kept when the mean score rises.

    It goes round until nothing helps any more, or until `in_time` says no.
    """
    best, seen, rising = start, {_key(start.change)}, True
    while rising:
        rising = False
        for name, values in SPACE.items():
            for value in values:
                change = {key: kept for key, kept in best.change.items() if key != name}
                if value != getattr(settings, name):
                    change[name] = value
                if _key(change) in seen or not _matters(name, settings, change):
                    continue
                if not in_time():
                    return
                seen.add(_key(change))
                trial = measure(change)
                yield trial
                if trial.mean > best.mean + 1e-9:
                    best, rising = trial, True


def _key(change: Change) -> frozenset[tuple[str, Any]]:
    return frozenset(change.items())


def _matters(name: str, settings: Settings, change: Change) -> bool:
    return name != "rerank_candidates" or change.get("reranker", settings.reranker) != "off"


def front(trials: list[Trial]) -> list[bool]:
    """Tell of each trial whether none is both at least as good and at least as fast, and better in one (Pareto)."""

    def beaten(trial: Trial) -> bool:
        return any(
            other.mean >= trial.mean
            and other.milliseconds <= trial.milliseconds
            and (other.mean > trial.mean or other.milliseconds < trial.milliseconds)
            for other in trials
        )

    return [not beaten(trial) for trial in trials]
