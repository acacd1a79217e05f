"""Texts come in; hashes by which those that say the same are found, and whether two of them do, go out.

Candidates are found by MinHash signatures (Broder, 1997) cut into bands, and confirmed by comparing the texts
themselves.
"""

import re
import unicodedata
from difflib import SequenceMatcher
from hashlib import blake2b
from struct import pack
from typing import NamedTuple

from loaders.cleaning import clean
from words import UNSPACED, words

BANDS, ROWS = 8, 8  # a pair of Jaccard similarity 0.9 shares a band in 99 cases of 100, one of 0.5 in 3
SHINGLE = 3  # words
LEAST_SHINGLES = 20  # under which one changed word already takes a pair below 0.75
SEED = 1
SENTENCE_MARKS = (".", "!", "?", ":", "…", "•", "؟", "。", "»", "”", '"')
PLAIN = frozenset(".,;:!?'\"()[]{}…-–—_*•|‘’“”«»„`/\\¿¡،؛؟।#~。、・《》〈〉「」『』【】")
LIGHT = frozenset(
    "a an the that which der das den dem ein eine einen einem einer le les une el los las il".split()  # noqa: SIM905
)
CONFUSED = frozenset("ce ec li il lt tl it ti ft tf nu un nh hn hb bh gq qg uv vu ij ji".split())  # noqa: SIM905
ASCII_GAPS = {code: " " for code in range(128) if not (chr(code).isalnum() or chr(code) == "_")}
PARAGRAPH = re.compile(r"\n\s*\n")
DOUBLED = re.compile(r"(.)\1")
DASHES = frozenset("-–—")  # standing alone, one may be the sign of the number that follows
# what turns a statement round or bounds it
TURNING = frozenset(
    """not no non nor never none neither nobody nothing nowhere without except excluding unless cannot only but if all
    any every each some both either or must shall should may might can could will would must than more less most least
    before after until since above below over under up down in out on off from to by first second third last next one
    two three four five six seven eight nine ten twelve twenty hundred thousand million billion half twice double
    nicht kein keine keinen keinem keiner keines nie niemals ohne außer nur wenn muss darf kann soll alle vor nach bis
    ne pas jamais aucun aucune sans sauf ni seulement si avant après ninguno ninguna nunca sin salvo solo sólo mai
    senza nessuno não nunca sem nem não niet geen zonder nooit ikke ingen inte ingen utan не ни нет без""".split()  # noqa: SIM905
)


def signature(text: str) -> list[int]:
    """Return the band hashes of a text, eight integers of 63 bits, the same on every machine; [] if it is too short.

    Two texts are candidates for being near-duplicates if they share one. Texts with other numbers never do, so that
    ten thousand invoices from one form are not all compared. The hashes hold for one signature_version().
    """
    from rensa import RMinHash

    found = _words(text)
    shingles = _shingles(found)
    if len(shingles) < LEAST_SHINGLES:
        return []
    sketch = RMinHash(num_perm=BANDS * ROWS, seed=SEED)
    sketch.update(shingles)
    digest, numbers = sketch.digest(), " ".join(_numbers(found)).encode()
    return [_hash63(pack(f"<{ROWS + 1}I", at, *digest[at : at + ROWS]) + numbers) for at in range(0, len(digest), ROWS)]


def signature_version() -> str:
    """Return what signatures depend on: two of different versions can't be compared."""
    from rensa import RMinHash

    return f"minhash-{RMinHash.ALGORITHM_VERSION} {BANDS}x{ROWS} {SHINGLE} words, numbers"


def in_context(section: str, text: str) -> str:
    """Return a chunk's text under its headings, the form to compare: the same words under others say something else."""
    return f"{section}\n\n{text}"


def exact_key(text: str) -> str:
    """Return a hash that texts share if they differ in blanks, case and the forms of characters at most."""
    return blake2b(clean(text).casefold().encode(), digest_size=16).hexdigest()


def is_near(one: str, other: str, threshold: float) -> bool:
    """Tell whether two texts say the same: most of their shingles are shared, and what differs is harmless.

    `threshold` is the least Jaccard similarity of their sets of three words in a row. Harmless are misprints, articles,
    punctuation, and sentences more at most, or words at the edges, without a number, name or negation: two years of a
    price list and two contracts with other parties are no duplicates, however alike they are.
    """
    if _numbers(_words(one)) != _numbers(_words(other)) or similarity(one, other) < threshold:
        return False
    return _differ_harmlessly(_tokens(one), _tokens(other))


