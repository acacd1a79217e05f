"""Passages and their vectors come in; the few sentences that say most of what they say go out."""

from collections.abc import Callable, Sequence

import numpy as np
from langchain_core.documents import Document

from chains.answers import Citation
from chains.post_filter import FINISHED
from surveys.coverage import count_words, sentences_once
from words import words

Embed = Callable[[list[str]], np.ndarray]  # texts → their unit vectors, a row each
# Over 72 articles in three languages the centroid of the passages' own vectors serves as well as LexRank over all
# sentences, and half or twice of each of these as well (benchmarks/whole.md).
LEAD, NOVELTY, SPARE = 0.1, 0.3, 4
LEAST_WORDS, MOST_WORDS = 6, 80  # of a sentence that can stand for a text: less is a heading, more a table


def central_sentences(
    passages: Sequence[Document], vectors: np.ndarray, embed: Embed, *, most_words: int
) -> list[Citation]:
    """Return at most `most_words` words of verbatim sentences, at least one, in the order of the text.

    A sentence is as central as its cosine to the centroid of the passages' unit `vectors` (Radev et al. 2004,
    "Centroid-based summarization of multiple documents"), and a little more towards the beginning; what repeats
    another falls behind (maximal marginal relevance, Carbonell and Goldstein 1998). The passages are chosen first in
    the same way, so that only their sentences are embedded.
    """
    if not passages:
        return []
    centroid = unit(vectors.mean(axis=0))
    sizes = [count_words([passage.page_content]) for passage in passages]
    sources = [passage.metadata["source"] for passage in passages]
    near = [passages[at] for at in varied(vectors, centroid, _places(sources), sizes, SPARE * most_words)]
    every = list(sentences_once(passages))
    among = [at for at, sentence in enumerate(every) if any(_begins_in(sentence, passage) for passage in near)]
    among = [at for at in among if is_statement(every[at].text)] or among
    found = [every[at] for at in among]
    places = _places([sentence.source for sentence in every])[among]
    sizes = [count_words([sentence.text]) for sentence in found]
    best = varied(embed([sentence.text for sentence in found]), centroid, places, sizes, most_words)
    return [found[at] for at in sorted(best)]


def varied(vectors: np.ndarray, centroid: np.ndarray, places: np.ndarray, sizes: Sequence[int], room: int) -> list[int]:
    """Return the rows that fit into `room`, at least one: the most central first, each unlike those before it.

    places: where each stands in its document, from 0. sizes: what each takes of the room.
    """
    central = np.clip(vectors @ centroid, 0, None)
    relevance = (1 - NOVELTY) * (central / max(float(central.max()), 1e-9) + LEAD / np.sqrt(1 + places))
    likeness, taken, left = np.zeros(len(vectors)), np.asarray(sizes), np.ones(len(vectors), bool)
    found: list[int] = []
    while left.any():
        at = int(np.argmax(np.where(left, relevance - NOVELTY * likeness, -np.inf)))
        found.append(at)
        room -= int(taken[at])
        left[at] = False
        left &= taken <= room
        likeness = np.maximum(likeness, vectors @ vectors[at])
    return found


def is_statement(text: str) -> bool:
    """Tell whether the text can stand alone as a sentence: no heading, fragment, table or question."""
    held = words(text)
    numbers = sum(word[0].isdigit() for word in held)
    is_whole = FINISHED.search(text) and not text[0].islower() and text[-1] not in ":?؟？"
    return bool(is_whole) and LEAST_WORDS <= len(held) <= MOST_WORDS and 3 * numbers < len(held)


def _places(sources: Sequence[str]) -> np.ndarray:
    """Return the place of each item in its own source, from 0."""
    first: dict[str, int] = {}
    return np.array([at - first.setdefault(source, at) for at, source in enumerate(sources)])


def _begins_in(sentence: Citation, passage: Document) -> bool:
    at = passage.metadata
    same = (sentence.source, sentence.page) == (at["source"], at["page"])
    return same and 0 <= sentence.start - at["start"] < len(passage.page_content)


def unit(vector: np.ndarray) -> np.ndarray:
    """Return the vector at length 1."""
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9))
