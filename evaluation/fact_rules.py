"""An English sentence comes in; questions that rules make of it, with their answers, go out.

is a …         What is X?                               was founded in …, by …     When was X founded? By whom …?
has 4 steps    How many steps does X have?              … because …                Why is X …?
NAME won …     Who won …?                               else, in the same place    X was hit how many times?
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from evaluation.english import (
    AMOUNTS,
    BE,
    DATE,
    DEEDS,
    MODAL,
    NAME,
    NUMBER,
    PARTICIPLES,
    PERSON,
    SCALE,
    Cases,
    subject_of,
    who,
)

DATED = re.compile(
    rf"^(?P<before>[^,;:]+?) (?:in|on) (?P<answer>{DATE})(?=$|,|;| by | and | as | when | after | with )"
)
AMOUNT = re.compile(
    rf"^(?P<np>.+?) (?P<verb>{'|'.join(sorted(AMOUNTS, key=len, reverse=True))})"
    rf" (?P<answer>(?:about |around |over |some |up to |more than )?{NUMBER}{SCALE})"
    r" (?P<unit>(?!more|other|further|additional)(?:[a-z-]+ ){0,2}?[a-z-]{3,}s(?: of [\w-]+(?: [a-z]+)?)?)"
    r"(?P<rest> (?:per|of|in|for|to|with|on|at) [^,;:]{3,60})?(?=$|[,;:]| and )"
)
STANDS = re.compile(r"^(?P<np>[^,;:]+?) (?P<verb>stands? for|means|consists? of) (?P<answer>[^,;:]+)")
# "a poor choice", "the first of" and the like say something of their subject, and not what it is
NO_DEFINITION = re.compile(
    r"^(?:an?|the|one of)(?: the)?(?: [\w-]+)? (?:choice|rule|way|cause|reason|example|part|problem|matter|result"
    r"|factor|member|time|thing|place|question|one|trade-off|compromise|remedy|difference|subject|source|case|number)\b"
    r"|^(?:an?|the) (?:\w+est|first|second|third|last|only|most|more|next|same|main|chief)\b",
)
AMONG = re.compile(
    r"(?:\b(?:about|around|over|some|just|only|nearly|up to|more than|at least|approximately) )?(?<![$€£\w.,–-])"
    rf"(?P<answer>(?!one\b|two\b){NUMBER}{SCALE}) (?P<unit>(?!per\b|percent)"
    r"(?:(?!(?:more|other|of|and|to|or|in)\b)[a-z-]+ )?(?!(?:of|as|is|was|has)\b)[a-z-]{2,}s)\b"
    r"|(?P<share>\d[\d.,]* ?(?:per cent|percent|%))"
    rf"|\b(?:in|on) (?P<date>{DATE})"
)
UNFIT_BEFORE = re.compile(
    r"[,;:](?!\d)|\b(?:the|these|those|first|last|all|any|to|or|and|between|than)\s*$|[±–]\s*$|\b(?:which|who|that)\b"
)
UNFIT_AFTER = re.compile(r"^ (?:to|or|±|–) |\b(?:is|are|was|were|has|have|had|which|who|that|when|where|called|than)\b")
# an amount after one of these can't be asked for in front: a window of how many tokens
DANGLING = re.compile(r"\b(?:of|in|on|at|by|to|for|with|from|into|between|within|over|under|as|a|an|\w+ing)\s*$")
VERB = re.compile(rf"\b(?:{'|'.join((*MODAL, *AMOUNTS, *DEEDS, 'died'))}|[a-z]+[^\We]ed)(?![\w-])")
DEED = re.compile(
    rf"^(?P<answer>(?:The )?{NAME}) (?P<verb>{'|'.join(DEEDS)}|[a-z]{{2,}}ed)"
    r" (?P<rest>(?!by |as |in )(?:[^,;:]|,(?=\d))+)"
)
PASSIVE = re.compile(r"(?:[a-z]+ly |first |also )?(?:[a-z-]+ed|" + "|".join(PARTICIPLES) + r")\b")
PLACED = re.compile(
    r"^(?P<before>(?:located|situated|based|headquartered|born|held|buried)) (?:in|on|at|near) "
    rf"(?P<answer>(?:the )?{NAME})"
)
CALLED = re.compile(r"^(?:also |often |commonly )?(?:called|known as|referred to as|termed) (?P<answer>[^,;:]+)")
TALL = re.compile(rf"^(?P<answer>(?:about |around |over )?{NUMBER} [a-z]+) (?P<how>long|high|wide|tall|deep|old)\b")
CUT = re.compile(r",(?!\d)(?! \d{4})|[;:]| – | — | - ")
RELATIVE = re.compile(r" (?:that|who|whom|whose|and|where|when|because|so) ")


class Found(NamedTuple):
    """A question with its answers, what it asks for, its subject if that is known, and what happened, of a when."""

    question: str
    answers: tuple[str, ...]
    kind: str
    subject: str
    event: str = ""


def found_by_rules(text: str, opening: str, cases: Cases) -> list[Found]:
    """Return what can be asked of a sentence, without its full stop; `opening` is the date that stood before it."""
    return list(_rules(text, opening, cases)) or list(_in_place(text, opening, cases))


def _rules(text: str, opening: str, cases: Cases) -> Iterator[Found]:
    if (found := STANDS.match(text)) and (np := subject_of(found["np"], cases)):
        verb, _, rest = found["verb"].partition(" ")
        help_, plain = ("does", verb.removesuffix("s")) if verb.endswith("s") else ("do", verb)
        yield Found(f"What {help_} {np} {plain} {rest}".strip() + "?", _answers(found["answer"]), "what", np)
    if (found := AMOUNT.match(text)) and (np := subject_of(found["np"], cases)):
        plain, help_ = AMOUNTS[found["verb"]]
        question = f"How many {found['unit']} {help_} {np} {plain}{found['rest'] or ''}?"
        yield Found(question, (f"{found['answer']} {found['unit']}", found["answer"]), "how many", np)
    elif found := DEED.match(text):
        yield from _deeds(found, opening, cases)
    yield from _states(text, opening, cases)


def _deeds(found: re.Match[str], opening: str, cases: Cases) -> Iterator[Found]:
    name, verb, rest = found["answer"].removeprefix("The "), found["verb"], found["rest"].strip()
    if not subject_of(name, cases) or not all(map(cases.is_name, re.findall(r"[A-Z][\w'’-]*", name))):
        return
    dated = DATED.match(rest)
    rest = dated["before"] if dated else rest
    answer, plain = dated["answer"] if dated else opening, cases.plain(verb)
    if answer and plain:
        the = found["answer"].replace("The ", "the ", 1)
        yield Found(f"When did {the} {plain} {rest}?", (answer,), "when", the, f"{the} {verb} {rest}")
    yield Found(f"{who(name, cases)} {verb} {rest}?", (name,), "who", "")


def _states(text: str, opening: str, cases: Cases) -> Iterator[Found]:
    """Yield what sentences tell that state something of their subject: NP is …, NP was …ed …, NP can … because …."""
    tokens = text.split()
    at = next((n for n, token in enumerate(tokens[:11]) if token in MODAL), 0)
    np, verb, rest = subject_of(" ".join(tokens[:at]), cases), tokens[at], " ".join(tokens[at + 1 :])
    if not at or not np or not rest:
        return
    if reason := re.match(r"^(?P<rest>[^,;:]+),? because (?P<answer>[^;:]+)$", rest):
        yield Found(f"Why {verb} {np} {reason['rest']}?", _answers(reason["answer"]), "why", np)
    if verb not in BE:
        return
    if re.match(r"(?:an?|the|one of) ", rest) and not NO_DEFINITION.match(rest):
        is_who = " " in np and np.split()[-1][0].isupper() and PERSON.search(f"{np} {CUT.split(rest)[0]}")
        answers = _answers(rest)
        if len(answers[0].split()) > 2:
            yield Found(f"{'Who' if is_who else 'What'} {verb} {np}?", answers, "what", np)
    if PASSIVE.match(rest):
        yield from _passives(np, verb, rest, opening)
    if tall := TALL.match(rest):
        yield Found(f"How {tall['how']} {verb} {np}?", (tall["answer"],), "how many", np)


def _passives(np: str, verb: str, rest: str, opening: str) -> Iterator[Found]:
    dated = DATED.match(rest)
    date = dated["answer"] if dated else opening
    if date:
        done = dated["before"] if dated else CUT.split(rest)[0]
        yield Found(f"When {verb} {np} {done}?", (date,), "when", np, f"{np} {verb} {done}")
    if by := re.match(rf"^(?P<before>[^,;:]+?) by (?P<answer>{NAME})(?=$|,|;| in | and )", rest):
        yield Found(f"By whom {verb} {np} {by['before']}?", (by["answer"],), "who", np)
    if place := PLACED.match(rest):
        yield Found(f"Where {verb} {np} {place['before']}?", (place["answer"],), "where", np)
    if called := CALLED.match(rest):
        yield Found(f"What {verb} {np} called?", _answers(called["answer"]), "what", np)


def _in_place(text: str, opening: str, cases: Cases) -> Iterator[Found]:
    """Yield the question for an amount or a date anywhere in a sentence: in front, or else where the answer stood."""
    verb = VERB.search(text)
    if not verb or not subject_of(re.split(r" (?:of|in|on|for|from|with) |,", text[: verb.start()])[0].strip(), cases):
        return
    np, plain = subject_of(text[: verb.start()].strip(), cases), cases.plain(verb.group())
    if opening:
        event = CUT.split(text)[0]
        rest = event[verb.end() :]
        question = f"When did {np} {plain}{rest}?" if np and plain else f"{event} {_asked_date(opening)}?"
        yield Found(question, (opening,), "when", np if np in question else "", event)
        return
    found = AMONG.search(text, verb.end())
    if not found or UNFIT_BEFORE.search(text[: found.start()]):
        return
    before, after = text[verb.end() : found.start()].rstrip(), text[found.end() :]
    rest = re.split(r"[,;:](?!\d)| – " if " between " in after else r"[,;:](?!\d)| – | and ", after)[0]
    if UNFIT_AFTER.search(rest) or len(rest.split()) > 8 or re.match(r", \d", after):
        return
    if found["date"]:
        asked, front, answer = _asked_date(found["date"]), "When", found["date"]
    else:
        front = "What percentage" if found["share"] else f"How many {found['unit']}"
        asked, answer = front[0].lower() + front[1:], found["share"] or found["answer"]
    question = f"{text[: found.start()]}{asked}{rest}?"
    if np and plain and not DANGLING.search(before) and not rest.startswith(" of"):
        question = f"{front} did {np} {plain}{before}{rest}?"
    event = f"{np or text[: verb.start()].strip()} {verb.group()}{before}{rest}" if found["date"] else ""
    yield Found(question, (answer,), "when" if event else "how many", np if np in question else "", event)


def _asked_date(date: str) -> str:
    if re.fullmatch(r"[12]\d{3}", date):
        return "in what year"
    return "on what date" if re.search(r"\b\d{1,2}\b", date) else "when"


def _answers(text: str) -> tuple[str, ...]:
    """Return the answer to the first comma, and before that to what tells more of it."""
    whole = CUT.split(text)[0].strip()
    short = RELATIVE.split(whole)[0].strip()
    return tuple(dict.fromkeys([short, whole] if len(short.split()) > 3 else [whole]))
