"""A query and the sentences of its passages come in; how likely each of them answers goes out."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from words import STOP_WORDS, UNSPACED, content_words, words

# What is weighed, with its weight; benchmarks/sentence_ranking.py fits the weights and measures what each is worth.
WEIGHTS = {
    "held": 6.67,  # share of the query's words that it holds, rare ones counting more
    "before": 2.48,  # the same, of what only the sentence before holds: "He also built …"
    "after": 1.51,
    "number": 0.82,  # asked for an amount, it has a number that the query has not
    "date": 1.11,  # asked for a time, it has a figure that the query has not
    "name": 0.62,  # asked for a person, it has a capitalised word that the query has not
    "rank": 1.21,  # 1 / the passage's rank
    "apart": 1.50,  # product of its vector and the query's, less what all sentences have in common: the subject
    "english_held": -1.64,  # held, if the query is in English: without function words the shares are larger
    "english_cosine": 1.73,  # the default embedder reads English only
    "nearest": 3.77,  # the best cosine of all: moves no sentence past another, but tells questions without an answer
}
BIAS = -6.14

# What a question asks for, in English, German, Spanish, Arabic and Chinese; in others, nothing is known of it.
TIME = re.compile(
    r"\b(?:when|(?:what|which) (?:\w+ )?(?:years?|dates?|days?|months?|century|decade|time|period)"
    r"|wann|welche[mnrs]? (?:jahr\w*|monat|datum|tag|jahrhundert|zeit\w*)"
    r"|cuándo|qué (?:años?|fecha|día|mes|siglo|década|época)|متى|[أا]ي (?:عام|سنة|تاريخ|قرن|يوم))\b"
    r"|什么时[候间]|何[时年]|哪一?[年天]|哪个世纪",
    re.IGNORECASE,
)
AMOUNT = re.compile(
    r"\b(?:how (?:many|much|long|old|far|often|large|big|fast|tall|high|deep|wide)"
    r"|what (?:percent\w*|number|proportion|fraction|amount|distance|temperature|age|score|population|portion)"
    r"|wie ?(?:viele?\w*|lange?|hoch|groß|alt|weit|oft|schnell|tief)|prozent\w*"
    r"|cuánt[oa]s?|porcentaje|número|كم|نسبة|عدد)\b|多少|几[个名次年天位种]|多[长大高久远]",
    re.IGNORECASE,
)
PERSON = re.compile(
    r"\b(?:who|whom|whose|we[rnm]|wessen|quién(?:es)?|من(?: (?:هو|هي|الذي|كان))?)\b|谁|哪位", re.IGNORECASE
)
FIGURE = re.compile(r"\d+")
NUMBER_WORD = re.compile(
    r"\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|hundred|thousand"
    r"|million|billion|half|third|quarter|dozen|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn|elf|zwölf|hundert"
    r"|tausend|million(?:en)?|milliarden?|hälfte|drittel|viertel|dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|once"
    r"|doce|cien|mil|mill(?:ón|ones)|mitad|tercio|cuarto)\b|[一二三四五六七八九十百千万亿两]",
    re.IGNORECASE,
)
NAME = re.compile(r"(?<![\w'’-])[A-ZÄÖÜÁÉÍÓÚÑ][\w'’-]*")
ARTICLE = re.compile(r"^(?:[وفبكل]?ال|لل|[وب])(?=\w{3})")  # Arabic writes articles and conjunctions with the word
ENGLISH = 2  # function words of English that tell that a query is in it
STEM = 5  # letters: a word's beginning stands for its inflections, in any language; four and six are no better


@dataclass(frozen=True)
class Candidates:
    """The sentences to compare, in the order of their passages, `passage` being the rank of each one's passage from 0.

    vectors, query_vector: unit vectors of the sentences, a row each, and of the query.
    """

    texts: Sequence[str]
    passage: Sequence[int]
    vectors: np.ndarray
    query_vector: np.ndarray


def answer_probabilities(query: str, candidates: Candidates) -> np.ndarray:
    """Return for each sentence how likely it holds the answer, from 0 to 1."""
    if not candidates.texts:
        return np.zeros(0)
    scores = features(query, candidates) @ np.array(list(WEIGHTS.values())) + BIAS
    return np.asarray(1 / (1 + np.exp(-scores)))


def features(query: str, candidates: Candidates) -> np.ndarray:
    """Return what is weighed of each sentence, a row each, in the order of WEIGHTS; nearly all is within 0 and 1."""
    texts, vectors, asked = candidates.texts, candidates.vectors, candidates.query_vector
    rank, nothing = np.array(candidates.passage), np.zeros(len(texts))
    middle, cosine = vectors.mean(axis=0), np.clip(vectors @ asked, 0, 1)
    english = float(len(STOP_WORDS.intersection(words(query))) >= ENGLISH)
    held, before, after = _words(query, texts, rank)
    figures = set(FIGURE.findall(query))
    figure = np.array([bool(set(FIGURE.findall(text)) - figures) for text in texts], float)
    by_time = bool(TIME.search(query))
    number = name = nothing
    if not by_time and AMOUNT.search(query):
        number = np.array(
            [bool(has) or bool(NUMBER_WORD.search(text)) for has, text in zip(figure, texts, strict=True)], float
        )
    if PERSON.search(query):
        name = np.array([_has_new_name(text, query) for text in texts], float)
    columns = [
        *(held, before, after),
        *(number, figure if by_time else nothing, name),
        1 / (1 + rank),
        (vectors - middle) @ (asked - middle),
        english * held,
        english * cosine,
        np.full(len(texts), cosine.max()),
    ]
    return np.stack(columns, axis=1)


def stems(text: str) -> set[str]:
    """Return the beginnings of the words that carry meaning."""
    return set(map(_stem, content_words(text)))


@lru_cache(1 << 16)
def _stem(word: str) -> str:
    return word if UNSPACED.match(word) else ARTICLE.sub("", word)[:STEM]


def _words(query: str, texts: Sequence[str], rank: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the share of the query's words that each sentence holds, and that only the one before or after it holds.

    A word weighs log(1 + n / (1 + sentences with it)) over the n sentences: what all of them hold tells nothing.
    """
    asked = sorted(stems(query))
    held = [stems(text) for text in texts]
    frequency = Counter(stem for found in held for stem in asked if stem in found)
    weights = np.array([math.log(1 + len(texts) / (1 + frequency[stem])) for stem in asked])
    has = np.array([[stem in found for stem in asked] for found in held], float).reshape(len(texts), len(asked))
    same = (rank[1:] == rank[:-1])[:, None]  # neighbours are of one passage
    before, after = np.zeros_like(has), np.zeros_like(has)
    before[1:] = same * has[:-1] * (1 - has[1:])
    after[:-1] = same * has[1:] * (1 - has[:-1])
    total = weights.sum() or 1.0
    return has @ weights / total, before @ weights / total, after @ weights / total


def _has_new_name(text: str, query: str) -> bool:
    """Tell whether a capitalised word, not the sentence's first letter, is none of the query's."""
    names = {word for match in NAME.findall(text[1:]) for word in content_words(match)}
    return bool(names - content_words(query))
