"""Facts come in; candidate questions of each type, made from one or two facts by rules, go out."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise, zip_longest
from typing import NamedTuple

import numpy as np

from chains.queries import Turn
from evaluation.facts import Fact, Proof
from evaluation.table_facts import unit_of
from words import content_words

TYPES = ("single-fact", "table", "paraphrase", "follow-up", "multi-passage", "unanswerable")
Embed = Callable[[list[str]], np.ndarray]  # texts → unit vectors, a row each
# frames turned round, and words of like meaning; what an embedder finds too far from the original is not taken
TURNED = (
    (r"^When (was|were) (.+)\?$", r"In which year \1 \2?"),
    (r"^When did (.+)\?$", r"In which year did \1?"),
    (r"^What (?:is|was|are|were) the meaning of (.+)\?$", r"What does \1 mean?"),
    (r"^What (?:is|are) (?!the \w+ of )(.+)\?$", r"How would you explain \1?"),
    (r"^What does (.+) stand for\?$", r"What is \1 short for?"),
    (r"^How many (.+) (?:does|do) (.+) have( .+)?\?$", r"What is the number of \1 of \2\3?"),
    (r"^How many (.+) (?:does|do) (.+) need( .+)?\?$", r"What number of \1 is necessary for \2\3?"),
    (r"^Where (?:is|was) (.+) (?:located|situated)\?$", r"In what place can one find \1?"),
    (r"^By whom (was|were) (.+)\?$", r"Who \1 \2 by?"),
    (r"^Why (is|are) (.+)\?$", r"What is the reason that \2 \1 so?"),
    (r"^(.+) in what year(.*)\?$", r"Do you know the year\2 in which \1?"),
    (r"^(.+(?<! of)(?<! at)(?<! in)(?<! to)) how many (\w+)\?$", r"What is the number of \2 that \1?"),
)
SYNONYMS = dict(
    pair.split("/")
    for pair in """founded/established established/set_up built/constructed started/begun launched/started began/started
    defeated/beat created/made introduced/first_presented published/issued located/situated needs/requires need/require
    uses/employs use/employ large/big steps/stages methods/techniques method/technique invented/devised
    discovered/found killed/slain meaning/sense licence/license bought/purchased increased/raised raised/increased
    reduced/lowered dominated/ruled erected/put_up captured/seized destroyed/wrecked""".split()  # noqa: SIM905
)
NEAR, SAME = 0.72, 0.995  # cosine between a question and its paraphrase


class Absent(NamedTuple):
    """What no passage may hold: a name with more than half of these words, or in one sentence with what is asked for.

    asked: a pattern of that, such as a year; one that matches nothing where it can't be told.
    """

    name: str
    words: frozenset[str]
    asked: re.Pattern[str]


@dataclass(frozen=True)
class Candidate:
    """A question to be tried on the index: what proves its answer, what was said before, and what must be absent."""

    type: str
    question: str
    answers: tuple[str, ...]
    proofs: tuple[Proof, ...]
    history: tuple[Turn, ...] = ()
    absent: Absent | None = None
    made_by: str = "rules"

    @property
    def answerable(self) -> bool:
        """Tell whether the documents answer it."""
        return self.absent is None


def plain(facts: Iterable[Fact]) -> Iterator[Candidate]:
    """Yield each fact's own question."""
    for fact in facts:
        type_ = "table" if fact.kind == "table" else "single-fact"
        yield Candidate(type_, fact.question, fact.answers, (fact.proof,))


def paraphrases(facts: Sequence[Fact], embed: Embed) -> Iterator[Candidate]:
    """Yield each fact's question in other words, where the embedder finds it near to the original."""
    made = [(fact, other) for fact in facts if (other := in_other_words(fact.question)) != fact.question]
    if not made:
        return
    cosines = np.sum(embed([fact.question for fact, _ in made]) * embed([other for _, other in made]), axis=1)
    for (fact, other), cosine in zip(made, cosines, strict=True):
        if NEAR <= cosine < SAME:
            yield Candidate("paraphrase", other, fact.answers, (fact.proof,))


def in_other_words(question: str) -> str:
    """Return the question turned round where a rule fits, its words replaced by others of like meaning."""
    for pattern, turned in TURNED:
        if re.match(pattern, question):
            question = re.sub(pattern, turned, question)
            break

    def other(match: re.Match[str]) -> str:
        return SYNONYMS.get(match.group(), match.group()).replace("_", " ")

    return re.sub(r"(?<![\w“-])[a-z]+(?![\w”-])", other, question)


