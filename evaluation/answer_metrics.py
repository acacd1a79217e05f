"""Answers with the references to compare them to come in; their scores go out."""

import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import regex
from rapidfuzz.distance import LCSseq

from chains.sanitising import CITATION
from sentences import sentence_spans
from words import STOP_WORDS, UNSPACED, content_words, words

Row = dict[str, Any]  # a line of `evaluate answers --rows`
Share = tuple[float, float]  # what a row adds to a metric's numerator and to its denominator
ARTICLE = re.compile(r"\b(?:a|an|the)\b")
ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)
OTHER_SCRIPT = regex.compile(r"[\p{L}--\p{Latin}]", regex.VERSION1)
PUNCTUATION = regex.compile(r"\p{P}")
TOKEN = regex.compile(r"[\p{L}\p{M}\p{N}]+")
# a number keeps its point and its commas; all else that is no letter parts words: Newton's, 20th-century, 24–10
WHOLE = regex.compile(r"[\p{L}\p{M}\p{N}]+(?:(?<=\p{N})[.,](?=\p{N})[\p{L}\p{M}\p{N}]+)*")
LOOP, TIMES = 4, 2  # words in a row that an answer may say so many times
HARMS = ("hallucination_rate", "repetition_rate", "noise_sensitivity")  # of which less is better; the last is ragas'


def uncited(answer: str) -> str:
    """Return the answer without its [n], as it is scored."""
    return CITATION.sub("", answer).strip()


def normalised(text: str) -> list[str]:
    """Return the words that SQuAD 2.0's evaluation compares: lower case, no ASCII punctuation, no English articles.

    As MLQA's does (Lewis et al., ACL 2020), text in another script than Latin loses all punctuation, and each
    character of a script without spaces is a word.
    """
    text = text.lower().translate(ASCII_PUNCTUATION)
    if OTHER_SCRIPT.search(text):
        text = _spaced(PUNCTUATION.sub("", text))
    return ARTICLE.sub(" ", text).split()


def exact_match(answer: str, references: Sequence[str]) -> float:
    """Return 1 where the answer is one of the references, normalised, else 0 (Rajpurkar et al., ACL 2018)."""
    return float(any(normalised(answer) == normalised(reference) for reference in references))


def f1(answer: str, references: Sequence[str]) -> float:
    """Return the best harmonic mean of precision and recall of words over the references, as SQuAD 2.0 counts it."""
    return max((_f1(normalised(answer), normalised(reference)) for reference in references), default=0.0)


def _f1(said: list[str], wanted: list[str]) -> float:
    if not said or not wanted:
        return float(said == wanted)
    return 2 * (Counter(said) & Counter(wanted)).total() / (len(said) + len(wanted))


def rouge_l(answer: str, references: Sequence[str]) -> float:
    """Return the best ROUGE-L F-measure: the harmonic mean of the longest common subsequence's share of each text.

    Lin, ROUGE, 2004. Words are rouge-score's without stemming, and those of other scripts as well, which it drops.
    """
    return max((_rouge(_tokens(answer), _tokens(reference)) for reference in references), default=0.0)


def _rouge(said: list[str], wanted: list[str]) -> float:
    return 2 * LCSseq.similarity(said, wanted) / (len(said) + len(wanted)) if said and wanted else 0.0


def _tokens(text: str) -> list[str]:
    return list(TOKEN.findall(_spaced(text.lower())))


def contains(text: str, references: Sequence[str]) -> bool:
    """Tell whether a reference stands in the text, as whole words in a row, in scripts without spaces anywhere.

    Case, articles and punctuation do not count. Unlike SQuAD's words, which become one ("Newton's", "the score—24"),
    those on both sides of punctuation are two.
    """
    held = f" {' '.join(_whole(text))} "
    found = (" ".join(_whole(reference)) for reference in references)
    return any(wanted and f" {wanted} " in held for wanted in found) or bool(exact_match(text, references))


def _whole(text: str) -> list[str]:
    found = (word.replace(",", "") for word in WHOLE.findall(_spaced(text.casefold())))
    return [word for word in found if word not in ("a", "an", "the")]


def _spaced(text: str) -> str:
    return UNSPACED.sub(lambda match: f" {' '.join(match.group())} ", text)


def hallucinates(answer: str, question: str, contexts: Iterable[str]) -> bool:
    """Tell whether a content word, name or number of the answer stands neither in the question nor in any context.

    That is what can be told without a judge, whatever the post-filter decided: a false sentence in the contexts' own
    words goes unseen, a true one with a word of its own is counted.
    """
    read = set().union(*map(content_words, (question, *contexts)))
    return not content_words(answer) - STOP_WORDS <= read


def repeats(answer: str) -> bool:
    """Tell whether the answer has a sentence twice, or the same four words in a row more than twice."""
    said = [tuple(words(answer[start:end])) for start, end in sentence_spans(answer)]
    every = words(answer)
    loops = Counter(zip(*(every[at:] for at in range(LOOP)), strict=False))
    return len(set(said)) < len(said) or max(loops.values(), default=0) > TIMES


def cited_spans(row: Row) -> list[str]:
    """Return the verbatim text of each citation; where an answer's statements are not told, of each source it cites."""
    if row["statements"]:
        return [citation["text"] for statement in row["statements"] for citation in statement["citations"]]
    return [source["text"] for source in row["sources"] if source["n"] in row["cited"]]


def shares(row: Row) -> dict[str, Share]:
    """Return what a row adds to each metric, a metric being the quotient of two sums over all rows.

    exact_match, f1, rouge_l, contains: the mean over answerable questions, a refusal counting 0.
    citation_precision: of the citations in answers to answerable questions, those whose span holds a reference.
    citation_coverage: of the answerable questions that were answered, those with such a citation.
    citation_support: of the sentences of all answers, those with a citation.
    refusal_precision, refusal_recall: of the refused questions, and of the unanswerable ones, those that are both.
    hallucination_rate, repetition_rate: of the answers given, those that do it (`hallucinates`, `repeats`).
    """
    there, given = row["answerable"], not row["abstained"]
    answer = uncited(row["answer"])
    right = [contains(span, row["answers"]) for span in cited_spans(row)] if there and given else []
    supported = [bool(statement["citations"]) for statement in row["statements"]]
    rightly = float(not there and not given)
    likeness = ("exact_match", "f1", "rouge_l", "contains")
    return {name: (float(row[name]), 1.0) if there else (0.0, 0.0) for name in likeness} | {
        "citation_precision": (sum(right), len(right)),
        "citation_coverage": (float(any(right)), float(there and given)),
        "citation_support": (sum(supported), len(supported)),
        "refusal_precision": (rightly, float(not given)),
        "refusal_recall": (rightly, float(not there)),
        "hallucination_rate": (float(given and hallucinates(answer, row["question"], row["contexts"])), float(given)),
        "repetition_rate": (float(given and repeats(answer)), float(given)),
    }


def summarise(rows: Sequence[Row]) -> dict[str, float | None]:
    """Return each metric of `shares`, None where it does not apply: refusals need questions that are unanswerable."""
    told = [shares(row) for row in rows]
    found: dict[str, float | None] = {}
    for name in told[0]:
        over = sum(each[name][1] for each in told)
        found[name] = round(sum(each[name][0] for each in told) / over, 4) if over else None
    return found if any(not row["answerable"] for row in rows) else found | {"refusal_precision": None}
