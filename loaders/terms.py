"""Text comes in; the terms under which it is indexed and searched go out.

A chunk's language is guessed from its commonest words, its words are stemmed in that language, and each term says so
("de:haus"). A query's language is uncertain, so it is stemmed in every language that the index holds; each stem meets
only the chunks that were stemmed alike. Words of other scripts are stemmed by their script, which needs no guess.
"""

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache, lru_cache
from typing import Any

import regex

from loaders.function_words import FUNCTION_WORDS, OTHER_FUNCTION_WORDS

DEFAULT = "en"  # of a chunk whose words give no language away: a table, a list of names
LATIN = {
    "en": "english", "de": "german", "fr": "french", "es": "spanish", "it": "italian", "pt": "portuguese",
    "nl": "dutch", "sv": "swedish", "da": "danish", "no": "norwegian", "fi": "finnish", "pl": "polish",
    "cs": "czech", "hu": "hungarian", "ro": "romanian", "tr": "turkish",
}  # fmt: skip
SCRIPTS = {  # first and last character, stemmer
    "greek": ("\u0370", "\u03ff"),
    "russian": ("\u0400", "\u04ff"),
    "armenian": ("\u0530", "\u058f"),
    "arabic": ("\u0600", "\u06ff"),
    "hindi": ("\u0900", "\u097f"),
    "tamil": ("\u0b80", "\u0bff"),
}
WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+")
HYPHENATED = regex.compile(r"(?<![\w-])(\p{L}{1,5})[-\u2010](\p{L}{2,})(?![\w-])")  # non-linear, e-mail
DECIMAL = regex.compile(r"\d+(?:[.,]\d+)+")
PIECE = regex.compile(r"[a-z]+|\d+")
# written without spaces, or, as Korean, with particles on its words: overlapping pairs of characters stand for words
UNSPACED = regex.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0e7f\uac00-\ud7a3]+")
ACCENT = regex.compile(r"[\u0300-\u036f\u0591-\u05c7\u064b-\u065f]")
LEAST_HITS = 2  # different function words: one alone may be a name or a symbol
FOREIGN_WEIGHT = 0.2  # of a query's words as stems of another language than its own: names are the same in many
LONGEST = 40  # characters of a spelling: what is longer is no word


def tokenize(text: str) -> list[str]:
    """Return the words and numbers of a cleaned text in lower case, runs of unspaced scripts as one.

    What is written in several ways comes in each: e-mail also as email, 5km also as 5 and km, 3.14 also as 3 and 14.
    """
    text = text.casefold()
    found: list[str] = WORD.findall(text)
    if not text.isascii() and UNSPACED.search(text):
        found = [part for word in found for part in regex.split(f"({UNSPACED.pattern})", word) if part]
    found += ["".join(parts) for parts in HYPHENATED.findall(text)]
    mixed = [word for word in found if word.isascii() and not word.isalpha() and not word.isdecimal()]
    found += [piece for word in mixed for piece in PIECE.findall(word)]
    return found + [number.replace(",", ".") for number in DECIMAL.findall(text)]


def index_terms(tokens: Counter[str]) -> Counter[str]:
    """Return the terms of a chunk with these tokens and how often each stands in it, and its language's marker."""
    language = detect(tokens)
    found = Counter({f"{language}:": 1})
    for token, times in tokens.items():
        for term in _terms(token, language):
            found[term] += times
    return found


def query_terms(query: str, held: Mapping[str, int]) -> dict[str, float]:
    """Return the terms to look for, each with its weight, without function words where there are others.

    `held` has the index's markers. Function words in the query say its language; without any it may be in each.
    """
    found = dict.fromkeys(tokenize(query))
    languages = [language for language in LATIN if f"{language}:" in held]
    hits = _hits(found.keys())
    most = max((hits[language] for language in languages), default=0)
    meaningless = OTHER_FUNCTION_WORDS.union(*(FUNCTION_WORDS[language] for language in languages))
    only = meaningless.issuperset(found)
    likely = {language for language in languages if hits[language] == most}
    said = OTHER_FUNCTION_WORDS.union(*(FUNCTION_WORDS[language] for language in likely if most))
    asked: dict[str, float] = {}
    for language in languages:
        skipped = said | FUNCTION_WORDS[language]
        weight = 1.0 if language in likely else FOREIGN_WEIGHT
        for token in found:
            terms = _terms(token, language) if only or token not in skipped else ()
            pairs = len(token) > 1 and UNSPACED.match(token)  # which say enough without its single characters
            asked |= {term: weight if ":" in term else 1.0 for term in terms if len(term) > 1 or not pairs}
    return asked


def markers() -> list[str]:
    """Return the terms that say a chunk's language; each chunk has one of them."""
    return [f"{language}:" for language in LATIN]


def spellings(tokens: Iterable[str]) -> Iterator[str]:
    """Yield those of the tokens that are words as they are spelt; none of scripts without spaces."""
    return (token for token in tokens if len(token) <= LONGEST and (token.isascii() or not UNSPACED.match(token)))


def detect(tokens: Collection[str]) -> str:
    """Return the language, of those in the Latin script, most of whose function words are among the tokens."""
    hits = _hits(tokens)
    likeliest = max(LATIN, key=lambda language: hits[language])
    return likeliest if hits[likeliest] >= LEAST_HITS else DEFAULT


def _hits(tokens: Collection[str]) -> Counter[str]:
    by_word = _languages_of_words()
    return Counter(language for word in by_word.keys() & tokens for language in by_word[word])


@cache
def _languages_of_words() -> dict[str, tuple[str, ...]]:
    every = frozenset[str]().union(*FUNCTION_WORDS.values())
    return {word: tuple(name for name in LATIN if word in FUNCTION_WORDS[name]) for word in every if len(word) > 1}


@lru_cache(1 << 16)
def _terms(token: str, language: str) -> tuple[str, ...]:
    if UNSPACED.match(token):
        return (*token, *(token[at : at + 2] for at in range(len(token) - 1)))
    first = token[0]
    if any(map(str.isdigit, token)):
        return (_fold(token),)
    if first < "\u0250" or "\u1e00" <= first < "\u1f00":
        word = _fold(token) if language == DEFAULT else token  # English: only foreign words have accents
        return (f"{language}:{_fold(_stemmer(LATIN[language]).stemWord(word))}",)
    for name, (least, most) in SCRIPTS.items():
        if least <= first <= most:
            return (_fold(_stemmer(name).stemWord(token)),)
    return (_fold(token),)


@cache
def _stemmer(name: str) -> Any:
    import Stemmer

    return Stemmer.Stemmer(name, 0)  # 0: `_terms` remembers what it stemmed


def _fold(word: str) -> str:
    """Return a word without the accents of the Latin, Greek, Cyrillic, Hebrew and Arabic scripts."""
    return word if word.isascii() else unicodedata.normalize("NFC", ACCENT.sub("", unicodedata.normalize("NFD", word)))
