"""Sentences of documents come in; the facts among them that a rule can ask for, each with its question, go out.

The rules know English and prefer silence: a sentence whose subject leans on what was said before it is passed over.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from evaluation.english import DATE, LEANING, Cases
from evaluation.fact_rules import found_by_rules
from words import content_words, words

SHORTEST, LONGEST = 40, 320  # characters of a sentence
MOST_WORDS = 22  # of a question or an answer
LINKS = re.compile(r"!?\[([^\]]*)\]\([^)]*\)|[*_`]{1,3}(?=\w)|(?<=[\w.)])[*_`]{1,3}")
BRACKETS = re.compile(r"\s*(?:\[[^\]]*\]|\((?![A-Z][\w-]{1,9}\))[^()]*\))")
VAGUE = re.compile(r"\b(?:this|these|those|such|(?:of|in|to|for) that)\b")


@dataclass(frozen=True)
class Proof:
    """A verbatim stretch of a document: its name, its page, and its characters in the text as it was read."""

    doc_id: str
    page: int | None
    start: int
    end: int
    passage: str


@dataclass(frozen=True)
class Fact:
    """A question, its answers as the proof has them, what it is about, and the words that ask it of anything.

    kind: what is asked for, such as when or table. frame: the question with {} for the subject, or "". event: what
    happened, where the question asks when. value: the answer as a number, where it is one.
    """

    question: str
    answers: tuple[str, ...]
    kind: str
    subject: str
    frame: str
    proof: Proof
    event: str = ""
    value: float | None = None


def read_facts(proof: Proof, cases: Cases) -> Iterator[Fact]:
    """Yield the facts of one sentence that stand alone."""
    sentence = proof.passage
    if not SHORTEST <= len(sentence) <= LONGEST or "\n\n" in sentence:
        return
    if sentence[-1] not in ".:" or not sentence[0].isupper():
        return
    text = " ".join(BRACKETS.sub("", LINKS.sub(r"\1", sentence)).split()).rstrip(".: ")
    opening = re.match(rf"^In (?P<answer>{DATE}), (?P<rest>(?:the )?[A-Z].+)", text)
    rest, date = (opening["rest"], opening["answer"]) if opening else (text, "")
    for question, answers, kind, subject, event in found_by_rules(rest, date, cases):
        if _is_clean(question, answers, sentence):
            frame = question.replace(subject, "{}") if subject and question.count(subject) == 1 else ""
            year = re.search(r"[12]\d{3}", answers[0]) if kind == "when" else None
            yield Fact(question, answers, kind, subject, frame, proof, event, float(year[0]) if year else None)


def _is_clean(question: str, answers: tuple[str, ...], sentence: str) -> bool:
    asked, sizes = question.split(), [len(answer.split()) for answer in answers]
    if not 4 <= len(asked) <= MOST_WORDS or LEANING.search(question) or re.search(r"[\"“”|{}]|\.\s", question[:-1]):
        return False
    if not answers or max(sizes) > MOST_WORDS or not all(holds(sentence, answer) for answer in answers):
        return False
    if LEANING.match(answers[0]) or VAGUE.search(answers[-1]) or question.count("(") != question.count(")"):
        return False
    told = content_words(question)
    specific = re.search(r"\d|(?<!^)\b[A-Z]", question) or len(told) > 4 or question.startswith("What ")
    return bool(specific) and not content_words(answers[-1]) <= told


def holds(text: str, answer: str) -> bool:
    """Tell whether a text has an answer's words, one after the other, whatever stands between them."""
    return f" {' '.join(words(answer))} " in f" {' '.join(words(text))} "
