"""Passages come in with the query that found them; the same passages, each with its sentences scored, go out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import Runnable, RunnableLambda

from chains.reranking import Ranked
from chains.sentence_ranking import Candidates, answer_probabilities
from sentences import sentence_spans

# Share of the best sentence's odds from which the next one is quoted too. Over XQuAD en, de and zh, one sentence holds
# the answer in 80, 72 and 75 % of cases, two in 92, 84 and 86 %; with this rule it is 90, 82 and 85 %, and a quote has
# 1.4 to 1.5 sentences (benchmarks/sentence_ranking.py).
SECOND = 1 / 3
# Sentences that style brief reads. Of 153 questions of XQuAD en, the best one holds the answer in 79 % of cases, two in
# 94 %, three in 95 % and six in 96 %, at 29, 56, 83 and 162 words.
READ = 3


@dataclass(frozen=True)
class Sentence:
    """A verbatim sentence of a passage: where it begins, and how likely it answers the question, from 0 to 1."""

    start: int
    line: int | None
    text: str
    score: float


def build_highlighter(embeddings: Embeddings) -> Runnable[Ranked, list[Document]]:
    """Return a Runnable that gives each passage `metadata["sentences"]`: its Sentences in order, none left out.

    The score is the probability that the sentence answers (chains/sentence_ranking.py), 0 for a heading.
    """

    def highlight(ranked: Ranked) -> list[Document]:
        query, passages = ranked["query"], ranked["passages"]
        found = [
            (rank, start, passage.page_content[start:end])
            for rank, passage in enumerate(passages)
            for start, end in sentence_spans(passage.page_content)
        ]
        scores = _scores(query, [text for _, _, text in found], [rank for rank, _, _ in found], embeddings)
        for passage in passages:
            passage.metadata["sentences"] = []
        for (rank, start, text), score in zip(found, scores, strict=True):
            at = passages[rank].metadata
            if text.strip("# ") in at["section"].split(" > "):
                score = 0.0  # a heading names a subject and answers nothing
            line = at["line"] and at["line"] + passages[rank].page_content.count("\n", 0, start)
            at["sentences"].append(Sentence(at["start"] + start, line, text, float(score)))
        return passages

    return RunnableLambda(highlight, name="highlight")


def best_sentence(passage: Document) -> Sentence:
    """Return the passage's sentence that fits the query best, the first of equal ones."""
    sentences: list[Sentence] = passage.metadata["sentences"]
    return max(sentences, key=lambda sentence: sentence.score)


def best_sentences(passages: Sequence[Document]) -> list[tuple[int, Sentence]]:
    """Return what answers best, with the index of its passage: one sentence, or two where the second is as likely.

    Two mean at least a SECOND of the best one's odds. Those of one passage come as they stand there, else the better
    one first. Empty where there are no passages.
    """
    ranked = _likeliest(passages, 2)
    if len(ranked) < 2:
        return ranked
    (first, best), (second, other) = ranked
    if other.score * (1 - best.score) < SECOND * best.score * (1 - other.score):
        return ranked[:1]
    return sorted(ranked, key=lambda each: each[1].start) if first == second else ranked


def sentences_to_read(passages: Sequence[Document]) -> list[tuple[int, Sentence]]:
    """Return the READ likeliest sentences of all passages, the best first, each with the index of its passage."""
    return _likeliest(passages, READ)


def show_sentences(passages: Sequence[Document]) -> str:
    """Return these, a line each behind their passage's number, as a small model reads them."""
    return "\n".join(f"[{n + 1}] {' '.join(sentence.text.split())}" for n, sentence in sentences_to_read(passages))


def _likeliest(passages: Sequence[Document], count: int) -> list[tuple[int, Sentence]]:
    found = [(n, sentence) for n, passage in enumerate(passages) for sentence in passage.metadata["sentences"]]
    return sorted(found, key=lambda each: -each[1].score)[:count]  # a stable sort: of equal ones the first is best


def best_passage(passages: Sequence[Document]) -> int:
    """Return the index of the passage that holds the best sentence of all."""
    return max(range(len(passages)), key=lambda n: best_sentence(passages[n]).score)


def _scores(query: str, texts: list[str], passage: list[int], embeddings: Embeddings) -> np.ndarray:
    if not texts:
        return np.zeros(0)
    vectors = np.asarray(embeddings.embed_documents(texts))
    query_vector = np.asarray(embeddings.embed_query(query))
    return answer_probabilities(query, Candidates(texts, passage, vectors, query_vector))
