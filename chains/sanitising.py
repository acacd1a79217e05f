"""A text that is about to be shown comes in; what of it can do no harm on a terminal or a page goes out."""

import re
import unicodedata
from collections.abc import Iterable

CITATION = re.compile(r"\s*\[(\d+(?:\s*[,;]\s*\d+)*)\]")
IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
TAG = re.compile(r"</?[a-zA-Z][^>]*>")
TAG_START = re.compile(r"<(?=[a-zA-Z/!?])")
LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
LINK_PART = re.compile(r"(?<=\])(?=[(\[:])|(?<=!)(?=\[)")  # what is left of broken and of nested ones
URL = re.compile(r"(?:[a-z][a-z0-9+.-]{1,20}://|\bwww\.|\b(?:javascript|data|vbscript):)[^\s<>\"'\]]*", re.IGNORECASE)
ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])|\x9b[0-?]*[ -/]*[@-~]")
# joiners shape Persian, Indic scripts and emoji; the others of the category Cf are signs that are seen
VISIBLE = frozenset("\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u08e2\U000110bd")


def as_shown(text: str, sources: Iterable[str] = ()) -> str:
    """Return the plain text without HTML, images and links, whose words stay.

    A bare address stays only if a source holds it.
    """
    text, known = plain(text), tuple(sources)
    text = TAG_START.sub("‹", LINK.sub(r"\1", TAG.sub("", IMAGE.sub("", text))))
    text = URL.sub(lambda url: url.group() if any(url.group().rstrip(".,;:)") in each for each in known) else "", text)
    return LINK_PART.sub(" ", text).strip()


def plain(text: str) -> str:
    """Return the text without what steers a terminal or misleads a reader.

    These are escape sequences, control characters, and marks that turn the direction of writing or are not seen.
    """
    return "".join(c for c in ESCAPE.sub("", text) if c in "\n\t" or c in VISIBLE or not _is_hidden(c))


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs")
