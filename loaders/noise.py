"""A chunk's text comes in; the reason why it is not worth finding, or nothing, goes out.

Every rule asks for most of the text, because a real passage that is left out can't be found any more, and noise that
is left in only comes last.
"""

import re
import unicodedata
from collections.abc import Callable

MOST = 0.8  # of the characters that are not spaces
LEAST_ENCODED = 128  # characters: a checksum or a key's fingerprint may be the answer to a question
LEAST_RUN = 20  # of one character
FEW_WORDS = 3
LEAST_GARBLE = 40  # characters, under which symbols may be a formula or a smiley
READABLE = re.compile(r"[^\W_]|[\u2800-\u28ff]")  # Braille is no letter to Unicode
PAGE_NUMBER = re.compile(
    r"[^\w\n]*(?:(?:page|pg|seite|página|pagina|sivu|strona|страница|صفحة)[^\w\n]*\d{1,4}"
    r"(?:(?:[^\w\n]|of|von|de|di|sur|van|z|из|من)+\d{1,4})?"
    r"|第[^\w\n]*\d{1,4}[^\w\n]*(?:页|頁|ページ)(?:(?:[^\w\n]|共)*\d{1,4}[^\w\n]*(?:页|頁|ページ))?)[^\w\n]*",
    re.IGNORECASE,
)
BASE64 = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}|[A-Za-z0-9_-]{40,}={0,2}")
CASES = re.compile(r"(?<=[a-z])[A-Z0-9]|(?<=[A-Z])[a-z0-9]|(?<=[0-9])[A-Za-z]")
HEX = re.compile(r"(?<![^\W_])(?:0x)?(?:[0-9a-f]{2}|[0-9A-F]{2})+(?![^\W_])")
GLYPH_NUMBER = re.compile(r"\(cid:\d+\)")  # what some readers put for a glyph without a meaning
LATIN_WORD = re.compile(r"[^\W\d_]{3,}")
OTHER_SCRIPT = re.compile(r"[^\W\d_\u0000-\u036f]")
VOWEL = re.compile(r"[aeiouy]")
CONSONANTS = re.compile(r"[b-df-hj-np-tv-xz]{30,}", re.IGNORECASE)
CODE = re.compile(r"[=<>{}\[\]()\\+*^√∑∫≈≤≥∈]")  # marks that formulas and programs live on


def is_noise(text: str) -> str:
    """Return why a chunk's text is not worth embedding, or "" for text to keep, in whatever language or notation."""
    if not READABLE.search(text):
        return "no letters or digits"
    if len(text) < LEAST_GARBLE and PAGE_NUMBER.fullmatch(text):
        return "page number"
    alphabet = [char for char in set(text) if READABLE.match(char)]
    if len(alphabet) == 1 and text.count(alphabet[0]) >= LEAST_RUN:
        return "one character repeated"
    words = text.split()
    if 2 * sum(len(word) for word in words if len(word) <= LEAST_RUN and word.isalpha()) > len(text):
        return ""  # mostly plain words, as nearly all text is: the rules below cost more
    solid = "".join(words)
    if len(solid) < LEAST_GARBLE:
        return ""
    return next((reason for reason, found in RULES.items() if found(text, solid)), "")


def _unmapped(text: str, solid: str) -> bool:
    """Tell whether most glyphs have no meaning in Unicode, as in PDF files whose fonts lack their table."""
    unknown = sum(char == "\ufffd" or unicodedata.category(char) in ("Co", "Cn") for char in solid)
    return unknown + sum(map(len, GLYPH_NUMBER.findall(text))) > MOST * len(solid)


def _base64(text: str, solid: str) -> bool:
    """Tell whether most is base64: long unbroken stretches in which capitals, small letters and digits mix at random.

    At random, five neighbours of eight differ in kind; in camelCase names, three of eight.
    """
    if "://" in text:
        return False  # an address, with what it carries, may be asked for
    blobs = BASE64.findall(text)
    size = sum(map(len, blobs))
    if len(LATIN_WORD.findall(BASE64.sub(" ", text))) > FEW_WORDS:
        return False  # the head of the mail that it is attached to
    return size >= max(LEAST_ENCODED, MOST * len(solid)) and 2 * sum(len(CASES.findall(blob)) for blob in blobs) > size


def _hex(text: str, solid: str) -> bool:
    """Tell whether most is hexadecimal: of random digits three in eight are letters, of numbers none."""
    digits = "".join(HEX.findall(text))
    letters = sum(digit.isalpha() for digit in digits)
    return len(digits) >= max(LEAST_ENCODED, MOST * len(solid)) and 0.2 < letters / len(digits) < 0.6


def _consonants(text: str, solid: str) -> bool:
    """Tell whether most is Latin letters in a row without a vowel or a space; other scripts write no vowels."""
    return sum(map(len, CONSONANTS.findall(text))) > MOST * len(solid)


def _garbled(text: str, solid: str) -> bool:
    """Tell whether symbols outnumber what can be read by far, with no word and no mark of formulas or code."""
    symbols = len(solid) - len(READABLE.findall(solid))
    if symbols < 0.6 * len(solid) or CODE.search(solid) or OTHER_SCRIPT.search(solid):
        return False
    return not any(not word.isascii() or VOWEL.search(word.lower()) for word in LATIN_WORD.findall(text))


RULES: dict[str, Callable[[str, str], bool]] = {
    "characters without meaning": _unmapped,
    "base64": _base64,
    "hexadecimal dump": _hex,
    "letters without vowels": _consonants,
    "garbled characters": _garbled,
}
