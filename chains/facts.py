"""A text comes in; what a claim must not get wrong goes out: numbers with their units, months, and names."""

import re
import unicodedata
from decimal import Decimal
from functools import lru_cache

from words import STOP_WORDS, singular, words

ONES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen""".split()  # noqa: SIM905
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()  # noqa: SIM905
SPELT = {word: n for n, word in enumerate(ONES)} | {word: 10 * n for n, word in enumerate(TENS, 2)}
SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
MONTHS = "january february march april may june july august september october november december".split()  # noqa: SIM905
UNITS = {
    spelling: spellings.split()[0]
    for spellings in (
        "% percent pct", "$ dollar usd", "€ euro eur", "£ gbp", "km kilometre kilometer", "m metre meter",
        "cm centimetre centimeter", "mm millimetre millimeter", "mile mi", "ft foot feet", "inch inches",
        "kg kilogram", "g gram", "lb pound", "tonne ton t", "l litre liter", "ml millilitre milliliter", "hour h",
        "minute min", "second sec", "ms millisecond", "day", "week", "month", "year", "century centurie", "decade",
        "° degree", "mph", "kw kilowatt", "mw megawatt", "volt", "hz hertz", "kb kilobyte", "mb megabyte",
        "gb gigabyte", "tb terabyte", "token", "byte", "bit", "point", "game", "season", "time",
    )
    for spelling in spellings.split()
}  # fmt: skip
NEGATIONS = frozenset(
    """not no nor never none neither nobody nothing nowhere without cannot lack lacks lacked unknown unclear
    nicht kein keine keinen keinem keiner keines nie niemals nichts ohne ne pas jamais aucun aucune sans ninguno ninguna
    ningún nunca sin jamás tampoco nada senza nessuno não sem nem niet geen zonder nooit не ни нет без لا لم لن ليس ليست
    دون""".split()  # noqa: SIM905
)
NEGATED = re.compile(r"n['’]t\b|\bnon\b(?!-)|[不没沒未无無]|(?:ない|ません)", re.I)
OPENERS = frozenset(  # that begin a sentence with a capital letter and name nobody
    """according additionally after all also although among another because before besides both but during each either
    every few finally furthermore given he her here his however instead later many moreover most no nevertheless not
    once one only other others overall similarly since some specifically several she then therefore though through thus
    two under unlike until upon when whereas while within without yes yet""".split()  # noqa: SIM905
)
TOKEN = re.compile(r"[$€£%°]|\d+(?:[.,]\d+)*|[^\W\d_]+")
GROUPS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
ISO_DATE = re.compile(r"\b(\d{4})-(0[1-9]|1[0-2])-(\d\d)\b")
NAME = re.compile(r"(?<![\w'’.-])[^\W\d_a-z][\w'’-]*\w|\b[^\W\d]+\d\w*")  # of a capital letter, or with a digit in it
STARTS = re.compile(r"(?:^|[.!?:\n]['\"”’»)\]]*\s+)['\"“‘«(\[]*")


@lru_cache(maxsize=4096)
def numbers(text: str) -> dict[str, frozenset[str]]:
    """Return each number and month of a text with its units, none where none stands beside it.

    `1,000`, `1000` and `one thousand` are one number, and so are `3 million` and `3,000,000`. A lone `one` is none.
    """
    found: dict[str, frozenset[str]] = {}
    text = ISO_DATE.sub(lambda date: f"{date[3]} {MONTHS[int(date[2]) - 1]} {date[1]}", _ascii_digits(text))
    tokens = [*TOKEN.findall(text.casefold()), "", "", ""]
    at = 0
    while tokens[at]:
        began, value, at = at, _value(tokens[at]), at + 1
        if value is None:
            if _is_month(tokens, began):
                found[tokens[began]] = frozenset()
            continue
        if tokens[began] in TENS and tokens[at] in ONES[1:10]:
            value, at = value + SPELT[tokens[at]], at + 1
        at += tokens[at] in ("st", "nd", "rd", "th")
        while tokens[at] in SCALES:
            value, at = value * SCALES[tokens[at]], at + 1
        if at - began == 1 and tokens[began] == "one":
            continue
        beside = (tokens[began - 1] if began else "", singular(tokens[at]))
        units = frozenset(UNITS[word] for word in beside if word in UNITS and (word in "$€£" or word == beside[1]))
        name = f"{value.normalize():f}"
        found[name] = found.get(name, frozenset()) | units
    return found


@lru_cache(maxsize=4096)
def names(text: str, *, firsts: bool = False) -> frozenset[str]:
    """Return the words of the text's names, in lower case and singular: those with a capital letter or a digit.

    A sentence's first word counts where the next is a name as well, or with `firsts`, unless it is an OPENER. Scripts
    without capital letters have no names.
    """
    starts = {match.end() for match in STARTS.finditer(text)}
    found: set[str] = set()
    for match in NAME.finditer(text):
        follows = NAME.match(text, match.end() + 1)
        unsure = not firsts and not follows and not match.group()[1:].isupper()
        if match.start() in starts and (unsure or match.group().casefold() in OPENERS):
            continue
        parts = re.findall(r"\w+", match.group().casefold().removesuffix("'s").removesuffix("’s"))
        found |= {singular(part) for part in parts if len(part) > 1} - STOP_WORDS - set(MONTHS) - SPELT.keys()
    return frozenset(found)


def unheld(stated: dict[str, frozenset[str]], held: dict[str, frozenset[str]]) -> list[str]:
    """Return the numbers that are not among those held, or only with another unit."""
    return [
        number
        for number, units in stated.items()
        if number not in held or (units and held[number] and not units & held[number])
    ]


@lru_cache(maxsize=4096)
def is_negated(text: str) -> bool:
    """Tell whether the text denies something."""
    return bool(NEGATIONS & set(words(text))) or bool(NEGATED.search(text))


def _ascii_digits(text: str) -> str:
    if text.isascii():
        return text
    return "".join(str(unicodedata.digit(c)) if c.isdecimal() else c for c in text)


def _value(token: str) -> Decimal | None:
    if token[0].isdecimal():
        plain = token.replace(",", "") if GROUPS.fullmatch(token) else token.replace(",", ".")
        return Decimal(plain) if plain.count(".") < 2 else Decimal(plain.replace(".", ""))
    return Decimal(SPELT[token]) if token in SPELT else None


def _is_month(tokens: list[str], at: int) -> bool:
    """Tell whether the token is a month; `may` and `march` are one beside a number only."""
    if tokens[at] not in MONTHS:
        return False
    before = tokens[at - 1] if at else ""
    return tokens[at] not in ("march", "may") or bool((tokens[at + 1] or "x")[0].isdecimal() or before[:1].isdecimal())
