"""A JSONL file comes in; its rows go out, and the one that is not as it should be is named."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from errors import EvaluationError, one_line

Parsed = TypeVar("Parsed")


def read_rows(path: Path, remedy: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of the file with the numbers of their rows; raise EvaluationError that names the row."""
    number = 0
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
            if line.strip():
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError("it is no object")
                yield number, row
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(path, one_line(error), remedy) from None
    except ValueError as error:
        raise EvaluationError(f"{path}, row {number}", f"not as expected ({one_line(error)})", remedy) from None


def parse_rows(path: Path, remedy: str, parse: Callable[[dict[str, Any]], Parsed]) -> list[Parsed]:
    """Return what `parse` makes of each row; a ValueError, KeyError or TypeError of it is told with the row."""
    found = []
    for number, row in read_rows(path, remedy):
        try:
            found.append(parse(row))
        except (ValueError, KeyError, TypeError) as error:
            raise EvaluationError(f"{path}, row {number}", f"not as expected ({one_line(error)})", remedy) from None
    return found


def write_rows(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    """Write them as JSON lines; raise EvaluationError where the file can't be written."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EvaluationError(path, one_line(error), "name a file in a folder that exists") from None
