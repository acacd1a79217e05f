"""Ranked passages come in; the same, those that repeat better ones further down, go out."""

from collections.abc import Callable

import numpy as np
from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableLambda

Vectors = Callable[[list[str]], np.ndarray]  # ids of chunks → their unit vectors, a row each


def build_diversifier(
    vectors: Vectors, *, diversity: float, candidates: int
) -> Runnable[list[Document], list[Document]]:
    """Return a Runnable that orders the first `candidates` passages by maximal marginal relevance; scores stay.

    Next comes the passage of the greatest λ × score - (1 - λ) × its highest cosine to one before it, where λ is
    1 - diversity (Carbonell and Goldstein 1998, "The use of MMR").
    """

    def diversify(ranked: list[Document]) -> list[Document]:
        head, tail = ranked[:candidates], ranked[candidates:]
        if len(head) < 2:
            return ranked
        matrix = vectors([str(passage.id) for passage in head])
        relevance = (1 - diversity) * np.array([passage.metadata["score"] for passage in head])
        left, order = list(range(len(head))), []
        likeness = np.zeros(len(head))
        while left:
            chosen = max(left, key=lambda at: relevance[at] - diversity * likeness[at])  # of equal ones the first
            left.remove(chosen)
            order.append(chosen)
            alike = matrix @ matrix[chosen]
            likeness = np.maximum(likeness, alike) if len(order) > 1 else alike
        return [*(head[at] for at in order), *tail]

    return RunnableLambda(diversify, name="diversify")
