"""Text comes in; the places where its sentences begin and end go out."""

import re
from itertools import pairwise

import regex

# A full stop ends a sentence when white space and then no lower-case letter (in a text that has capitals) follow it,
# and what stands before it is neither a single letter ("J. Smith", "U.S. law", "z. B. Wien") nor a common abbreviation,
# nor the number of a German date. Stops of scripts that are written without spaces need none.
ABBREVIATIONS = (
    *"Dr Mr Mrs Ms St No Nos vs cf Fig Figs al Prof Gen Col Sgt Rev approx pp eds Eqs resp dept".split(),  # noqa: SIM905
    *"Nr Nrn Abs Abb Bd Hr Hrn bzw vgl ca evtl ggf inkl Str sog".split(),  # noqa: SIM905
    *"Sr Sra Srta Dra Ud Uds Sres Lic núm pág págs EE UU ej".split(),  # noqa: SIM905
    *("Mme", "Mlle", "MM", "p. ex"),
)
NUMBERED = "Art art Sec Ch Kap Tab Tel chap eq Eq vol".split()  # noqa: SIM905  (words of their own without a number)
MONTHS = "Januar|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember|Jahrhundert"
ABBREVIATION = r"(?<!\b[^\W\d_]\.)" + "".join(rf"(?<!\b{re.escape(short)}\.)" for short in ABBREVIATIONS)
DATE = rf"(?<=\d\.)\s+(?:{MONTHS})\b"
NUMBER = "(?:" + "|".join(rf"(?<=\b{short}\.)" for short in NUMBERED) + r")\s+\d"
SPACED, UNSPACED = ".!?…؟۔।॥։።፧‼⁇⁈⁉", "。！？｡။។៕"
LOWER = "a-zß-öø-ÿα-ωа-яёіїєґ"
# each pattern begins with a set of characters, so that the search can skip to them: 20 times as fast as without
ENDS = (
    rf"(?<=[{UNSPACED}])[{UNSPACED}]*[」』”’）】》〉]*\s*"
    rf"|(?<=[{SPACED}]){ABBREVIATION}(?!{DATE}|{NUMBER})['\"”’»›)\]]*\s++(?![{LOWER}])"
)
SENTENCE_END = rf"[{SPACED}{UNSPACED}](?:{ENDS})"
# after a line's end: a blank line, an item, a heading or a table's row
LINES = r"(?<=\n)(?:\s*\n|(?=\s*(?:[-*•#|]|\d+[.)]\s)|[^\n]*\s\|\s))\s*"
BOUNDARY = re.compile(rf"[\n{SPACED}{UNSPACED}](?:{LINES}|{ENDS})(?=\S)")
# of transcripts and chats without capitals
LOWER_BOUNDARY = re.compile(BOUNDARY.pattern.replace(f"(?![{LOWER}])", ""), re.IGNORECASE)
SHORT_LINE = 0.6  # of the longest line: such a line, a capital after it, is a heading and not a wrapped sentence
GRAPHEME = regex.compile(r"\X")
Span = tuple[int, int]


def boundaries(text: str) -> list[int]:
    """Return the offsets at which a sentence, a list item, a table row or the text after a heading begins, in order."""
    boundary = LOWER_BOUNDARY if text.islower() else BOUNDARY
    found = {match.end() for match in boundary.finditer(text) if at_grapheme(text, match.end())}
    longest = max(map(len, text.split("\n")))
    at = 0
    for line in text.split("\n"):
        at += len(line) + 1
        if 0 < len(line) < SHORT_LINE * longest and text[at : at + 1].isupper():
            found.add(at)
    return sorted(found)


def at_grapheme(text: str, at: int) -> bool:
    """Tell whether a cut at `at`, after white space or punctuation, leaves what is seen as one character whole."""
    return text[at] < "\u0300" or GRAPHEME.match(text, at - 1).end() == at


def sentence_spans(text: str) -> list[Span]:
    """Return the (start, end) offsets in characters of each sentence of `text`, white space left out."""
    bounds = [0, *boundaries(text), len(text)]
    spans = (trim(text, start, end) for start, end in pairwise(bounds))
    return [span for span in spans if span]


def trim(text: str, start: int, end: int) -> Span | tuple[()]:
    """Return the span without the white space at its ends; empty when nothing else is in it."""
    length = len(text[start:end].strip())
    start += len(text[start:end]) - len(text[start:end].lstrip())
    return (start, start + length) if length else ()
