"""The rows of an evaluation of answers come in; one HTML file to read them by, which needs nothing else, goes out."""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from errors import EvaluationError, one_line
from evaluation.answer_metrics import Row, summarise
from evaluation.comparing import Compared, compare, read_answer_rows
from evaluation.significance import LEAST_QUERIES, paired_bootstrap

BINS = 10
WORST = 12  # cases of each kind
BARS = 20  # of the histogram
NEEDED = ("id", "question", "answer", "sufficiency", "milliseconds")
REMEDY = "give the file that `evaluate answers --rows FILE` writes"


def read_rows(path: Path) -> list[Row]:
    """Read the JSON lines that `evaluate answers --rows` writes; raise EvaluationError that names what is amiss."""
    rows = list(read_answer_rows(path).values())
    if not rows:
        raise EvaluationError(path, "it is empty", REMEDY)
    for number, row in enumerate(rows, 1):
        if missing := [name for name in NEEDED if row.get(name) is None]:
            raise EvaluationError(f"{path}, row {number}", f"it has no {', '.join(missing)}", REMEDY)
    return rows


def write_report(
    rows: Sequence[Row], out: Path, *, against: Sequence[Row] = (), scores: Mapping[str, Any] | None = None, title: str
) -> dict[str, Any]:
    """Write the report and return what it shows.

    against: rows of other settings. scores: what `evaluate answers --json` printed, with the settings.

    All text of rows is escaped, and the page may load and run nothing (its Content-Security-Policy says so). Raise
    EvaluationError where the file can't be written.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = FileSystemLoader(Path(__file__).parent)
    pages = Environment(autoescape=True, loader=folder, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    pages.filters["csp_hash"] = _csp_hash
    shown = report(rows, against, scores)
    try:
        out.write_text(pages.get_template("report.html.j2").render(shown, title=title), encoding="utf-8")
    except OSError as error:
        raise EvaluationError(out, one_line(error), "name a file in a folder that exists") from None
    return shown


def _csp_hash(style: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(str(style).encode()).digest()).decode()


def report(rows: Sequence[Row], against: Sequence[Row] = (), scores: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return all that the page shows, as plain numbers and texts."""
    told = dict(scores or {})
    settings = told.pop("settings", {})
    milliseconds = [float(row["milliseconds"]) for row in rows]
    return {
        "summary": summary(rows) | told,
        "settings": settings if isinstance(settings, dict) else {},
        "types": by_type(rows, against),
        "reliability": reliability(rows),
        "risk": risk_coverage(rows),
        "latency": histogram(milliseconds),
        "worst": worst(rows),
        "against": [asdict(each) for each in compared(rows, against)],
    }


def is_right(row: Row) -> bool:
    """Tell whether an answerable question got an answer that holds a reference, an unanswerable one a refusal."""
    if not row["answerable"]:
        return bool(row["abstained"])
    return bool(row["contains"]) and not row["abstained"]


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the figures that the rows alone tell, those of `evaluate answers` among them."""
    counts = {"questions": len(rows), "answerable": sum(map(bool, (row["answerable"] for row in rows)))}
    return counts | {"right": _mean(map(is_right, rows))} | summarise(rows)


def by_type(rows: Sequence[Row], against: Sequence[Row] = ()) -> list[dict[str, Any]]:
    """Return for each type of question the share rightly answered or refused, and the mean F1 of answerable ones."""
    names = dict.fromkeys(_type(row) for row in rows)
    return [
        {"type": name, "questions": len(own), "right": _mean(map(is_right, own))}
        | {"f1": _mean(row["f1"] for row in own if row["answerable"])}
        | {"against": _mean(is_right(row) for row in against if _type(row) == name)}
        for name in names
        for own in [[row for row in rows if _type(row) == name]]
    ]


def reliability(rows: Sequence[Row], bins: int = BINS) -> dict[str, Any]:
    """Return what the abstention signal promises against what comes true, in bins of equal width.

    A bin has the mean sufficiency of its questions and the share of them that are answerable; `ece` is the expected
    calibration error: the mean distance of the two, weighted by questions (Guo and others 2017, arXiv 1706.04599).
    """
    told = np.array([float(row["sufficiency"]) for row in rows])
    truth = np.array([row["answerable"] for row in rows], dtype=float)
    places = np.minimum((told * bins).astype(int), bins - 1)
    found = [
        {"told": float(told[at].mean()), "true": float(truth[at].mean()), "questions": int(at.sum())}
        for bin_ in range(bins)
        if (at := places == bin_).any()
    ]
    ece = sum(each["questions"] * abs(each["told"] - each["true"]) for each in found) / len(rows)
    return {"bins": found, "ece": ece}


def risk_coverage(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the share of wrong answers among the most sufficient ones, by the share of all questions answered.

    Refused questions were never answered, so the curve ends where they begin. `area` is the mean risk along the curve;
    equal sufficiencies stand at one point (El-Yaniv and Wiener 2010, JMLR 11).
    """
    answered = sorted((row for row in rows if not row["abstained"]), key=lambda row: -float(row["sufficiency"]))
    wrong = np.cumsum([not is_right(row) for row in answered])
    points = [
        {"coverage": n / len(rows), "risk": float(wrong[n - 1]) / n}
        for n, row in enumerate(answered, 1)
        if n == len(answered) or float(answered[n]["sufficiency"]) != float(row["sufficiency"])
    ]
    return {"points": points, "area": _mean(point["risk"] for point in points)}


