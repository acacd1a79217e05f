"""Maximal marginal relevance: the formula, and that nothing is lost."""

import numpy as np
import pytest
from langchain_core.documents import Document

from chains.diversity import build_diversifier

VECTORS = {"a": [1, 0, 0], "b": [0.99, 0.141, 0], "c": [0, 1, 0], "d": [0, 0, 1]}
SCORES = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.1}


def order(diversity: float, candidates: int = 9, names: str = "abcd") -> str:
    passages = [Document(id=name, page_content=name, metadata={"score": SCORES[name]}) for name in names]
    step = build_diversifier(
        lambda ids: np.array([VECTORS[id_] for id_ in ids]), diversity=diversity, candidates=candidates
    )
    found = step.invoke(passages)
    scores = [passage.metadata["score"] for passage in found]
    assert scores == sorted(scores, reverse=True)
    return "".join(str(passage.id) for passage in found)


@pytest.mark.parametrize(
    ("diversity", "expected"),
    [
        (0.01, "abcd"),
        (0.2, "acbd"),  # after a, b: 0.8 × 0.8 - 0.2 × 0.99 = 0.442, c: 0.8 × 0.7 = 0.56
        (0.5, "acdb"),  # after a and c, b: 0.5 × 0.8 - 0.5 × 0.99 = -0.095, d: 0.5 × 0.1 = 0.05
        (1.0, "acdb"),
    ],
)
def test_the_next_passage_is_relevant_and_unlike_those_before(diversity: float, expected: str) -> None:
    assert order(diversity) == expected


def test_passages_behind_the_candidates_stay_where_they_are() -> None:
    assert order(1.0, candidates=2) == "abcd"
    assert order(0.5, names="a") == "a"
    assert order(0.5, names="") == ""
