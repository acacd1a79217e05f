"""A chunk's verbatim text comes in; the text that is embedded and searched for goes out."""

import re
import unicodedata
from pathlib import PurePath
from typing import Any

from langchain_core.documents import Document

from words import UNSPACED

SOFT_HYPHEN = "\u00ad"
BROKEN_WORD = re.compile(r"(?<=[^\W\d_])(?:[-\u00ad\u2010][ \t]*\n[ \t]*|\ufffe)(?=[^\W\d_])")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b\u2060\ufeff]")
SPACE = re.compile(r"\s+")
NAME_BREAK = re.compile(r"[\W\d_]+")  # 01_Super_Bowl_50 → Super Bowl
LETTERS = re.compile(r"[^\W\d_]{2}")


def clean(text: str) -> str:
    """Return `text` on one line, NFKC-normalised, without control characters or words broken at a line's end.

    NFKC undoes the ligatures of PDF files (U+FB01 → fi), without which keyword search fails. The chunk keeps its
    verbatim text beside this form, so that a citation can be found in the file.
    """
    text = BROKEN_WORD.sub("", unicodedata.normalize("NFKC", text)).replace(SOFT_HYPHEN, "")
    return SPACE.sub(" ", CONTROL.sub("", text)).strip()


def context(metadata: dict[str, Any]) -> str:
    """Return what a chunk's words leave unsaid: the name of its file, in words, and the headings above it."""
    name = NAME_BREAK.sub(" ", PurePath(metadata["source"]).stem).strip()
    name = name[: 12 if UNSPACED.search(name) else 60]  # about a dozen tokens either way: the text needs the room
    return "\n".join(filter(None, [name if LETTERS.search(name) else "", metadata["section"]]))


def searchable(chunk: Document) -> str:
    """Return what is embedded and indexed for a chunk: its context and its text, cleaned."""
    return clean(f"{context(chunk.metadata)}\n{chunk.page_content}")
