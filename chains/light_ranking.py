"""A query and its passages come in; scores by their words and their neighbours, without a model, go out."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, pairwise

import numpy as np
from langchain_core.documents import Document

from chains.reranking import Score
from sentences import sentence_spans
from words import content_words, words

Vectors = Callable[[list[str]], np.ndarray]  # ids of chunks → their unit vectors, a row each
# What a passage can gain by its words, in units of the fused score: chosen among 20 settings on nine sets, and as good
# on three others (benchmarks/README.md).
COVERAGE, SENTENCE, PAIRS = 0.1, 0.2, 0.05
NEIGHBOURS = 3


def light_score(vectors: Vectors) -> Score:
    """Return a scorer that lifts passages which hold more of the query, and those beside better ones.

    It needs all candidates at once, with the search's score in `metadata["score"]`; its scores are in [0, 1] where
    the search's are.
    """

    def score(query: str, passages: Sequence[Document]) -> list[float]:
        fused = np.array([passage.metadata["score"] for passage in passages])
        by_words = (fused + word_gains(query, [passage.page_content for passage in passages])) / (
            1 + COVERAGE + SENTENCE + PAIRS
        )
        lifted: list[float] = lift(by_words, vectors([str(passage.id) for passage in passages])).tolist()
        return lifted

    return score


def word_gains(query: str, texts: Sequence[str]) -> np.ndarray:
    """Return for each text how much of the query it holds: anywhere, in its best sentence, as neighbouring words.

    A word weighs log(1 + n / (1 + texts with it)) over the n texts: what all of them hold tells nothing.
    """
    asked = content_words(query)
    forms = {form: word for word in asked for form in (word, word + "s") if _stem(form) == word}
    in_order = [forms.get(word) for word in words(query)]
    pairs = {pair for pair in pairwise(in_order) if None not in pair}
    # by sentence, the query's words in order, with None for every other word
    held = [
        [[forms.get(word) for word in words(text[start:end])] for start, end in sentence_spans(text)] for text in texts
    ]
    frequency = Counter(word for sentences in held for word in set(chain.from_iterable(sentences)))
    weights = {word: math.log(1 + len(texts) / (1 + frequency[word])) for word in asked}
    total = sum(weights.values()) or 1.0

    def share(found: Iterable[str | None]) -> float:
        return sum(weights[word] for word in set(found) if word) / total

    gains = []
    for sentences in held:
        everything = list(chain.from_iterable(sentences))
        together = len(pairs.intersection(pairwise(everything))) / max(1, len(pairs))
        best = max(map(share, sentences), default=0.0)
        gains.append(COVERAGE * share(everything) + SENTENCE * best + PAIRS * together)
    return np.array(gains)


def lift(scores: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return the scores, each raised towards those of the better passages that are alike.

    s_i + mean over the 3 greatest of alike_ij × max(0, s_j - s_i): passages about the same are relevant to the same
    questions (the cluster hypothesis; Diaz 2005, "Regularizing ad hoc retrieval scores"). Lifting only keeps the best
    passage the best, which plain smoothing does not. alike_ij is the cosine above the mean of all pairs, in [0, 1]:
    some embedders put any two texts at 0.8.
    """
    cosines = vectors @ vectors.T
    mean = float(cosines[~np.eye(len(cosines), dtype=bool)].mean()) if len(cosines) > 1 else 0.0
    alike = np.clip((cosines - mean) / max(1 - mean, 1e-6), 0, 1)
    gain = np.sort(alike * np.clip(scores[None, :] - scores[:, None], 0, None), axis=1)[:, ::-1]
    raised: np.ndarray = scores + gain[:, :NEIGHBOURS].sum(axis=1) / NEIGHBOURS
    return raised


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") else word
