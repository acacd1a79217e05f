"""A Markdown file's text comes in; the fields of its front matter, as filters compare them, go out."""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from loaders.cleaning import clean

Fields = dict[str, tuple[str, ...]]  # key → values, both as comparable() makes them
MARKDOWN = frozenset({".md", ".markdown", ".mdx", ".qmd", ".rmd"})
FRONT_MATTER = re.compile(r"\ufeff?---[ \t]*\r?\n(.*?)\r?\n(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL)
LONGEST = 10_000  # characters of front matter; what is longer is no front matter, or meant to do harm
MOST = 100  # values


def comparable(text: str) -> str:
    """Return a key or value in the form in which two of them are compared: blanks and case make no difference."""
    return clean(text).casefold()


def front_matter(path: Path, text: str) -> Fields:
    """Return the fields that a Markdown file's YAML header names; nothing where it has none, or no sound one.

    A value is a word, number or date, or a list of such; what is nested deeper is left out.
    """
    found = FRONT_MATTER.match(text[:LONGEST]) if path.suffix.lower() in MARKDOWN else None
    if not found:
        return {}
    import yaml

    try:
        header = yaml.safe_load(found.group(1))
    except (yaml.YAMLError, ValueError, RecursionError):  # ValueError: a date that no calendar has
        return {}
    if not isinstance(header, dict):
        return {}
    fields = {comparable(str(key)): tuple(_values(value)) for key, value in list(header.items())[:MOST]}
    return {key: values for key, values in fields.items() if key and values}


def _values(value: Any) -> Iterator[str]:
    for item in value[:MOST] if isinstance(value, list) else [value]:
        if isinstance(item, bool):
            yield str(item).lower()
        elif isinstance(item, date):
            yield comparable(item.isoformat())
        elif isinstance(item, str | int | float) and comparable(str(item)):
            yield comparable(str(item))