def histogram(values: Sequence[float], bars: int = BARS) -> dict[str, Any]:
    """Return the counts of values in bars of equal width from 0 to the largest, that width, and two percentiles."""
    top = max(values) or 1.0
    counts, _ = np.histogram(values, bins=bars, range=(0, top))
    p50, p95 = (float(cut) for cut in np.percentile(values, (50, 95)))
    return {"counts": [int(count) for count in counts], "width": top / bars, "top": top, "p50": p50, "p95": p95}


def worst(rows: Sequence[Row], most: int = WORST) -> list[dict[str, Any]]:
    """Return what went wrong, by kind: the worst answers first, then the surest of wrong answers and refusals."""
    asked = [row for row in rows if row["answerable"]]
    wrong = [row for row in asked if not row["abstained"] and not is_right(row)]
    kinds = {
        "Answers without the reference": sorted(wrong, key=lambda row: (row["f1"] or 0, -row["sufficiency"])),
        "Refused, though the documents answer": sorted(
            (row for row in asked if row["abstained"]), key=lambda row: row["sufficiency"]
        ),
        "Answered, though the documents do not": sorted(
            (row for row in rows if not row["answerable"] and not row["abstained"]),
            key=lambda row: -row["sufficiency"],
        ),
    }
    return [
        {"kind": kind, "cases": [_case(row) for row in found[:most]], "all": len(found)}
        for kind, found in kinds.items()
    ]


def _case(row: Row) -> dict[str, Any]:
    """Return a row with its passages cut into stretches, those marked that it cites."""
    cited: dict[int, list[str]] = {}
    for statement in row.get("statements") or ():
        for citation in statement["citations"]:
            cited.setdefault(citation["n"], []).append(citation["text"])
    sources, contexts = row.get("sources") or (), row.get("contexts") or ()
    passages = [
        {"n": n, "source": Path(source["source"]).name, "page": source.get("page")}
        | {"parts": marked(text, cited.get(n, ()))}
        for n, (source, text) in enumerate(zip(sources, contexts, strict=False), 1)
    ]
    shown = {name: row.get(name) for name in ("id", "question", "answer", "sufficiency", "f1")}
    return shown | {"type": _type(row), "answers": row.get("answers") or (), "passages": passages}


def marked(text: str, quotes: Sequence[str]) -> list[tuple[str, bool]]:
    """Return the text cut into stretches, each with whether it stands in one of the quotes."""
    is_cited = np.zeros(len(text), dtype=bool)
    for quote in filter(None, quotes):
        if (at := text.find(quote)) >= 0:
            is_cited[at : at + len(quote)] = True
    edges = [0, *(np.flatnonzero(np.diff(is_cited)) + 1).tolist(), len(text)]
    return [(text[a:b], bool(is_cited[a])) for a, b in pairwise(edges) if a < b]


def compared(rows: Sequence[Row], against: Sequence[Row]) -> list[Compared]:
    """Return the differences to other settings over the questions that both have: this is `b`, the other `a`."""
    both = {row["id"] for row in rows} & {row["id"] for row in against}
    if len(both) < LEAST_QUERIES:
        return []
    ours, theirs = ({row["id"]: row for row in found if row["id"] in both} for found in (rows, against))
    metrics = compare(summarise([*theirs.values()]), summarise([*ours.values()]), (theirs, ours))
    right = _mean_difference("right", is_right, ours, theirs)
    time = _mean_difference("milliseconds", lambda row: float(row["milliseconds"]), ours, theirs)
    return [right, *metrics, time]


def _mean_difference(
    name: str, value: Callable[[Row], float], ours: Mapping[str, Row], theirs: Mapping[str, Row]
) -> Compared:
    this, other = ([float(value(found[id_])) for id_ in ours] for found in (ours, theirs))
    judged = paired_bootstrap(this, other)
    interval = (judged.mean, judged.low, judged.high, judged.beyond_noise)
    return Compared(name, mean(other), mean(this), *interval)


def _type(row: Row) -> str:
    return str(row.get("type") or ("unanswerable" if not row["answerable"] else "answerable"))


def _mean(values: Any) -> float | None:
    known = [float(value) for value in values if value is not None]
    return round(mean(known), 4) if known else None
