"""Facts come in; candidate questions of each type, made from one or two facts by rules, go out."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from chains.queries import Turn
from evaluation.facts import LEANING, Fact, Proof
from evaluation.table_facts import unit_of
from words import content_words

TYPES = ("single-fact", "table", "paraphrase", "follow-up", "multi-passage", "unanswerable")
Embed = Callable[[list[str]], np.ndarray]  # texts → unit vectors, a row each
# frames turned round, and words of like meaning; what an embedder finds too far from the original is not taken
TURNED = (
    (r"^When (was|were) (.+)\?$", r"In which year \1 \2?"),
    (r"^When did (.+)\?$", r"What was the year in which it happened that \1?"),
    (r"^What (?:is|are) (?:the )?(.+)\?$", r"How would you explain \1?"),
    (r"^What does (.+) stand for\?$", r"What is \1 short for?"),
    (r"^How many (.+) (?:does|do) (.+) have( .+)?\?$", r"What is the number of \1 of \2\3?"),
    (r"^How many (.+) (?:does|do) (.+) need( .+)?\?$", r"What number of \1 is necessary for \2\3?"),
    (r"^Where (?:is|was) (.+) (?:located|situated)\?$", r"In what place can one find \1?"),
    (r"^Who (was|were) (.+) by\?$", r"By whom \1 \2?"),
    (r"^Why (is|are) (.+)\?$", r"What is the reason that \2 \1 so?"),
    (r"^(.+) in what year(.*)\?$", r"Do you know the year\2 in which \1?"),
    (r"^(.+) how many (\w+)\?$", r"What is the number of \2 that \1?"),
)
SYNONYMS = dict(
    pair.split("/")
    for pair in """founded/established established/set_up built/constructed started/begun launched/started began/started
    defeated/beat created/made introduced/first_presented published/issued located/situated needs/requires need/require
    uses/employs use/employ large/big number/count steps/stages methods/techniques method/technique invented/devised
    discovered/found killed/slain meaning/sense licence/license bought/purchased increased/raised raised/increased
    reduced/lowered dominated/ruled erected/put_up renamed/gave_a_new_name_to captured/seized destroyed/wrecked
    trained/taught""".split()  # noqa: SIM905
)
NEAR, SAME = 0.72, 0.995  # cosine between a question and its paraphrase
AGE_GAP = 1  # years between events that are compared


@dataclass(frozen=True)
class Candidate:
    """A question to be tried on the index: what proves its answer, what was said before, and what must be absent.

    absent: of an unanswerable question, the name and the words that no passage may hold together; else empty.
    """

    type: str
    question: str
    answers: tuple[str, ...]
    proofs: tuple[Proof, ...]
    history: tuple[Turn, ...] = ()
    absent: tuple[str, frozenset[str]] | tuple[()] = ()
    made_by: str = "rules"

    @property
    def answerable(self) -> bool:
        """Tell whether the documents answer it."""
        return not self.absent


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


def follow_ups(facts: Iterable[Fact]) -> Iterator[Candidate]:
    """Yield a fact's question with a pronoun for its subject, after a question about the same subject."""
    about: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    for fact in facts:
        if fact.frame and fact.kind != "who" and not fact.frame.startswith("When did"):
            about[fact.proof.doc_id, fact.subject].append(fact)
    for group in about.values():
        for first, second in pairwise(group):
            question = _pointing(second.frame)
            if question and first.question != second.question and not LEANING.search(first.question):
                turn: Turn = {"question": first.question, "answer": f"{first.answers[0]}."}
                yield Candidate("follow-up", question, second.answers, (second.proof,), (turn,))


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
    events: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        if fact.value is not None and fact.frame and fact.kind == "table":
            amounts[fact.frame].append(fact)
        elif fact.value is not None and fact.event:
            events[fact.proof.doc_id].append(fact)
    for frame, group in amounts.items():
        unit = re.match(r"^(?:How many (?P<many>.+) does \{\} have|What is the (?P<the>.+) of \{\})\?$", frame)
        for one, other in pairwise(group):
            if unit and one.value != other.value and one.proof.start != other.proof.start:
                asked = _without_quantity(unit["many"]) if unit["many"] else unit["the"]
                start = f"Which has more {asked}" if unit["many"] else f"Which has the higher {asked}"
                best = max(one, other, key=lambda fact: fact.value or 0.0)
                question = f"{start}, {one.subject} or {other.subject}?"
                yield Candidate("multi-passage", question, (best.subject,), (one.proof, other.proof))
    for group in events.values():
        for one, other in pairwise(group):
            if abs((one.value or 0) - (other.value or 0)) >= AGE_GAP and one.proof.start != other.proof.start:
                first = min(one, other, key=lambda fact: fact.value or 0.0)
                question = f"Which came first: {one.event}, or {other.event}?"
                yield Candidate("multi-passage", question, (first.event, *first.answers), (one.proof, other.proof))


def _without_quantity(unit: str) -> str:
    """Return what is counted without its quantity: billion parameters → parameters."""
    return re.sub(r"^(?:thousand|million|billion|trillion) ", "", unit_of(unit))


def swapped(facts: Sequence[Fact], names: Sequence[str], embed: Embed, *, nearest: int = 5) -> Iterator[Candidate]:
    """Yield facts' questions asked of another name: each of the `nearest` of `names` by their vectors, nearest first.

    Whether the documents answer one of them is for the caller to check, by `absent`.
    """
    asked = [fact for fact in facts if fact.frame and _is_name(fact.subject) and fact.kind != "what"]
    if not asked or not names:
        return
    likeness = embed([fact.subject for fact in asked]) @ embed(list(names)).T
    for fact, row in zip(asked, likeness, strict=True):
        frame = frozenset(content_words(re.sub(r"[“”{}]", "", fact.frame)) - ASKING)
        for at in np.argsort(-row)[:nearest]:
            name, question = names[at], fact.frame.replace("{}", names[at])
            if frame and not content_words(name) & content_words(fact.question):
                yield Candidate("unanswerable", question, (), (), (), (name, frame))


ASKING = frozenset(content_words("many much table give year date percentage first long high old number year"))


def _is_name(subject: str) -> bool:
    return any(word[0].isupper() or any(map(str.isdigit, word)) for word in subject.split())
