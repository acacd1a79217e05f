"""A file comes in; the fields that its front matter names, or a `.ragfields` above it gives, go out to be compared."""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import DocumentError, one_line
from loaders.cleaning import clean

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

Fields = dict[str, tuple[str, ...]]  # key → values, both as comparable() makes them
FIELDS_FILE = ".ragfields"  # YAML: a pattern in gitignore syntax → the fields of the files below that it fits
MARKDOWN = frozenset({".md", ".markdown", ".mdx", ".qmd", ".rmd"})
Rules = list[tuple[Path, "GitIgnoreSpec", Fields]]  # folder, which files below it, what is given to them
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
    return _fields(header) if isinstance(header, dict) else {}


def given_fields(files: Mapping[str, Path]) -> dict[str, Fields]:
    """Return the fields that the FIELDS_FILEs in each file's folder, and in those above, give it, if any do.

    Raise DocumentError for such a file that can't be understood.
    """
    rules: dict[Path, Rules] = {}
    found = {source: _given(path, _rules(path.parent, rules)) for source, path in files.items()}
    return {source: fields for source, fields in found.items() if fields}


def _given(path: Path, rules: Rules) -> Fields:
    fields: Fields = {}
    for folder, spec, given in rules:
        if spec.match_file(path.relative_to(folder)):
            fields |= {key: (*fields.get(key, ()), *values) for key, values in given.items()}
    return fields


def _rules(folder: Path, known: dict[Path, Rules]) -> Rules:
    """Return what is said of the files in a folder, by itself and by those above it; each is read once."""
    if folder not in known:
        above = _rules(folder.parent, known) if folder.parent != folder else []
        known[folder] = above + _read(folder)
    return known[folder]


def _read(folder: Path) -> Rules:
    import yaml
    from pathspec import GitIgnoreSpec

    path = folder / FIELDS_FILE
    try:
        if not path.is_file():
            return []
        rules = yaml.safe_load(path.read_text("utf-8-sig")) or {}
        return [(folder, GitIgnoreSpec.from_lines([str(name)]), _fields(given)) for name, given in rules.items()]
    except (OSError, ValueError, AttributeError, yaml.YAMLError, RecursionError) as error:
        remedy = "write a pattern, a colon, and below it lines such as '  team: red'"
        raise DocumentError(path, f"it is not understood ({one_line(error)})", remedy) from error


def _fields(mapping: dict[Any, Any]) -> Fields:
    fields = {comparable(str(key)): tuple(_values(value)) for key, value in list(mapping.items())[:MOST]}
    return {key: values for key, values in fields.items() if key and values}


def _values(value: Any) -> Iterator[str]:
    for item in value[:MOST] if isinstance(value, list) else [value]:
        if isinstance(item, bool):
            yield str(item).lower()
        elif isinstance(item, date):
            yield comparable(item.isoformat())
        elif isinstance(item, str | int | float) and comparable(str(item)):
            yield comparable(str(item))