def similarity(one: str, other: str) -> float:
    """Return the Jaccard similarity of the texts' sets of three words in a row, from 0 to 1."""
    first, second = set(_shingles(_words(one))), set(_shingles(_words(other)))
    return len(first & second) / (len(first | second) or 1)


def _words(text: str) -> list[str]:
    if not text.isascii():
        return words(unicodedata.normalize("NFKC", text))
    return text.lower().translate(ASCII_GAPS).split()  # what words() finds, in a quarter of the time


def _shingles(found: list[str]) -> list[str]:
    return list(map(" ".join, zip(found, found[1:], found[2:], strict=False)))


def _numbers(found: list[str]) -> list[str]:
    return sorted(word for word in found if not word.isalpha())


def _hash63(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little") >> 1


class Token(NamedTuple):
    """A word as it is compared, whether it alone can change what is said, and whether a sentence starts with it."""

    key: str
    weighty: bool
    first: bool


def _tokens(text: str) -> list[Token]:
    """Return the words of a text and the signs among them that carry meaning."""
    return [token for paragraph in PARAGRAPH.split(text) for token in _paragraph(clean(paragraph))]


def _paragraph(text: str) -> list[Token]:
    found: list[Token] = []
    starts = True
    for piece in UNSPACED.sub(lambda run: f" {' '.join(run.group())} ", text).split():
        number = any(char.isdigit() for char in piece)
        whole = piece.rstrip(".,;:") if number or piece in DASHES else ""
        key = whole or "".join(char for char in piece if char not in PLAIN).casefold()
        if key:
            negated = key.endswith("nt") and "n't" in piece.replace("’", "'")
            weighty = negated or not key.isalpha() or key in TURNING or _may_be_a_name(piece, starts)
            found.append(Token(key, weighty, starts))
            starts = False
        starts = starts or piece.endswith(SENTENCE_MARKS)
    return found


def _may_be_a_name(piece: str, starts: bool) -> bool:
    """Tell whether a word has a capital where no sentence starts, or letters of a script that has no capitals."""
    letters = [char for char in piece if char.isalpha()]
    return any(char.lower() == char.upper() or (char.isupper() and not starts) for char in letters)


def _differ_harmlessly(one: list[Token], other: list[Token]) -> bool:
    matcher = SequenceMatcher(None, [token.key for token in one], [token.key for token in other], autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            continue
        changed = [*one[a:b], *other[c:d]]
        if any(token.weighty for token in changed):
            return False
        alone = _stands_alone(one, a, b) if kind == "delete" else kind == "insert" and _stands_alone(other, c, d)
        if not alone and not _alike(one[a:b], other[c:d]):
            return False
    return True


def _stands_alone(tokens: list[Token], start: int, end: int) -> bool:
    """Tell whether a stretch is whole sentences, or lies at the beginning or end: inside a sentence, it qualifies."""
    return start == 0 or end == len(tokens) or (tokens[start].first and tokens[end].first)


def _alike(one: list[Token], other: list[Token]) -> bool:
    """Tell whether two stretches, articles aside, are the same words, split or spelt in another way."""
    first, second = ([token.key for token in tokens if token.key not in LIGHT] for tokens in (one, other))
    if "".join(first) == "".join(second):
        return True
    return len(first) == len(second) and all(map(_misprint, first, second))


def _misprint(one: str, other: str) -> bool:
    """Tell whether two words are one: plural, a letter doubled, or one that readers of print confuse.

    Any other letter may make another word: employer and employee, typical and atypical.
    """
    if one == other or min(len(one), len(other)) < 4:
        return one == other
    if one.rstrip("s") == other.rstrip("s") or one.replace("rn", "m") == other.replace("rn", "m"):
        return True
    changed = ["".join(pair) for pair in zip(one, other, strict=False) if pair[0] != pair[1]]
    if len(one) == len(other):
        return len(changed) == 1 and changed[0] in CONFUSED
    return DOUBLED.sub(r"\1", one) == DOUBLED.sub(r"\1", other)
