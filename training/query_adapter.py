"""Questions about the index come in; a matrix for RAG_QUERY_ADAPTER, by which the search finds their answers, goes out.

Only the vectors of queries are multiplied: nothing is embedded anew. The idea is RAGLite's (superlinear-ai/raglite),
which solves an orthogonal Procrustes problem on right less wrong passages; here it is a ridge regression, which did
better (benchmarks/training.md) and leaves cosines nearly as high as they were, on which refusals hang.
"""

from collections.abc import Sequence
from dataclasses import replace
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

STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)  # of the pull towards no change; a query's vector has length 1
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
        before = measure(plain, index, judged)
        after = {name: np.empty_like(scores) for name, scores in before.items()}
        for part in split([each.question for each in judged]):
            learned = learn(index, [each for at, each in enumerate(judged) if at not in set(part)])[0]
            adapted = measure(plain, replace(index, adapt=partial(multiplied, learned)), [judged[at] for at in part])
            for name, scores in adapted.items():
                after[name][part] = scores
        report = {"questions": len(judged)} | compare(before, after)
        if report["pays"]:
            matrix, strength = learn(index, judged)
            about = {"questions_sha256": file_sha256(questions), "strength": str(strength)}
            save_query_adapter(target, matrix, embedder_identity(plain), about)
            report |= {"strength": strength, "file": str(target)}
    return report


def learn(index: Index, judged: Sequence[Judged]) -> tuple[np.ndarray, float]:
    """Return the matrix for these questions, and its strength: the one by which their held-back fifths fare best."""
    vectors = np.array([index.embed(each.text) for each in judged], dtype=np.float32)
    targets = np.array([_target(index, each, vector) for each, vector in zip(judged, vectors, strict=True)])
    parts = split([each.question for each in judged])

    def fares(strength: float) -> float:
        gained = 0.0
        for part in parts:
            rest = np.setdiff1d(np.arange(len(judged)), part)
            turned = vectors[part] @ solve(vectors[rest], targets[rest], strength).T
            by_text = {judged[at].text: vector.tolist() for at, vector in zip(part, turned, strict=True)}
            found = score(
                lambda text: [id_ for id_, _ in index.store.dense(by_text[text], RANKS)],  # noqa: B023  (used at once)
                [judged[at] for at in part],
            )
            gained += float(found[:, 0].sum())
        return gained

    strength = max(STRENGTHS, key=fares)
    return solve(vectors, targets, strength), strength


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
    is zero at B = Dᵀ Q (QᵀQ + strength · I)⁻¹. Of strength without end A is I; of none, with queries that span the
    space, A is the map from queries to targets if there is one.
    """
    q, d = queries.astype(np.float64), (targets - queries).astype(np.float64)
    identity = np.eye(q.shape[1])
    return np.asarray(identity + np.linalg.solve(q.T @ q + strength * identity, q.T @ d).T, dtype=np.float32)
