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

SHORTEST, LONGEST = 4, 40  # letters: a shorter unknown word is more often an abbreviation than a misprint
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

    lexicon = cache(lambda: _sorted_by_shape(words()))

    @cache
    def is_covered() -> bool:
        common = nlargest(COMMON, (word for word in lexicon().words if len(word) >= SHORTEST), key=words().__getitem__)
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
            better = nearest(word.casefold(), lexicon()) if SHORTEST <= len(word) <= LONGEST else ""
            if better:
                parts += [text[at : match.start()], better.capitalize() if word[0].isupper() else better]
                at = match.end()
        return Correction("".join([*parts, text[at:]]), sure=bool(parts) and is_covered())

    return correct


class Lexicon(NamedTuple):
    """Words with how many chunks hold each, the letters of each script, and the words by first letter and length."""

    words: Mapping[str, int]
    letters: Mapping[str, set[str]]
    by_shape: Mapping[tuple[str, int], list[str]]


def _sorted_by_shape(dictionary: Mapping[str, int]) -> Lexicon:
    plain = (word for word in dictionary if word.isalpha() and (word.isascii() or not UNSPACED.search(word)))
    words = {word: dictionary[word] for word in plain}
    letters: dict[str, set[str]] = defaultdict(set)
    for letter in set("".join(words)):
        letters[_script(letter)].add(letter)
    by_shape: dict[tuple[str, int], list[str]] = defaultdict(list)
    for word in words:
        by_shape[word[0], len(word)].append(word)
    return Lexicon(words, letters, by_shape)


def _script(letter: str) -> str:
    return unicodedata.name(letter, "").partition(" ")[0]  # LATIN SMALL LETTER A


def nearest(word: str, lexicon: Lexicon) -> str:
    """Return the likeliest word of the lexicon that one edit (two in a long word) turns into `word`, or "".

    An edit inserts, deletes or replaces a letter or swaps two neighbours. Likeliest is the highest product of how often
    a word occurs and how common such a misprint is (Kernighan, Church and Gale 1990).
    """
    found = one_edit(word, lexicon.letters[_script(word[0])]) & lexicon.words.keys()
    if not found and len(word) >= TWO_EDITS:
        found = _two_edits(word, lexicon)
    if not found or any(_is_inflection(word, other) for other in found):
        return ""
    return max((math.log(lexicon.words[other]) + _likelihood(word, other), other) for other in found)[1]


def one_edit(word: str, letters: Collection[str]) -> set[str]:
    """Return all that one edit makes of the word: looked up, they cost the same however many words there are."""
    cuts = [(word[:at], word[at:]) for at in range(len(word) + 1)]
    deleted = {head + tail[1:] for head, tail in cuts if tail}
    swapped = {head + tail[1] + tail[0] + tail[2:] for head, tail in cuts if len(tail) > 1}
    replaced = {head + letter + tail[1:] for head, tail in cuts if tail for letter in letters}
    inserted = {head + letter + tail for head, tail in cuts for letter in letters}
    return deleted | swapped | replaced | inserted


def _two_edits(word: str, lexicon: Lexicon) -> set[str]:
    """Return the words that two edits make of the word, the first letter being right."""
    from rapidfuzz import process
    from rapidfuzz.distance import OSA

    sizes = range(len(word) - 2, len(word) + 3)
    near = [other for size in sizes for other in lexicon.by_shape.get((word[0], size), ())]
    return {hit[0] for hit in process.extract_iter(word, near, scorer=OSA.distance, score_cutoff=2)}


def _is_inflection(one: str, two: str) -> bool:
    """Tell whether two words differ in an ending or a prefix only: unnecessarily and bullied are no misprints."""
    short, long = sorted((one, two), key=len)
    stem = ENDING.sub("", one)
    affixed = len(long) - len(short) == 2 and (long.startswith(short) or long.endswith(short))
    return affixed or long == short + "s" or (len(stem) >= SHORTEST and stem == ENDING.sub("", two))


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
