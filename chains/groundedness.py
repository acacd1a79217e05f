"""A claim and the sentences that may support it come in; how far they do, from 0 to 1, goes out: no large model."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from chains.facts import is_negated, names, numbers, unheld
from errors import ModelError
from words import STOP_WORDS, singular, words

Entails = Callable[[Sequence[tuple[str, str]]], Sequence[float]]  # (premise, hypothesis) → probability that it follows
WINDOW = 3  # neighbouring sentences that may support a claim together
APART = 4  # words within which a pair of the claim's words must stand
READ = 8  # sentences that a model reads, those that hold most of the claim's words
# Logistic regression by benchmarks/groundedness.py, which says on what; each counts a share from 0 to 1.
WEIGHTS = {
    "words": 1.70,  # of the claim's words in the best window, rare ones counting more
    "pairs": 0.34,  # of its neighbouring words, near each other and in this order in a sentence
    "strange_names": -3.00,  # of its names, nowhere in the evidence
    "strange_numbers": -2.62,  # of its numbers and months, nowhere, or with another unit
    "negation": -1.24,  # whether it and the best sentence differ in one
}
BIAS = -0.56


def support(claim: str, evidence: Sequence[str], *, given: str = "", entails: Entails | None = None) -> float:
    """Return the probability that the sentences, in the order of their text, support the claim; 0 without any.

    What stands in one of them word for word is certain. given: a text, such as the question, whose names and numbers
    need no support. entails: a cross-encoder for natural language inference, whose best log-odds are averaged with
    those of the rules.
    """
    if not evidence:
        return 0.0
    said = f" {' '.join(words(claim))} "
    if said.strip() and any(said in f" {' '.join(words(sentence))} " for sentence in evidence):
        return 1.0
    found = features(claim, evidence, given)
    odds = BIAS + sum(weight * found[name] for name, weight in WEIGHTS.items())
    if entails:
        likely = max(entails([(premise, claim) for premise in _premises(claim, evidence)]))
        likely = min(max(likely, 1e-4), 1 - 1e-4)  # one model alone is never sure
        odds = (odds + math.log(likely / (1 - likely))) / 2
    return 1 / (1 + math.exp(-odds))


def features(claim: str, evidence: Sequence[str], given: str = "") -> dict[str, float]:
    """Return what WEIGHTS names, of a claim and at least one sentence."""
    stems = _stems(claim)
    held = [frozenset(_stems(sentence)) for sentence in evidence]
    frequency = Counter(stem for each in held for stem in each)
    rarity = {stem: math.log(1 + (1 + len(held)) / (1 + frequency[stem])) for stem in stems}
    total = sum(rarity.values()) or 1.0

    def share(found: frozenset[str]) -> float:
        return sum(rarity[stem] for stem in rarity.keys() & found) / total

    shares = [share(each) for each in held]
    best = evidence[max(range(len(held)), key=shares.__getitem__)]
    windows = [frozenset().union(*held[at : at + WINDOW]) for at in range(max(1, len(held) - WINDOW + 1))]
    pairs = {pair for pair in pairwise(stems) if pair[0] != pair[1]}
    text = " ".join(evidence)
    named = names(claim) - names(given, firsts=True)
    stated = {number: units for number, units in numbers(claim).items() if number not in numbers(given)}
    return {
        "words": max(map(share, windows)),
        "pairs": len(pairs & frozenset().union(*map(_near_pairs, evidence))) / len(pairs) if pairs else max(shares),
        "strange_names": len(named - _all_words(text)) / len(named) if named else 0.0,
        "strange_numbers": len(unheld(stated, numbers(text))) / len(stated) if stated else 0.0,
        "negation": float(is_negated(claim) != is_negated(best)),
    }


def entailment(folder: Path) -> Entails:
    """Load a cross-encoder for natural language inference; which of its labels is entailment, its config.json says."""
    from safetensors import SafetensorError
    from sentence_transformers import CrossEncoder

    try:
        model = CrossEncoder(str(folder), local_files_only=True)
    except (OSError, ValueError, SafetensorError) as error:  # what transformers raises for missing or foreign weights
        raise ModelError(folder, f"not a cross-encoder ({error})", "check RAG_NLI, or leave it empty") from error
    labels = {str(label).casefold(): int(at) for at, label in model.config.id2label.items()}
    at = next((labels[label] for label in labels if label.startswith(("entail", "support"))), None)
    if at is None:
        reason = f"none of its labels is entailment: {', '.join(labels)}"
        raise ModelError(folder, reason, "set RAG_NLI to a model for natural language inference")

    def entails(pairs: Sequence[tuple[str, str]]) -> list[float]:
        found = model.predict(list(pairs), apply_softmax=True, show_progress_bar=False)
        return [float(row[at]) for row in found]

    return entails


def _premises(claim: str, evidence: Sequence[str]) -> list[str]:
    """Return the sentences that hold most of the claim's words, each with the one after it."""
    stems = set(_stems(claim))
    shares = [len(stems & set(_stems(sentence))) for sentence in evidence]
    nearest = sorted(range(len(evidence)), key=lambda at: -shares[at])[:READ]
    return [" ".join(evidence[at : at + 2]) for at in nearest]


@lru_cache(maxsize=4096)
def _stems(sentence: str) -> tuple[str, ...]:
    """Return the stems of a sentence's words in order, stop words left out."""
    return tuple(map(_stem, (word for word in words(sentence) if word not in STOP_WORDS)))


@lru_cache(maxsize=65536)
def _stem(word: str) -> str:
    return str(_stemmer().stemWord(word))


@lru_cache(maxsize=1)
def _stemmer() -> Any:
    import Stemmer

    return Stemmer.Stemmer("english", 0)  # words of other languages hardly change, and alike on both sides


@lru_cache(maxsize=4096)
def _near_pairs(sentence: str) -> frozenset[tuple[str, str]]:
    stems = _stems(sentence)
    return frozenset((one, two) for at, one in enumerate(stems) for two in stems[at + 1 : at + 1 + APART])


@lru_cache(maxsize=256)
def _all_words(text: str) -> frozenset[str]:
    return frozenset(map(singular, words(text)))
