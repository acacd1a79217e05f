"""Ranked passages come in; the same, those that repeat better ones further down, go out."""

from collections.abc import Callable

import numpy as np
from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableLambda

Vectors = Callable[[list[str]], np.ndarray]  # ids of chunks → their unit vectors, a row each


def build_diversifier(
    vectors: Vectors, *, diversity: float, candidates: int
) -> Runnable[list[Document], list[Document]]:
    """Return a Runnable that orders the first `candidates` passages by maximal marginal relevance.

    Next comes the passage of the greatest λ × score - (1 - λ) × its highest cosine to one before it, where λ is
    1 - diversity (Carbonell and Goldstein 1998, "The use of MMR"). That becomes `metadata["score"]`; the scores of the
    passages behind the candidates are moved down as far as that takes.
    """

    def diversify(ranked: list[Document]) -> list[Document]:
        head, tail = ranked[:candidates], ranked[candidates:]
        if len(head) < 2:
            return ranked
        matrix = vectors([str(passage.id) for passage in head])
        relevance = (1 - diversity) * np.array([passage.metadata["score"] for passage in head])
        left, found, likeness = list(range(len(head))), [], np.zeros(len(head))
        while left:
            chosen = max(left, key=lambda at: relevance[at] - diversity * likeness[at])  # of equal ones the first
            left.remove(chosen)
            head[chosen].metadata["score"] = round(float(relevance[chosen] - diversity * likeness[chosen]), 5)
            found.append(head[chosen])
            alike = matrix @ matrix[chosen]
            likeness = np.maximum(likeness, alike) if len(found) > 1 else alike
        down = max(0.0, tail[0].metadata["score"] - found[-1].metadata["score"]) if tail else 0.0
        for passage in tail:
            passage.metadata["score"] -= down
        return [*found, *tail]

    return RunnableLambda(diversify, name="diversify")
