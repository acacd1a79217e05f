"""A question and passages come in; the passages' sentences, each scored by how well it answers, go out."""

import math
import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from sentences import sentence_spans

WORD = re.compile(r"\w+")
DENSE_SHARE = 0.5


@dataclass(frozen=True)
class Sentence:
    """A verbatim sentence of a passage: the passage's number (from 1), where it begins, its score in [0, 1]."""

    passage: int
    start: int
    line: int | None
    text: str
    score: float


def rank_sentences(question: str, passages: list[Document], embeddings: Embeddings) -> list[Sentence]:
    """Return every sentence of the passages, the one that fits the question best first.

    The score is half cosine, half the share of the question's words that the sentence holds, rare words counting more
    (inverse sentence frequency).
    """
    found = [
        (number, passage, start, end)
        for number, passage in enumerate(passages, 1)
        for start, end in sentence_spans(passage.page_content)
    ]
    if not found:
        return []
    texts = [passage.page_content[start:end] for _, passage, start, end in found]
    cosine = np.asarray(embeddings.embed_documents(texts)) @ np.asarray(embeddings.embed_query(question))
    words = [words_of(text) for text in texts]
    frequency = Counter(word for each in words for word in each)
    weights = {word: math.log(1 + len(texts) / (1 + frequency[word])) for word in words_of(question)}
    total = sum(weights.values()) or 1.0
    overlap = np.array([sum(weights[word] for word in weights.keys() & each) / total for each in words])
    scores = DENSE_SHARE * np.clip(cosine, 0, 1) + (1 - DENSE_SHARE) * overlap
    ranked = []
    for (number, passage, start, _), text, score in zip(found, texts, scores, strict=True):
        at = passage.metadata
        line = at["line"] and at["line"] + passage.page_content.count("\n", 0, start)
        ranked.append(Sentence(number, at["start"] + start, line, text, float(score)))
    return sorted(ranked, key=lambda sentence: (-sentence.score, sentence.passage, sentence.start))


def words_of(text: str) -> set[str]:
    """Return the words of `text` in lower case, a final s left out, so that singular and plural meet."""
    return {word[:-1] if len(word) > 3 and word.endswith("s") else word for word in WORD.findall(text.casefold())}