def follow_ups(facts: Sequence[Fact]) -> Iterator[Candidate]:
    """Yield a fact's question with a pronoun for what it is about, after a question about the same."""
    about: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    who: dict[Proof, Fact] = {}
    for fact in facts:
        if fact.kind == "who":
            who.setdefault(fact.proof, fact)
        elif fact.frame and not fact.frame.startswith("When did"):
            about[fact.proof.doc_id, fact.subject].append(fact)
    for fact in facts:
        if fact.kind == "when" and fact.proof in who:
            yield _after(who[fact.proof], "When did that happen?", fact)
    for first, second, *_ in (group for group in about.values() if len(group) > 1):  # so that the subjects differ
        question = _pointing(second.frame)
        if question and first.question != second.question:
            yield _after(first, question, second)


def _after(first: Fact, question: str, second: Fact) -> Candidate:
    turn: Turn = {"question": first.question, "answer": f"{first.answers[0].rstrip('.')}."}
    return Candidate("follow-up", question, second.answers, (second.proof,), (turn,))


def _pointing(frame: str) -> str:
    """Return a frame with it, its or they in the place of {}; "" where none fits."""
    if re.search(r"\b(?:are|were|do) \{\}", frame):
        return frame.replace("{}", "they")
    if re.search(r"\b(?:is|was|does) \{\}", frame):
        return frame.replace("{}", "it")
    owned = re.match(r"^What is the (.+) of \{\}\?$", frame)
    return f"And what is its {owned[1]}?" if owned else ""


def comparisons(facts: Sequence[Fact]) -> Iterator[Candidate]:
    """Yield questions that compare a fact with the next of its kind: amounts of one frame, or the years of events."""
    amounts: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        if fact.value is not None and fact.frame and fact.kind == "table":
            amounts[fact.frame].append(fact)
    events = [fact for fact in facts if fact.value is not None and fact.event]
    found = [[*_larger(frame, group)] for frame, group in amounts.items()] + [[*_earlier(events)]]
    yield from filter(None, chain.from_iterable(zip_longest(*found)))  # the frames take turns


def _larger(frame: str, group: Sequence[Fact]) -> Iterator[Candidate]:
    unit = re.match(r"^(?:How many (?P<many>.+) does \{\} have|What is the (?P<the>.+) of \{\})\?$", frame)
    for one, other in pairwise(group) if unit else ():
        if unit and one.value != other.value and one.proof.start != other.proof.start:
            start = f"more {_without_quantity(unit['many'])}" if unit["many"] else f"the higher {unit['the']}"
            best = max(one, other, key=lambda fact: fact.value or 0.0)
            question = f"Which has {start}, {one.subject} or {other.subject}?"
            yield Candidate("multi-passage", question, (best.subject,), (one.proof, other.proof))


def _earlier(group: Sequence[Fact]) -> Iterator[Candidate]:
    for one, other in pairwise(group):
        if one.value != other.value and one.proof != other.proof:
            first = min(one, other, key=lambda fact: fact.value or 0.0)
            question = f"Which came first: {one.event}, or {other.event}?"
            yield Candidate("multi-passage", question, (first.event,), (one.proof, other.proof))


def _without_quantity(unit: str) -> str:
    """Return what is counted without its quantity: billion parameters → parameters."""
    return re.sub(r"^(?:thousand|million|billion|trillion) ", "", unit_of(unit))


def swapped(facts: Sequence[Fact], names: Sequence[str], embed: Embed) -> Iterator[Candidate]:
    """Yield facts' questions asked of another name, the names that are most alike by their vectors first.

    Facts whose subject is none of the names are passed over. Whether the documents answer a question is for the caller
    to check, by `absent`.
    """
    known = frozenset(names)
    asked = [
        f for f in facts if f.subject in known and "{}" in f.frame and f.kind != "what" and not UNFIT.search(f.frame)
    ]
    if not asked:
        return
    likeness = embed([fact.subject for fact in asked]) @ embed(list(names)).T
    told = {(fact.frame, fact.subject) for fact in facts}
    for at in np.argsort(-likeness, axis=None):
        fact, name = asked[at // len(names)], names[at % len(names)]
        frame = frozenset(content_words(fact.frame.replace("{}", "")) - ASKING)
        if frame and (fact.frame, name) not in told and not content_words(name) & content_words(fact.question):
            absent = Absent(name, frame, ASKED.get(fact.kind, NEVER))
            question = fact.frame.replace("{}", name)
            yield Candidate("unanswerable", question[0].upper() + question[1:], (), (), absent=absent)


# a cell that is asked for by its place; and what anything has that is written of
UNFIT = re.compile(r"[“(]|\b(?:meaning|definition|description|explanation|summary|name|type)\b", re.IGNORECASE)
NEVER = re.compile(r"(?!)")
ASKED = {"when": re.compile(r"\b[12]\d{3}\b"), "who": re.compile(r"\bby [A-Z]|\bet al\b|\([A-Z][^()]*\d{4}")}
ASKING = frozenset(content_words("many much year date percentage long high old number whom"))
