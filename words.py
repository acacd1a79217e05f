"""Text comes in; the words by which it is searched and compared go out."""

import re

# Scripts written without spaces: words can't be told apart by a simple rule, so overlapping pairs of characters stand
# in for them, the usual baseline of Chinese and Japanese retrieval.
UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0e7f]+")
WORD = re.compile(r"\w+")
STOP_WORDS = frozenset(
    """a about an and are as at be been by can could did do does for from had has have how i if in into is it its me my
    of on or our should so such than that the their them there these they this to was we were what when where which who
    whom whose why will with would you your""".split()  # noqa: SIM905  (thirty lines as a list)
)


def words(text: str) -> list[str]:
    """Return the words of `text` in lower case and in order, those of unspaced scripts as pairs of characters."""
    return WORD.findall(UNSPACED.sub(_pairs, text.casefold()))


def content_words(text: str) -> set[str]:
    """Return the words that carry meaning, without a final s, so that singular and plural meet; all, if none does."""
    found = set(words(text))
    return set(map(singular, found - STOP_WORDS or found))


def singular(word: str) -> str:
    """Return the word without a final s."""
    return word[:-1] if len(word) > 3 and word.endswith("s") else word


def _pairs(match: re.Match[str]) -> str:
    run = match.group()
    pairs = [run[at : at + 2] for at in range(len(run) - 1)] or [run]
    return f" {' '.join(pairs)} "
