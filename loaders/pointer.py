"""An index directory comes in; the generation in use goes out, or another one takes its place."""

import os
import re
from pathlib import Path

from errors import StoreError

CATALOG = "catalog.sqlite"
CURRENT = "CURRENT"
REBUILD = "build it anew: python main.py ingest --rebuild PATH"


def current(directory: Path) -> str | None:
    """Return the name of the generation in use, or None where nothing was ever indexed."""
    pointer = directory / CURRENT
    if not pointer.is_file():
        return None
    name = pointer.read_text(errors="replace").strip()
    if not re.fullmatch(r"\d{4,}", name) or not (directory / name / CATALOG).is_file():
        raise StoreError(pointer, f"it names no generation ({name[:40]!r}), or one without its catalog", REBUILD)
    return name


def switch(directory: Path, name: str) -> None:
    """Make `name` the generation in use, at once and for good."""
    draft = directory / f"{CURRENT}.new"
    with draft.open("w") as stream:
        stream.write(name)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(directory / CURRENT)
    folder = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name's change, too
    finally:
        os.close(folder)
