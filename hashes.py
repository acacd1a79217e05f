"""A file comes in; its SHA-256, worked out anew only where the file has changed, goes out."""

import contextlib
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

MEMORY = "hashes.json"  # in the cache: path → [bytes, time of the last change of content and of inode in ns, SHA-256]


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def known_sha256(path: Path, cache: Path) -> str:
    """Return the same, from memory where the file's size and times are those that it had when it was read.

    This tells damage and another file in its place; whoever may write to the cache can deceive it.
    """
    path = path.resolve()
    memory = read_json(cache / MEMORY)
    known, stamp = memory.get(str(path)), _stamp(path)
    if isinstance(known, list) and known[:-1] == stamp:
        return str(known[-1])
    sha256 = file_sha256(path)
    kept = {name: what for name, what in memory.items() if Path(name).exists()}
    with contextlib.suppress(OSError):  # a cache that can't be written costs time only
        write_json(cache / MEMORY, kept | {str(path): [*stamp, sha256]})
    return sha256


def _stamp(path: Path) -> list[int]:
    about = path.stat()
    return [about.st_size, about.st_mtime_ns, about.st_ctime_ns]


def read_json(path: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds; an empty one where it is missing or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Put an object into a JSON file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False, encoding="utf-8") as file:
        json.dump(value, file, indent=1)
    Path(file.name).replace(path)
