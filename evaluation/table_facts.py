"""Passages come in; the rows of tables in them, and the facts that these state, go out."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from evaluation.facts import MOST_WORDS, Fact, Proof
from words import content_words, words

FIELD = re.compile(r"^([^:|\n]{1,60}): (.+)$")
RULED = re.compile(r"^\|?[\s:|-]*-[\s:|-]*\|?$")
QUANTITIES = ("thousand", "million", "billion", "trillion")
NUMERIC = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
NOTHING = frozenset(("", "-", "–", "—", "n/a", "na", "none", "null", "yes", "no", "true", "false", "unknown", "?"))
# a value that no one would ask for: where something lies, or what tells rows apart
NOT_ASKED = re.compile(
    r"\b(?:url|link|uri|path|file|id|uuid|key|no|nr|see|source|notes?|comments?|row)\b", re.IGNORECASE
)
ADDRESS = re.compile(r"^\S*(?:/\S+/|://|\.(?:md|pdf|html?|docx?|csv|txt|xlsx?))\S*$|^\W+$")


@dataclass(frozen=True)
class Row:
    """One row of a table: its columns and values in order, and where it stands."""

    fields: tuple[tuple[str, str], ...]
    proof: Proof

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns, by which rows of one table are told."""
        return tuple(name for name, _ in self.fields)


def read_rows(text: str, place: Proof) -> Iterator[Row]:
    """Yield the rows in a passage of this place: a "column: value" a line, several of them in a line, or Markdown's."""
    at, lines = 0, []
    for line in text.split("\n"):
        lines.append((at, line))
        at += len(line) + 1
    head: list[str] = []
    block: list[tuple[int, str]] = []
    for number, (start, line) in enumerate([*lines, (at, "")]):
        if FIELD.match(line) and " | " not in line:
            block.append((start, line))
            continue
        if len(block) > 1:
            fields = [FIELD.match(each).groups() for _, each in block]  # type: ignore[union-attr]
            yield _row(fields, text, block[0][0], start - 1, place)
        block = []
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if RULED.match(line):
            continue
        named = [FIELD.match(cell) for cell in cells]
        if len(cells) > 1 and all(named):
            yield _row([each.groups() for each in named if each], text, start, start + len(line), place)
        elif line.startswith("|") and len(cells) == len(head):
            yield _row(list(zip(head, cells, strict=True)), text, start, start + len(line), place)
        else:
            ruled = number + 1 < len(lines) and RULED.match(lines[number + 1][1])
            head = cells if line.startswith("|") and ruled else []


def _row(fields: Sequence[Sequence[str]], text: str, start: int, end: int, place: Proof) -> Row:
    proof = Proof(place.doc_id, place.page, place.start + start, place.start + end, text[start:end])
    plain = [(re.sub(r"[`*]", "", name).strip(), re.sub(r"[`*]", "", value).strip()) for name, value in fields]
    return Row(tuple((name, value) for name, value in plain), proof)


def table_facts(rows: Iterable[Row]) -> Iterator[Fact]:
    """Yield what the rows state: each cell, asked for by its column and the row's first cell.

    A row whose first cell is a number, or which another row of these columns begins with too, has no name to ask by.
    """
    found = list(rows)
    named = Counter((row.columns, row.fields[0][1]) for row in found)
    for row in found:
        (_, name), *cells = row.fields
        if named[row.columns, name] > 1 or not re.search(r"[^\W\d]{2}", name) or len(name.split()) > 8:
            continue
        for column, value in cells:
            if is_asked(column, value):
                frame = _frame(column, value)
                number = NUMERIC.fullmatch(value)
                amount = float(value.replace(",", "")) if number else None
                yield Fact(frame.format(name), (value,), "table", name, frame, row.proof, value=amount)


def is_asked(column: str, value: str) -> bool:
    """Tell whether a person would ask for this cell."""
    spelt = " ".join(words(column.replace("_", " ")))
    if value.casefold() in NOTHING or ADDRESS.match(value) or NOT_ASKED.search(spelt) or "{" in column + value:
        return False
    return len(value.split()) <= MOST_WORDS and len(spelt.split()) <= 6 and not content_words(value) <= {"not"}


def unit_of(column: str) -> str:
    """Return a column as what is counted in it, its quantity before it: parameters_billion → billion parameters."""
    parts = column.replace("_", " ").split()
    if len(parts) > 1 and parts[-1].casefold() in QUANTITIES:
        parts = [parts[-1].casefold(), *parts[:-1]]
    return " ".join(parts)


def _frame(column: str, value: str) -> str:
    """Return the question for a column, {} standing for the row: plain words where the column is a plain noun."""
    unit = unit_of(column)
    spelt = unit.split()
    if NUMERIC.fullmatch(value) and unit[-1] == "s" and unit[-2:] != "ss" and len(spelt) < 4:
        return f"How many {unit} does {{}} have?"
    if len(spelt) < 3 and unit.islower() and not spelt[0].endswith(("s", "ed")):
        return f"What is the {unit} of {{}}?"
    return f"What does the table give as “{unit}” for “{{}}”?"
