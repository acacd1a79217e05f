"""The scores of two evaluations come in; how they differ, and which bounds they break, goes out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from errors import EvaluationError, ScoreError, one_line
from evaluation.answer_metrics import HARMS, Row, Share, shares
from evaluation.significance import paired_ratios

# How much worse a score may be where no rows tell what noise is: an absolute difference of a share, a relative one of
# times and speeds, which other work on the machine moves.
TOLERANCE, SLOWER = 0.02, 0.5
Scores = dict[str, Any]
Rows = Mapping[str, Row]  # by id
Paired = tuple[list[Share], list[Share]]  # a metric's shares in the rows of two evaluations, in one order


@dataclass(frozen=True)
class Compared:
    """A metric's values in two evaluations, and with paired rows the interval of their difference.

    difference: b less a; None where one of them has no value. worse: whether b is worse than a beyond noise, or
    without rows beyond the tolerance.
    """

    metric: str
    a: float | None
    b: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    beyond_noise: bool | None = None
    worse: bool = False


def read_scores(path: Path) -> Scores:
    """Return what an evaluation printed with --json; raise EvaluationError when the file is not that."""
    remedy = "give what `evaluate … --json` prints"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EvaluationError(path, one_line(error), remedy) from None
    if not isinstance(found, dict) or not metrics_of(found):
        raise EvaluationError(path, "it holds no scores", remedy)
    return found


def read_answer_rows(path: Path) -> Rows:
    """Return the rows that --rows wrote, by id; raise EvaluationError that names the row."""
    number = 0
    try:
        rows = {}
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):  # noqa: B007  (told below)
            row = json.loads(line)
            shares(row)
            rows[row["id"]] = row
    except OSError as error:
        raise EvaluationError(path, one_line(error), "give a file that `evaluate answers --rows` wrote") from None
    except (ValueError, KeyError, TypeError) as error:
        reason = f"not as expected ({one_line(error)})"
        raise EvaluationError(f"{path}, row {number}", reason, "let `evaluate answers --rows` write it") from None
    return rows


def metrics_of(scores: Scores) -> dict[str, float | None]:
    """Return the scores that can be compared: fractions and milliseconds, or None; whole numbers are counts.

    Those of a judge have their mean within `metrics`.
    """
    judged = {name: each["mean"] for name, each in scores.get("metrics", {}).items()}
    return {name: value for name, value in (scores | judged).items() if value is None or isinstance(value, float)}


def report(a: Path, b: Path, rows: tuple[Path, Path] | None = None) -> Scores:
    """Return {"metrics", "settings"}: how the scores in file b differ from those in a, and in which settings."""
    compared = compare_files(a, b, rows)
    return {
        "metrics": [asdict(each) for each in compared],
        "settings": changed_settings(read_scores(a), read_scores(b)),
    }


def compare_files(a: Path, b: Path, rows: tuple[Path, Path] | None = None) -> list[Compared]:
    """Return `compare` of two files of scores, with the rows in `rows` or in files beside both: a.jsonl by a.json."""
    beside = (a.with_suffix(".jsonl"), b.with_suffix(".jsonl"))
    rows = rows or (beside if all(path.is_file() for path in beside) else None)
    paired = (read_answer_rows(rows[0]), read_answer_rows(rows[1])) if rows else None
    return compare(read_scores(a), read_scores(b), paired)


def compare_with(baseline: Path, scores: Scores, rows: Sequence[Row]) -> list[Compared]:
    """Return `compare` of a file of scores with ones just measured, paired where the file's rows lie beside it."""
    before = baseline.with_suffix(".jsonl")
    paired = (read_answer_rows(before), {row["id"]: row for row in rows}) if before.is_file() else None
    return compare(read_scores(baseline), scores, paired)


def compare(a: Scores, b: Scores, rows: tuple[Rows, Rows] | None = None) -> list[Compared]:
    """Return each metric that both have, with rows of the same questions its paired bootstrap interval.

    Raise EvaluationError when one side lacks a metric in common, or a row of the other.
    """
    one, two = metrics_of(a), metrics_of(b)
    names = [name for name in one if name in two]
    if not names:
        raise EvaluationError("the two files", "they have no metric in common", "compare two of the same command")
    paired = _paired(*rows) if rows else {}
    return [_compared(name, one[name], two[name], paired.get(name)) for name in names]


def _paired(a: Rows, b: Rows) -> dict[str, Paired]:
    """Return each metric's shares in the rows of both, in one order."""
    lost = sorted(a.keys() ^ b.keys())
    remedy = "evaluate both on the same questions"
    if lost:
        count = "1 question has" if len(lost) == 1 else f"{len(lost)} questions have"
        raise EvaluationError("the rows", f"{count} a row in one file only: {', '.join(lost[:3])}", remedy)
    changed = next((id_ for id_ in a if a[id_]["question"] != b[id_]["question"]), None)
    if changed is not None:
        raise EvaluationError("the rows", f"{changed} is another question in each", remedy)
    told = [(shares(a[id_]), shares(b[id_])) for id_ in a]
    return {name: ([one[name] for one, _ in told], [two[name] for _, two in told]) for name in told[0][0]}


def _compared(name: str, a: float | None, b: float | None, paired: Paired | None) -> Compared:
    if a is None or b is None:
        return Compared(name, a, b, worse=a is not None)
    difference = round(b - a, 4)
    loss = difference if is_harm(name) else -difference
    if paired is None:
        return Compared(name, a, b, difference, worse=loss > (SLOWER * a if is_speed(name) else TOLERANCE))
    found = paired_ratios(paired[1], paired[0])
    low, high = round(found.low, 4), round(found.high, 4)
    return Compared(name, a, b, difference, low, high, found.beyond_noise, worse=found.beyond_noise and loss > 0)


def is_speed(name: str) -> bool:
    """Tell whether a metric is a time or a speed, which depends on the machine."""
    return "_ms_" in name or name.endswith("_per_s")


def is_harm(name: str) -> bool:
    """Tell whether less of a metric is better."""
    return name in HARMS or "_ms_" in name


def check_bounds(scores: Scores, bounds: Mapping[str, float]) -> None:
    """Raise ScoreError naming each metric that is under its bound, or for what should be low above it, or unknown."""
    found = metrics_of(scores)
    unknown = [name for name in bounds if name not in found]
    if unknown:
        raise EvaluationError(unknown[0], "no such metric", f"name one of {', '.join(found)}")
    broken = []
    for name, bound in bounds.items():
        value = found[name]
        if value is None or (value > bound if is_harm(name) else value < bound):
            broken.append(f"{name} {value} is {'above' if is_harm(name) else 'under'} {bound:g}")
    if broken:
        raise ScoreError("scores", "; ".join(broken), "the rows (--rows) show which questions are lost")


def check_regression(compared: Sequence[Compared]) -> None:
    """Raise ScoreError naming each metric that is worse in the second evaluation."""
    broken = [
        f"{each.metric} {each.b} after {each.a}"
        + (f" (difference {each.low:+.4f} to {each.high:+.4f})" if each.low is not None else "")
        for each in compared
        if each.worse
    ]
    if broken:
        raise ScoreError(
            "worse than the baseline", "; ".join(broken), "the rows (--rows) show which questions are lost"
        )


def changed_settings(a: Scores, b: Scores) -> dict[str, tuple[Any, Any]]:
    """Return the settings in which two evaluations differ, with the value in each."""
    one, two = a.get("settings", {}), b.get("settings", {})
    names = dict.fromkeys([*one, *two])
    return {name: (one.get(name), two.get(name)) for name in names if one.get(name) != two.get(name)}
