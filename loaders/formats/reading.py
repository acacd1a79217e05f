"""What every reader of a format takes and gives: a Reading comes in, Stretches go out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


@dataclass(frozen=True)
class Reading:
    """How files are read: the passwords to try on an encrypted one, and the languages of OCR ("" for none)."""

    passwords: tuple[str, ...] = ()
    ocr: str = ""


class Stretch(NamedTuple):
    """A contiguous stretch of a file's text with its headings, sheet or row, its page, and its line in plain text.

    Where a part of a file can't be read, the text is empty and unread says why.
    """

    text: str
    section: str = ""
    page: int | None = None
    line: int | None = None
    unread: str = ""


Reader = Callable[[Path, Reading], Iterator[Stretch]]
