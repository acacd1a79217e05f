"""A JSONL file comes in; its rows, each an object with the fields that are needed, go out."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from errors import EvaluationError, one_line


def read_records(path: Path, fields: Sequence[str], remedy: str) -> list[dict[str, Any]]:
    """Return the objects of a JSONL file that have all of `fields`; raise EvaluationError that names the row."""
    rows, number = [], 0
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):  # noqa: B007  (the error names it)
            if line.strip():
                row = json.loads(line)
                if absent := [field for field in fields if field not in row]:
                    raise ValueError(f"it has no {', '.join(absent)}")
                rows.append(row)
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(path, one_line(error), remedy) from None
    except (ValueError, TypeError) as error:
        raise EvaluationError(f"{path}, row {number}", f"not as expected ({one_line(error)})", remedy) from None
    if not rows:
        raise EvaluationError(path, "it is empty", remedy)
    return rows


def spread(rows: Sequence[dict[str, Any]], limit: int | None) -> list[dict[str, Any]]:
    """Return at most `limit` rows, evenly spread over the file: such files are often sorted by subject or label."""
    if limit is None or limit >= len(rows):
        return list(rows)
    return [rows[at * len(rows) // limit] for at in range(limit)]
