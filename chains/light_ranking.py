"""A query and its passages come in; scores by their words, neighbours and mentions, without a model, go out."""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from langchain_core.documents import Document

from chains.reranking import Score
from words import STOP_WORDS, content_words, singular, words

Vectors = Callable[[list[str]], np.ndarray]  # ids of chunks → their unit vectors, a row each
# What a passage can gain, in units of the fused score; chosen on seven sets, half or twice of each being as good within
# the noise (benchmarks/README.md).
COVERAGE, PAIRS, MENTIONED = 0.2, 0.05, 0.2
NEIGHBOURS = 3  # better passages that lift one
READ = 2  # best passages in which others can be mentioned
IN_BRACKETS = re.compile(r"\([^)]*\)")  # Charmed (TV series)


def light_score(vectors: Vectors) -> Score:
    """Return a scorer that lifts passages which hold more of the query, lie beside better ones or are named in them.

    It needs all candidates at once, with the search's score in `metadata["score"]`, and keeps within its range.
    """

    def score(query: str, passages: Sequence[Document]) -> Sequence[float]:
        if not passages:
            return []
        fused = np.array([passage.metadata["score"] for passage in passages])
        scores = fused + word_gains(query, [passage.page_content for passage in passages])
        scores = lift(scores, vectors([str(passage.id) for passage in passages]))
        best = [passages[at] for at in np.argsort(-scores, kind="stable")[:READ]]
        scores += MENTIONED * np.array([is_mentioned(passage, best) for passage in passages])
        found: list[float] = (scores / (1 + COVERAGE + PAIRS + MENTIONED)).tolist()
        return found

    return score


def word_gains(query: str, texts: Sequence[str]) -> np.ndarray:
    """Return for each text how much of the query it holds: its words anywhere, and side by side as in the query.

    A word weighs log(1 + n / (1 + texts with it)) over the n texts: what all of them hold tells nothing.
    """
    asked = content_words(query)
    in_order = [singular(word) for word in words(query)]
    pairs = {pair for pair in pairwise(in_order) if asked.issuperset(pair)}
    held = [[singular(word) for word in words(text)] for text in texts]
    frequency = Counter(word for found in held for word in asked.intersection(found))
    weights = {word: math.log(1 + len(texts) / (1 + frequency[word])) for word in asked}
    total = sum(weights.values()) or 1.0
    covered = np.array([sum(weights[word] for word in asked.intersection(found)) / total for found in held])
    together = np.array([len(pairs.intersection(pairwise(found))) / max(1, len(pairs)) for found in held])
    return np.asarray(COVERAGE * covered + PAIRS * together)


def lift(scores: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return the scores, each raised towards those of the better passages that are alike.

    s_i + mean over the 3 greatest of alike_ij × max(0, s_j - s_i): passages about the same are relevant to the same
    questions (the cluster hypothesis; Diaz 2005, "Regularizing ad hoc retrieval scores"). Lifting only keeps the best
    passage the best, which plain smoothing and relevance feedback do not. alike_ij is the cosine above the mean of all
    pairs, in [0, 1]: some embedders put any two texts at 0.8.
    """
    cosines = vectors @ vectors.T
    mean = float(cosines[~np.eye(len(cosines), dtype=bool)].mean()) if len(cosines) > 1 else 0.0
    alike = np.clip((cosines - mean) / max(1 - mean, 1e-6), 0, 1)
    gain = np.sort(alike * np.clip(scores[None, :] - scores[:, None], 0, None), axis=1)[:, ::-1]
    return np.asarray(scores + gain[:, :NEIGHBOURS].sum(axis=1) / NEIGHBOURS)


def is_mentioned(passage: Document, best: Sequence[Document]) -> bool:
    """Tell whether one of the best passages, of another document, names the heading under which the passage stands.

    The answer to "who directed the film in which X made his debut" stands under the heading of a film that only the
    passage on X names. A heading without a capital letter is a phrase, not a name, where the script has capitals.
    """
    heading = " ".join(IN_BRACKETS.sub("", passage.metadata["section"].split(" > ")[-1]).split())
    is_name = heading != heading.lower() or heading.lower() == heading.upper()
    if not is_name or STOP_WORDS.issuperset(words(heading)):
        return False
    named = re.compile(rf"(?<!\w){re.escape(heading)}(?!\w)")
    others = (other for other in best if other.metadata["source"] != passage.metadata["source"])
    return any(named.search(" ".join(other.page_content.split())) for other in others)
