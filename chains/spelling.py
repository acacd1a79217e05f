"""Queries come in; the same without misprints, in the corpus's own words, go out before them."""

import math
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from functools import cache
from heapq import nlargest
from typing import NamedTuple

from langchain_core.runnables import Runnable, RunnableLambda

from chains.queries import Draft, distinct
from words import STOP_WORDS, UNSPACED

SHORTEST = 4  # letters: a shorter unknown word is more often an abbreviation than a misprint
TWO_EDITS = 8  # letters from which two misprints in one word are looked for
FOREIGN = 0.5  # share of unknown words above which a question is taken for one in another language than the corpus
COMMON, COVERED = 1000, 0.5  # commonest words of the corpus, and the share of them that general words must hold
# Weights beside 1 for the other query, by measurement (benchmarks/README.md): of the question as it was typed where the
# correction is sure, and of the correction where it is not.
AS_TYPED, UNSURE = 0.1, 2.0
TOKEN = re.compile(r"\S+")
WORD = re.compile(r"[^\W\d_]+")
JOINING = re.compile(r"[\d_/\\@#=:+*<>{}\[\]|~^&$%]|\w\.\w")  # what is in a code, a path or an address, not in a word
ENDING = re.compile(r"(?:e?s|e?d|ing|[eo]rs?|ions?|ly|al)$")  # of English words, after which a stem is left
KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
NEIGHBOURS = frozenset(frozenset(row[at : at + 2]) for row in KEYS for at in range(len(row) - 1))
# Natural logarithms of how much likelier than any other edit it is that two letters are swapped, that a neighbouring
# key is hit, and that the first letter is wrong; from trials on four sets of made misprints.
SWAPPED, NEIGHBOUR, FIRST_LETTER = 2.0, 0.7, -1.5


class Correction(NamedTuple):
    """A text without misprints; sure: the general words are of the corpus's language, so an unknown word is one."""

    text: str
    sure: bool


def build_corrector(correct: Callable[[str], Correction]) -> Runnable[Draft, Draft]:
    """Return a Runnable that searches, where the first query has a misprint, for the corrected one too.

    A sure correction becomes the first query, the one to answer for; another one is searched for behind it.
    """

    def run(draft: Draft) -> Draft:
        typed, *others = draft["queries"]
        text, sure = correct(typed.text)
        corrected = typed._replace(text=text, made_by="correction")
        if sure:
            both = (corrected, typed._replace(weight=AS_TYPED * typed.weight))
        else:
            both = (typed, corrected._replace(weight=UNSURE * typed.weight))
        return draft if text == typed.text else {**draft, "queries": distinct([*both, *others])}

    return RunnableLambda(run, name="correct")


def build_speller(
    dictionary: Callable[[], Mapping[str, int]], known: Callable[[], Collection[str]]
) -> Callable[[str], Correction]:
    """Return a function that replaces each misprinted word of a text by the likeliest word of the corpus.

    dictionary: the corpus's words in lower case, with the number of chunks that hold each. They are the only
    candidates and are never changed. known: words in lower case that are right although the corpus lacks them. Both are
    asked for once, when a text first needs them. Codes, paths, identifiers and abbreviations stay as they are, and so
    does a text most of whose words nobody knows: it is in another language.
    """
    words, general = cache(dictionary), cache(lambda: frozenset(known()) | STOP_WORDS)

    def is_general(word: str) -> bool:
        return word in general() or _without_accents(word) in general()

    @cache
    def by_length() -> Mapping[int, list[str]]:
        found: dict[int, list[str]] = defaultdict(list)
        for word in words():
            if word.isalpha() and not UNSPACED.search(word):
                found[len(word)].append(word)
        return found

    @cache
    def is_covered() -> bool:
        long = (word for size, group in by_length().items() if size >= SHORTEST for word in group)
        common = nlargest(COMMON, long, key=words().__getitem__)
        return sum(map(is_general, common)) >= COVERED * len(common)

    def correct(text: str) -> Correction:
        tokens = [token for token in TOKEN.finditer(text) if not _is_code(token.group())]
        plain = [match for token in tokens for match in WORD.finditer(text, *token.span())]
        unknown = [m for m in plain if not is_general(m.group().casefold()) and m.group().casefold() not in words()]
        if len(unknown) > max(1, FOREIGN * len(plain)):
            return Correction(text, sure=False)
        parts, at = [], 0
        for match in unknown:
            word = match.group()
            better = nearest(word.casefold(), words(), by_length()) if len(word) >= SHORTEST else ""
            if better:
                parts += [text[at : match.start()], better.capitalize() if word[0].isupper() else better]
                at = match.end()
        return Correction("".join([*parts, text[at:]]), sure=bool(parts) and is_covered())

    return correct


def nearest(word: str, dictionary: Mapping[str, int], by_length: Mapping[int, list[str]]) -> str:
    """Return the likeliest word of the dictionary that one edit (two in a long word) turns into `word`, or "".

    An edit inserts, deletes or replaces a letter or swaps two neighbours. Likeliest is the highest product of how often
    a word occurs and how common such a misprint is (Kernighan, Church and Gale 1990).
    """
    from rapidfuzz import process
    from rapidfuzz.distance import OSA

    for edits in (1, 2) if len(word) >= TWO_EDITS else (1,):
        near = [other for size in range(len(word) - edits, len(word) + edits + 1) for other in by_length.get(size, ())]
        found = [hit[0] for hit in process.extract(word, near, scorer=OSA.distance, score_cutoff=edits, limit=None)]
        if any(_is_inflection(word, other) for other in found):
            return ""
        if found:
            return max((math.log(dictionary[other]) + _likelihood(word, other), other) for other in found)[1]
    return ""


def _is_inflection(one: str, two: str) -> bool:
    """Tell whether two words differ in an ending or a prefix only: unnecessarily and bullied are no misprints."""
    short, long = sorted((one, two), key=len)
    stem = ENDING.sub("", one)
    affixed = len(long) - len(short) == 2 and (long.startswith(short) or long.endswith(short))
    return affixed or (len(stem) >= SHORTEST and stem == ENDING.sub("", two))


def _likelihood(typed: str, meant: str) -> float:
    """Return the logarithm of how likely `typed` is for `meant`, up to a constant."""
    score = 0.0 if typed[0] == meant[0] else FIRST_LETTER
    if len(typed) != len(meant):
        return score
    differing = [pair for pair in zip(typed, meant, strict=True) if pair[0] != pair[1]]
    if len(differing) == 2:
        return score + SWAPPED
    return score + (NEIGHBOUR if frozenset(differing[0]) in NEIGHBOURS else 0.0)


def _is_code(token: str) -> bool:
    """Tell whether a token is no word in letters: a code, a path, a name in capitals, or of an unspaced script."""
    core = token.strip(".,;:!?()\"'")
    marks = any(unicodedata.category(c)[0] == "M" for c in core)  # vowel signs, which Python's \w leaves out
    return marks or any(c.isupper() for c in core[1:]) or bool(JOINING.search(core) or UNSPACED.search(core))


def _without_accents(word: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))
