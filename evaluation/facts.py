"""Sentences of documents come in; the facts among them that a rule can ask for, each with its question, go out.

The rules know English and prefer silence: a sentence whose subject leans on what was said before it is passed over.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from words import content_words, words


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


NUMBER = r"(?:\d[\d,.]*\d|\d|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
MONTH = "January|February|March|April|May|June|July|August|September|October|November|December"
DATE = rf"(?:(?:the )?(?:early |late |mid-)?(?:(?:\d{{1,2}} )?(?:{MONTH})(?: \d{{1,2}},?)? )?[12]\d{{3}}s?(?: BC| AD)?(?![\w%–-]))"
DATED = re.compile(rf"^(?P<before>[^,;:]+?) (?:in|on) (?P<answer>{DATE})(?=$|,|;| by | and | as | when | after | with )")
BE = ("is", "are", "was", "were")
MODAL = (*BE, "can", "could", "should", "must", "will", "would")
# irregular participles; the regular ones end in -ed
PARTICIPLES = frozenset(
    """born built begun bought brought cast chosen cut done drawn driven fought found given grown held hit hung kept
    known laid led left lent lost made meant met overthrown paid put read run seen sent set shown shot sold spent split
    spoken stolen struck sung sunk taken taught thrown told torn understood won worn written""".split()  # noqa: SIM905
)
# what people, groups and firms do, past → plain form: the subject of these is a who
DEEDS = dict(
    pair.split("/")
    for pair in """introduced/introduce proposed/propose invented/invent discovered/discover founded/found wrote/write
    composed/compose designed/design developed/develop won/win led/lead argued/argue showed/show found/find
    reported/report compared/compare defeated/defeat beat/beat conquered/conquer created/create built/build
    published/publish described/describe coined/coin named/name established/establish signed/sign painted/paint
    directed/direct produced/produce ruled/rule married/marry commanded/command trained/train demonstrated/demonstrate
    launched/launch released/release opened/open bought/buy sold/sell acquired/acquire translated/translate
    captured/capture destroyed/destroy explored/explore visited/visit taught/teach recorded/record scored/score
    banned/ban issued/issue succeeded/succeed replaced/replace""".split()  # noqa: SIM905
)
# verbs before a number: plain, with -s, past
AMOUNTS = {
    form: (plain, help_)
    for plain, third, past in (
        line.split()
        for line in """have has had|contain contains contained|hold holds held|need needs needed|take takes took
        use uses used|require requires required|cover covers covered|cost costs cost|weigh weighs weighed
        comprise comprises comprised|include includes included|employ employs employed|serve serves served
        produce produces produced|store stores stored|accept accepts accepted|offer offers offered|keep keeps kept
        receive receives received|win wins won|score scores scored|lose loses lost|train trains trained
        read reads read|span spans spanned|occupy occupies occupied|support supports supported"""
        .replace("|", "\n").splitlines()
    )
    for form, help_ in ((plain, "do"), (past, "did"), (third, "does"))
}
AMOUNT = re.compile(
    rf"^(?P<np>.+?) (?P<verb>{'|'.join(sorted(AMOUNTS, key=len, reverse=True))})"
    rf" (?P<answer>(?:about |around |over |some |up to |more than )?{NUMBER}(?: (?:million|billion|trillion|thousand|hundred))?)"
    r" (?P<unit>(?!more|other|further|additional)(?:[a-z-]+ ){0,2}?[a-z-]{3,}s(?: of [\w-]+(?: [a-z]+)?)?)(?P<rest> (?:per|of|in|for|to|with|on|at) [^,;:]{3,60})?(?=$|[,;:]| and )"
)
STANDS = re.compile(r"^(?P<np>[^,;:]+?) (?P<verb>stands? for|means|consists? of) (?P<answer>[^,;:]+)")
PERSON = re.compile(
    r"\b(?:king|queen|emperor|prince|princess|duke|pope|monk|priest|leader|actor|actress|author|writer|poet|painter"
    r"|singer|player|engineer|architect|lawyer|general|officer|quarterback|coach|minister|president|professor|reformer"
    r"|explorer|composer|inventor|founder|\w{3,}(?:ist|ician|grapher|opher))\b"
)
# What can't begin a subject, what can't be inside one, and what a question must not hold: it would lean on its context.
OPENERS = frozenset(
    """it its he his she her they their we our you your i this that these those such both all some many most several
    another other others each either neither there here what which who whose when where why how if although though
    because since while as after before until in on at by for from with without under over among between during
    through despite unlike like to of and but or nor so yet however therefore thus hence also then later next first
    finally today now instead moreover furthermore additionally meanwhile according given only even just one two three
    not no its further additional nearly almost about around every any few fewer more less much""".split()  # noqa: SIM905
)
INSIDE = frozenset(
    """it he she they we you i this that these those which who whose whom when where why how if although because since
    while then than so but or said saw made took gave became began came went got knew thought told felt left brought after before until first second third last
    stood ran had has have does did do is are was were be been being can could should must will would may might not
    following same former latter above below himself itself themselves thereby also later led held won lost found
    wrote kept built grew lay ruled meant""".split()  # noqa: SIM905
)
LEANING = re.compile(
    r"\b(?:it|he|she|they|them|him|her|his|their|its|we|us|our|you|your|this|these|those|such|former|latter|above|below"
    r"|following|here|there|same|other|others|another|respectively|today|currently|now|later|then|ago)\b",
    re.IGNORECASE,
)
NAME = r"[A-Z][\w.'’&-]*(?: (?:of|the|de|von|van|al|and|et|[A-Z][\w.'’&-]*))*"
DEED = re.compile(rf"^(?P<answer>(?:The )?{NAME}) (?P<verb>{'|'.join(DEEDS)}|[a-z]{{2,}}ed) (?P<rest>(?!by |as |in )[^,;:]+)")
LINKS = re.compile(r"!?\[([^\]]*)\]\([^)]*\)|[*_`]{1,3}(?=\w)|(?<=[\w.)])[*_`]{1,3}")
BRACKETS = re.compile(r"\s*(?:\[[^\]]*\]|\((?![A-Z][\w-]{1,9}\))[^()]*\))")
CUT = re.compile(r",(?!\d)(?! \d{4})|[;:]| – | — | - ")
RELATIVE = re.compile(r" (?:that|who|whom|whose|and|where|when|because|so) ")
# "a poor choice", "the first of" and the like say something of their subject, and not what it is
NO_DEFINITION = re.compile(
    r"^(?:an?|the|one of)(?: the)?(?: [\w-]+)? (?:choice|rule|way|cause|reason|example|part|problem|matter|result|factor|member"
    r"|time|thing|place|question|one|trade-off|compromise|remedy|difference|subject|source|case|number)\b"
    r"|^(?:an?|the) (?:\w+est|first|second|third|last|only|most|more|next|same|main|chief)\b",
)
AMONG = re.compile(
    r"(?:\b(?:about|around|over|some|just|only|nearly|up to|more than|at least|approximately) )?(?<![$€£\w.,–-])"
    rf"(?P<answer>(?!one\b|two\b){NUMBER}(?: (?:million|billion|trillion|thousand|hundred))?)"
    r" (?P<unit>(?!per\b|percent)(?:(?!more\b|other\b|of\b|and\b|to\b|or\b|in\b)[a-z-]+ )?(?!of\b|as\b|is\b|was\b|has\b)[a-z-]{2,}s)\b"
    r"|(?P<share>\d[\d.,]* ?(?:per cent|percent|%))"
    rf"|\b(?:in|on) (?P<date>{DATE})"
)
VERB = re.compile(rf"\b(?:{'|'.join((*MODAL, *AMOUNTS, *DEEDS, 'gave', 'made', 'took', 'became', 'had', 'ran', 'saw', 'died'))}|\w{{2,}}ed)\b")
UNFIT_BEFORE = re.compile(r"[,;:](?!\d)|\b(?:the|these|those|first|last|all|any|to|or|and|between|than)\s*$|[±–]\s*$|\b(?:which|who|that)\b")
UNFIT_AFTER = re.compile(r"^ (?:to|or|±|–) |\b(?:is|are|was|were|has|have|had|which|who|that|when|where|called|than)\b")
SHORTEST, LONGEST = 40, 320  # characters of a sentence
MOST_WORDS = 22  # of a question or an answer


class Cases:
    """How often the documents write a word small and large inside a sentence, to tell a name from a beginning."""

    def __init__(self, texts: list[str]) -> None:
        """Count the words of these sentences, the first of each left out."""
        self.small: dict[str, int] = {}
        self.large: dict[str, int] = {}
        for text in texts:
            for word in re.findall(r"[\w'’-]+", text)[1:]:
                counts = self.large if word[0].isupper() else self.small
                counts[word.casefold()] = counts.get(word.casefold(), 0) + 1

    def is_name(self, word: str) -> bool:
        """Tell whether a capitalised word is a name; one that is only ever seen at a beginning is none."""
        if re.search(r"\d|\w[A-Z]", word):
            return True
        key = word.casefold()
        return word[0].isupper() and self.large.get(key, 0) > self.small.get(key, 0)


def read_facts(sentence: str, proof: Proof, cases: Cases) -> Iterator[Fact]:
    """Yield the facts of one sentence that stand alone."""
    if not SHORTEST <= len(sentence) <= LONGEST or "\n\n" in sentence or sentence[-1] not in ".:" or not sentence[0].isupper():
        return
    text = " ".join(BRACKETS.sub("", LINKS.sub(r"\1", sentence)).split()).rstrip(".: ")
    opening = re.match(rf"^In (?P<answer>{DATE}), (?P<rest>(?:the )?[A-Z].+)", text)
    rest, date = (opening["rest"], opening["answer"]) if opening else (text, "")
    for fact in list(_rules(rest, date, cases)) or list(_in_place(rest, date, cases)):
        question, answers, kind, subject, *event = fact
        if _is_clean(question, answers, sentence) and "{" not in question:
            frame = question.replace(subject, "{}", 1) if subject and question.count(subject) == 1 else ""
            year = re.search(r"[12]\d{3}", answers[0]) if kind == "when" else None
            yield Fact(question, answers, kind, subject, frame, proof, "".join(event), float(year[0]) if year else None)


Found = tuple[str, tuple[str, ...], str, str] | tuple[str, tuple[str, ...], str, str, str]
# question, answers, kind, subject, and the event


def _rules(text: str, opening: str, cases: Cases) -> Iterator[Found]:
    if found := STANDS.match(text):
        if np := _subject(found["np"], cases):
            verb = found["verb"].split()[0]
            help_, plain = ("does", verb.removesuffix("s")) if verb.endswith("s") else ("do", verb)
            rest = found["verb"].partition(" ")[2]
            yield f"What {help_} {np} {plain} {rest}".strip() + "?", _answers(found["answer"]), "what", np
    if found := AMOUNT.match(text):
        if np := _subject(found["np"], cases):
            plain, help_ = AMOUNTS[found["verb"]]
            rest = f"How many {found['unit']} {help_} {np} {plain}{found['rest'] or ''}?"
            yield rest, (f"{found['answer']} {found['unit']}", found["answer"]), "how many", np
    if found := DEED.match(text):
        yield from _deeds(found, opening, cases)
    yield from _states(text, opening, cases)


def _deeds(found: re.Match[str], opening: str, cases: Cases) -> Iterator[Found]:
    name, verb, rest = found["answer"], found["verb"], found["rest"].strip()
    name = name.removeprefix("The ")
    if not _subject(name, cases) or not all(map(cases.is_name, re.findall(r"[A-Z][\w'’-]*", name))):
        return
    dated = DATED.match(rest)
    rest = dated["before"] if dated else rest
    answer = dated["answer"] if dated else opening
    if answer and verb in DEEDS:
        yield f"When did {name} {DEEDS[verb]} {rest}?", (answer,), "when", name, f"{name} {verb} {rest}"
    whom = max(re.findall(NAME, rest), key=len, default="")
    yield f"{_who(name, cases)} {verb} {rest}?", (name,), "who", whom if " " in whom else ""


def _who(name: str, cases: Cases) -> str:
    """Return who for what is spelt like a person or a group, what for what is spelt like a thing."""
    last = name.split()[-1]
    if re.search(r"\d|[a-z][A-Z]|-[A-Z]", name) or cases.small.get(last.casefold()):
        return "What"
    return "Who or what" if last.isupper() else "Who"


def _in_place(text: str, opening: str, cases: Cases) -> Iterator[Found]:
    """Yield the sentence itself with the question in the place of an amount or a date: X gave up how many points?"""
    verb = VERB.search(text)
    if not verb or not _subject(re.split(r" (?:of|in|on|for|from|with) |,", text[: verb.start()])[0].strip(), cases):
        return
    np = _subject(text[: verb.start()].strip(), cases)
    np = np if text.startswith(np) else ""
    if opening:
        event = CUT.split(text)[0]
        yield f"{event} {_asked_date(opening)}?", (opening,), "when", np, event
        return
    found = AMONG.search(text, verb.end())
    if not found or UNFIT_BEFORE.search(text[: found.start()]):
        return
    after = text[found.end() :]
    rest = re.split(r"[,;:](?!\d)| – " if " between " in after else r"[,;:](?!\d)| – | and ", after)[0]
    if UNFIT_AFTER.search(rest) or len(rest.split()) > 8 or re.match(r", \d", after):
        return
    if found["date"]:
        asked, answer, kind = _asked_date(found["date"]), found["date"], "when"
    elif found["share"]:
        asked, answer, kind = "what percentage", found["share"], "how many"
    else:
        asked, answer, kind = f"how many {found['unit']}", found["answer"], "how many"
    event = f"{text[: found.start()].strip()}{rest}" if kind == "when" else ""
    yield f"{text[: found.start()]}{asked}{rest}?", (answer,), kind, np, event


def _asked_date(date: str) -> str:
    if re.fullmatch(r"[12]\d{3}", date):
        return "in what year"
    return "on what date" if re.search(r"\b\d{1,2}\b", date) else "when"


def _states(text: str, opening: str, cases: Cases) -> Iterator[Found]:
    """Yield what sentences say that state something of their subject: NP is …, NP was …ed …, NP can … because …."""
    tokens = text.split()
    at = next((n for n, token in enumerate(tokens[:11]) if token in MODAL), 0)
    np, verb, rest = _subject(" ".join(tokens[:at]), cases), tokens[at], " ".join(tokens[at + 1 :])
    if not at or not np or not rest:
        return
    reason = re.match(r"^(?P<rest>[^,;:]+),? because (?P<answer>[^;:]+)$", rest)
    if reason:
        yield f"Why {verb} {np} {reason['rest']}?", _answers(reason["answer"]), "why", np
    if verb not in BE:
        return
    if re.match(r"(?:an?|the|one of) ", rest) and not NO_DEFINITION.match(rest):
        who = np.split()[-1][0].isupper() and PERSON.search(f"{np} {CUT.split(rest)[0]}") and " " in np
        answers = _answers(rest)
        if len(answers[0].split()) > 2:
            yield f"{'Who' if who else 'What'} {verb} {np}?", answers, "what", np
    if re.match(r"(?:[a-z]+ly |first |also )?(?:[a-z-]+ed|" + "|".join(PARTICIPLES) + r")\b", rest):
        yield from _passives(np, verb, rest, opening)
    tall = re.match(rf"^(?P<answer>(?:about |around |over )?{NUMBER} [a-z]+) (?P<how>long|high|wide|tall|deep|old)\b", rest)
    if tall:
        yield f"How {tall['how']} {verb} {np}?", (tall["answer"],), "how many", np


def _passives(np: str, verb: str, rest: str, opening: str) -> Iterator[Found]:
    if dated := DATED.match(rest):
        yield f"When {verb} {np} {dated['before']}?", (dated["answer"],), "when", np, f"{np} {verb} {dated['before']}"
    elif opening:
        event = CUT.split(rest)[0]
        yield f"When {verb} {np} {event}?", (opening,), "when", np, f"{np} {verb} {event}"
    by = re.match(rf"^(?P<before>[^,;:]+?) by (?P<answer>{NAME})(?=$|,|;| in | and )", rest)
    if by:
        yield f"Who {verb} {np} {by['before']} by?", (by["answer"],), "who", np
    place = re.match(
        rf"^(?P<before>(?:located|situated|based|headquartered|born|held|buried)) (?:in|on|at|near) (?P<answer>(?:the )?{NAME})",
        rest,
    )
    if place:
        yield f"Where {verb} {np} {place['before']}?", (place["answer"],), "where", np
    called = re.match(r"^(?:also |often |commonly )?(?:called|known as|referred to as|termed) (?P<answer>[^,;:]+)", rest)
    if called:
        yield f"What {verb} {np} called?", _answers(called["answer"]), "what", np


def _subject(np: str, cases: Cases) -> str:
    """Return a subject as it stands inside a sentence, or "" where it is none that stands alone."""
    tokens = np.split()
    if not 1 <= len(tokens) <= 9 or re.search(r"[,;:!?“”\"|]", np) or np.count("(") != np.count(")"):
        return ""
    first, low = tokens[0], [token.casefold() for token in tokens]
    if low[0] in OPENERS or first.endswith("ly") or (first.endswith("ing") and len(tokens) > 2) or INSIDE & set(low):
        return ""
    for before, token in zip(low, low[1:], strict=False):
        if token.endswith("ed") and before not in ("a", "an", "the", "of", "and", "for", "in"):
            return ""  # a verb: the subject ended before it
    names = [token for token in tokens[1:] if token[0].isupper() or any(c.isdigit() for c in token)]
    small = first[0].isupper() and not cases.is_name(first) and (low[0] in ("a", "an", "the") or cases.small.get(low[0]))
    small = small and not (len(tokens) > 1 and tokens[1][0].isupper() and low[0] not in ("a", "an", "the"))
    if small and low[0] in ("the", "his", "her") and not names:
        return ""  # the city, the game: of which the sentences before tell
    if not small and not names and len(first) < 3:
        return ""
    return " ".join([first[0].lower() + first[1:] if small else first, *tokens[1:]])


def _answers(text: str) -> tuple[str, ...]:
    """Return the answer to the first comma, and before that to what tells more of it."""
    whole = CUT.split(text)[0].strip()
    short = RELATIVE.split(whole)[0].strip()
    found = [short, whole] if len(short.split()) > 3 else [whole]
    return tuple(dict.fromkeys(found))


def _is_clean(question: str, answers: tuple[str, ...], sentence: str) -> bool:
    asked, sizes = question.split(), [len(answer.split()) for answer in answers]
    if not 4 <= len(asked) <= MOST_WORDS or LEANING.search(question) or re.search(r"[\"“”|]|\.\s", question[:-1]):
        return False
    if not answers or max(sizes) > MOST_WORDS or not all(holds(sentence, answer) for answer in answers):
        return False
    if LEANING.match(answers[0]) or re.search(r"\b(?:this|these|those|such|(?:of|in|to|for) that)\b", answers[-1]) or question.count("(") != question.count(")"):
        return False
    told = content_words(question)
    specific = re.search(r"\d|(?<!^)\b[A-Z]", question) or len(told) > 4 or question.startswith("What ")
    return bool(specific) and not content_words(answers[-1]) <= told


def holds(text: str, answer: str) -> bool:
    """Tell whether a text has an answer's words, one after the other, whatever stands between them."""
    return f" {' '.join(words(answer))} " in f" {' '.join(words(text))} "
