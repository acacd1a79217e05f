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
    """A contiguous stretch of a file's text with its headings, sheet or row, its page, and its line in plain text."""

    text: str
    section: str = ""
    page: int | None = None
    line: int | None = None


Reader = Callable[[Path, Reading], Iterator[Stretch]]
