"""A path comes in; the files at it, less the hidden, the linked and the ignored, go out."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from errors import DocumentError, one_line

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILE = ".ragignore"  # gitignore syntax; it counts for its folder and those below


def absolute(path: Path) -> Path:
    """Return the path from the root, without `..`; links stay, so that a file keeps the name that the user knows."""
    return Path(os.path.abspath(path))  # noqa: PTH100  (Path.resolve follows links, Path.absolute keeps ..)


def find_files(path: Path) -> Iterator[Path]:
    """Yield the file, or a folder's files in order, less the hidden, the linked and the .ragignored."""
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from _walk(path, ())
    else:
        raise DocumentError(path, "no such file or folder", "check the path; documents remove takes a deleted file out")


def _walk(folder: Path, ignores: tuple[tuple[Path, "GitIgnoreSpec"], ...]) -> Iterator[Path]:
    from pathspec import GitIgnoreSpec

    try:  # stop at a folder that can't be read: going on would look as if its files had been deleted
        with os.scandir(folder) as found:  # it knows what each entry is without asking the disk again
            entries = sorted(found, key=lambda entry: entry.name)
        if any(entry.name == IGNORE_FILE for entry in entries):
            lines = (folder / IGNORE_FILE).read_text("utf-8-sig", errors="replace").splitlines()
            ignores = ((folder, GitIgnoreSpec.from_lines(lines)), *ignores)
    except OSError as error:
        raise DocumentError(folder, one_line(error), "check the folder's permissions") from error
    for entry in entries:
        path, is_folder = folder / entry.name, entry.is_dir(follow_symlinks=False)
        if entry.name.startswith(".") or entry.is_symlink() or _ignored(path, ignores, is_folder=is_folder):
            continue
        if is_folder:
            yield from _walk(path, ignores)
        elif entry.is_file(follow_symlinks=False):
            yield path


def _ignored(path: Path, ignores: tuple[tuple[Path, "GitIgnoreSpec"], ...], *, is_folder: bool) -> bool:
    """Say what the innermost .ragignore with a matching line says, as git does."""
    for folder, spec in ignores:
        verdict = spec.check_file(path.relative_to(folder).as_posix() + ("/" if is_folder else "")).include
        if verdict is not None:
            return verdict
    return False
