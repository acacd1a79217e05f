"""Words of an English sentence come in; what a rule must know of them to ask a question goes out."""

import re
from collections.abc import Callable, Iterable
from itertools import pairwise

NUMBER = r"(?:\d[\d,.]*\d|\d|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
MONTH = "January|February|March|April|May|June|July|August|September|October|November|December"
DATE = (
    rf"(?:(?:the )?(?:early |late |mid-)?(?:(?:\d{{1,2}} )?(?:{MONTH})(?: \d{{1,2}},?)? )?"
    r"[12]\d{3}s?(?: BC| AD)?(?![\w%–-]))"
)
SCALE = r"(?: (?:million|billion|trillion|thousand|hundred))?"
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
    banned/ban issued/issue succeeded/succeed replaced/replace gave/give took/take made/make became/become
    saw/see ran/run began/begin fought/fight grew/grow held/hold""".split()  # noqa: SIM905
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
        read reads read|span spans spanned|occupy occupies occupied|support supports supported""".replace(
            "|", "\n"
        ).splitlines()
    )
    for form, help_ in ((plain, "do"), (past, "did"), (third, "does"))
}
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
    while then than so but or after before until first second third last following same former latter above below
    himself itself themselves thereby also later said saw made took gave became began came went got knew thought told
    felt left brought stood ran had has have does did do is are was were be been being can could should must will would
    may might not led held won lost found wrote kept built grew lay ruled meant""".split()  # noqa: SIM905
)
LEANING = re.compile(
    r"\b(?:it|he|she|they|them|him|her|his|their|its|we|us|our|you|your|this|these|those|such|former|latter|above|below"
    r"|following|here|there|same|other|others|another|respectively|today|currently|now|later|then|ago)\b",
    re.IGNORECASE,
)
PERSON = re.compile(
    r"\b(?:king|queen|emperor|prince|princess|duke|pope|monk|priest|leader|actor|actress|author|writer|poet|painter"
    r"|singer|player|engineer|architect|lawyer|general|officer|quarterback|coach|minister|president|professor|reformer"
    r"|explorer|composer|inventor|founder|\w{3,}(?:ist|ician|grapher|opher))\b"
)
NAME = r"[A-Z][\w.'’&-]*(?: (?:of|the|de|von|van|al|and|et|[A-Z][\w.'’&-]*))*"


class Cases:
    """How often the documents write a word small and large inside a sentence, to tell a name from a beginning."""

    def __init__(self, texts: Iterable[str], known: Callable[[], frozenset[str]] = frozenset) -> None:
        """Count the words of these sentences, the first of each left out; `known` returns general words."""
        self.known = known()
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

    def plain(self, past: str) -> str:
        """Return a verb without its -ed, by the general words; "" where none of these is its plain form."""
        if past in DEEDS:
            return DEEDS[past]
        doubled = past[:-3] if past[-4:-3] == past[-3:-2] else ""
        stems = (past[:-1], past[:-2], doubled, f"{past[:-3]}y" if past.endswith("ied") else "")
        return next((stem for stem in stems if past.endswith("ed") and stem in self.known and len(stem) > 2), "")


def subject_of(np: str, cases: Cases) -> str:
    """Return a subject as it stands inside a sentence, or "" where it is none that stands alone."""
    tokens = np.split()
    if not 1 <= len(tokens) <= 9 or re.search(r"[,;:!?“”\"|]", np) or np.count("(") != np.count(")"):
        return ""
    first, low = tokens[0], [token.casefold() for token in tokens]
    if low[0] in OPENERS or first.endswith("ly") or (first.endswith("ing") and len(tokens) > 2) or INSIDE & set(low):
        return ""
    for before, token in pairwise(low):
        if token.endswith("ed") and before not in ("a", "an", "the", "of", "and", "for", "in"):
            return ""  # a verb: the subject ended before it
    names = [token for token in tokens[1:] if token[0].isupper() or any(c.isdigit() for c in token)]
    known = low[0] in ("a", "an", "the") or any(map(cases.small.get, (low[0], low[0].partition("-")[0])))
    small = first[0].isupper() and not cases.is_name(first) and known
    small = small and not (len(tokens) > 1 and tokens[1][0].isupper() and low[0] not in ("a", "an", "the"))
    if small and low[0] in ("the", "his", "her") and not names:
        return ""  # the city, the game: of which the sentences before tell
    if not small and not names and len(first) < 3:
        return ""
    return " ".join([first[0].lower() + first[1:] if small else first, *tokens[1:]])


def who(name: str, cases: Cases) -> str:
    """Return who for what is spelt like a person or a group, what for what is spelt like a thing."""
    last = name.split()[-1]
    if re.search(r"\d|[a-z][A-Z]|-[A-Z]", name) or cases.small.get(last.casefold()):
        return "What"
    return "Who or what" if last.isupper() else "Who"
