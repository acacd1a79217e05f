"""Questions about the index come in; a matrix for RAG_QUERY_ADAPTER, by which the search finds their answers, goes out.

Only the vectors of queries are multiplied: nothing is embedded anew. The idea is RAGLite's (superlinear-ai/raglite),
which solves an orthogonal Procrustes problem on right less wrong passages; here it is a ridge regression, which did
better (benchmarks/training.md) and leaves cosines nearly as high as they were, on which refusals hang.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from errors import EvaluationError
from hashes import file_sha256
from loaders.query_adapter import multiplied, save_query_adapter
from pipeline import embedder_identity, open_index
from searching import Index
from settings import Settings
from training.gain import RANKS, Judged, compare, judge, measure, score, split
from training.mining import read_questions

STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # of the pull towards no change; a query has length 1
NEAREST = 10  # right chunks of a question, and wrong ones, that its vector is moved between


def train_query_adapter(settings: Settings, questions: Path, target: Path) -> dict[str, Any]:
    """Write an adapter to `target` if the whole search gains by it, and report the gain.

    Each fifth of the questions is judged by a matrix of the other four, its strength chosen among these alone: so all
    questions count, and none has taught what it judges. What is written is made of all of them. Raise EvaluationError
    for unusable or too few questions, and for a target that exists.
    """
    if target.exists():
        raise EvaluationError(target, "there is such a file", "name a new one")
    plain = settings.model_copy(update={"query_adapter": ""})
    with open_index(plain) as index:
        judged = judge(index.store, read_questions(questions), questions)
        vectors = np.array([index.embed(each.text) for each in judged], dtype=np.float32)
        targets = np.array([_target(index, each, vector) for each, vector in zip(judged, vectors, strict=True)])
        lessons = Lessons(index, judged, vectors, targets)
        before = measure(plain, index, judged)
        after = {name: np.empty_like(scores) for name, scores in before.items()}
        for part in lessons.parts():
            matrix = lessons.without(part).learn()[0]
            aimed = replace(index, adapt=partial(multiplied, matrix))
            for name, scores in measure(plain, aimed, [judged[at] for at in part]).items():
                after[name][part] = scores
        report = {"questions": len(judged)} | compare(before, after)
        if report["pays"]:
            matrix, strength = lessons.learn()
            about = {"questions_sha256": file_sha256(questions), "strength": str(strength)}
            save_query_adapter(target, matrix, embedder_identity(plain), about)
            report |= {"strength": strength, "file": str(target), "next": f"RAG_QUERY_ADAPTER={target}"}
    return report


@dataclass(frozen=True)
class Lessons:
    """Questions over an index, their vectors and where these should be, a row for each."""

    index: Index
    judged: Sequence[Judged]
    vectors: np.ndarray
    targets: np.ndarray

    def parts(self) -> list[list[int]]:
        """Return the rows in fifths, no document in two."""
        return split([each.question for each in self.judged])

    def without(self, part: Sequence[int]) -> "Lessons":
        """Leave out a fifth."""
        rest = np.setdiff1d(np.arange(len(self.judged)), part)
        return Lessons(self.index, [self.judged[at] for at in rest], self.vectors[rest], self.targets[rest])

    def learn(self) -> tuple[np.ndarray, float]:
        """Return the matrix, and its strength: the one by which each fifth fares best with a matrix of the others."""
        parts = self.parts()
        others = [self.without(part) for part in parts]

        def fares(strength: float) -> float:
            matrices = [solve(other.vectors, other.targets, strength) for other in others]
            return sum(self._gain(part, matrix) for part, matrix in zip(parts, matrices, strict=True))

        strength = max(STRENGTHS, key=fares)
        return solve(self.vectors, self.targets, strength), strength

    def _gain(self, part: Sequence[int], matrix: np.ndarray) -> float:
        """Return the sum of nDCG@10 by the dense leg over a part of the questions."""
        aimed = {self.judged[at].text: multiplied(matrix, self.vectors[at]) for at in part}

        def find(text: str) -> list[str]:
            return [id_ for id_, _ in self.index.store.dense(aimed[text], RANKS)]

        return float(score(find, [self.judged[at] for at in part])[:, 0].sum())


def _target(index: Index, judged: Judged, vector: np.ndarray) -> np.ndarray:
    """Return where the query's vector should be: moved by the mean of its right chunks less that of wrong ones.

    Both are those nearest to it: far right ones may answer something else in the file.
    """
    right = index.store.vectors_of(sorted(judged.right))
    near = right[np.argsort(-(right @ vector), kind="stable")[:NEAREST]].mean(axis=0)
    found = index.store.dense(vector.tolist(), NEAREST + len(judged.right))
    wrong = [id_ for id_, _ in found if id_ not in judged.right][:NEAREST]
    return np.asarray(vector + near - index.store.vectors_of(wrong).mean(axis=0) if wrong else vector)


def solve(queries: np.ndarray, targets: np.ndarray, strength: float) -> np.ndarray:
    """Return the A that minimises Σ |A qᵢ − tᵢ|² + strength · |A − I|² (Frobenius norm); queries and targets in rows.

    With B = A − I and D = T − Q that is ridge regression of D on Q: the gradient 2 (B Qᵀ − Dᵀ) Q + 2 · strength · B
    is zero at B = Dᵀ Q (QᵀQ + strength · I)⁻¹ = Dᵀ (Q Qᵀ + strength · I)⁻¹ Q, of which the smaller system is solved.
    """
    q, d = queries.astype(np.float64), (targets - queries).astype(np.float64)
    count, size = q.shape
    if count < size:
        change = d.T @ np.linalg.solve(q @ q.T + strength * np.eye(count), q)
    else:
        change = np.linalg.solve(q.T @ q + strength * np.eye(size), q.T @ d).T
    return np.asarray(np.eye(size) + change, dtype=np.float32)
