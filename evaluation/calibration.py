"""Claims that people labelled come in; how well a judge agrees with them goes out, and is kept for later runs."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from errors import EvaluationError
from evaluation.judging import Judge, JudgeFailure, PromptTooLong
from evaluation.records import read_records, spread
from loaders.sync import Progress

SUPPORTED = {"supported", "support", "supports", "entailed", "entailment", "grounded", "true", "1"}
REMEDY = 'write one {"claim": …, "evidence": [sentences], "label": "supported" or another} a line'


def calibrate(
    judge: Judge, path: Path, *, limit: int | None = None, on_progress: Progress = lambda done, total, chunks: None
) -> dict[str, Any]:
    """Return the agreement of the judge's verdicts with the labels of claims {claim, evidence, label}.

    The verdict is that of faithfulness in ragas: whether a statement can be inferred from its context. A label that
    is not one of SUPPORTED, such as partially_supported, is a no. Evidence that doesn't fit is cut at the end, and
    such claims are counted in `trimmed`; claims without a verdict are left out, and counted in `failures`.
    """
    rows = spread(read_records(path, ("claim", "evidence", "label"), REMEDY), limit)
    said, labels, failures, trimmed = [], [], Counter[str](), 0
    for done, row in enumerate(rows, 1):
        try:
            verdict, was_cut = _verdict(judge, str(row["claim"]), [str(text) for text in row["evidence"]])
        except JudgeFailure as error:
            failures[str(error)] += 1
        else:
            said.append(verdict)
            labels.append(str(row["label"]).casefold() in SUPPORTED)
            trimmed += was_cut
        on_progress(done, len(rows), done)
    if not said:
        raise EvaluationError(
            path, f"{judge.name} gave no verdict on it ({dict(failures)})", "raise RAG_CONTEXT_TOKENS"
        )
    return {
        **agreement(said, labels),
        "claims": path.name if path.parent.name in ("", ".") else f"{path.parent.name}/{path.name}",
        "scored": len(said),
        "of": len(rows),
        "trimmed": trimmed,
        "failures": dict(failures),
    }


def _verdict(judge: Judge, claim: str, evidence: list[str]) -> tuple[bool, bool]:
    """Return whether the judge finds the claim in its evidence, and whether that had to be cut."""
    from ragas.metrics.collections.faithfulness.util import NLIStatementInput, NLIStatementOutput, NLIStatementPrompt

    kept = evidence
    while True:
        asked = NLIStatementInput(context="\n".join(kept), statements=[claim])
        try:
            answer = judge.generate(NLIStatementPrompt().to_string(asked), NLIStatementOutput)
        except PromptTooLong:
            if len(kept) < 2:
                raise
            kept = kept[: len(kept) * 3 // 4]
        else:
            return bool(answer.statements[0].verdict), len(kept) < len(evidence)


def agreement(said: Sequence[bool], labels: Sequence[bool]) -> dict[str, float | None]:
    """Return balanced accuracy and Cohen's kappa, rounded; null for a figure that needs both labels and lacks one."""
    pairs = Counter(zip(said, labels, strict=True))
    total, yes, said_yes = len(labels), sum(labels), sum(said)
    no = total - yes
    balanced = (pairs[True, True] / yes + pairs[False, False] / no) / 2 if yes and no else math.nan
    agreed = (pairs[True, True] + pairs[False, False]) / total
    by_chance = (yes * said_yes + no * (total - said_yes)) / total**2
    kappa = (agreed - by_chance) / (1 - by_chance) if by_chance < 1 else math.nan
    figures = {"balanced_accuracy": balanced, "kappa": kappa}
    return {name: None if math.isnan(value) else round(value, 4) for name, value in figures.items()}


def remember(cache: Path, judge: Judge, calibration: dict[str, Any]) -> None:
    """Keep the calibration of a judge, by the hash of its weights, in the cache."""
    cache.mkdir(parents=True, exist_ok=True)
    _kept(cache, judge).write_text(json.dumps({"judge": judge.name, **calibration}, ensure_ascii=False) + "\n")


def recall(cache: Path, judge: Judge) -> dict[str, Any] | None:
    """Return what was kept of a judge; None where it was not calibrated."""
    path = _kept(cache, judge)
    return dict(json.loads(path.read_text())) if path.is_file() else None


def _kept(cache: Path, judge: Judge) -> Path:
    return cache / f"{judge.key}-calibration.json"
