"""Questions with and without an answer come in; the threshold of evidence that tells them apart goes out."""

from collections.abc import Mapping

import numpy as np

from chains.sufficiency import sufficiency
from searching import Index, build_evidence, build_rewriter
from settings import Settings

THRESHOLDS = (*(round(0.05 * step, 2) for step in range(1, 20)), 0.98, 0.99)


def pick_threshold(rights: Mapping[float, np.ndarray], present: float) -> float:
    """Return the threshold with the highest mean, of equal ones the nearest to the present."""
    return max(rights, key=lambda least: (round(float(rights[least].mean()), 9), -abs(least - present)))


def decide(
    settings: Settings, index: Index, answerable: Mapping[str, str], unanswerable: Mapping[str, str]
) -> dict[float, np.ndarray]:
    """Return, for each threshold, which questions it rightly lets through or refuses.

    Right counts so that the mean is the balanced accuracy: both kinds weigh the same, however many there are of each.
    """
    rewriter = build_rewriter(settings, index)
    search = build_evidence(settings, index)
    count = len(answerable) + len(unanswerable)
    rights: dict[float, list[float]] = {least: [] for least in sorted({*THRESHOLDS, settings.least_evidence})}
    for questions, is_refusal in ((answerable, False), (unanswerable, True)):
        for question in questions.values():
            queries = rewriter.invoke({"question": question, "history": ()})
            passages = search.invoke(queries)
            probability = sufficiency(queries[0].text, passages)
            for least, right in rights.items():
                right.append(((probability < least) is is_refusal) * count / (2 * len(questions)))
    return {least: np.array(right) for least, right in rights.items()}
