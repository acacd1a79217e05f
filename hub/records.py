"""A model's name on the hub comes in; what is known of the files that were fetched for it goes out.

The files lie where huggingface_hub keeps them (HF_HOME), for other programs too; the records lie in RAG_CACHE.
"""

import contextlib
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from errors import ModelError
from hashes import known_sha256, read_json, write_json
from hub.names import FORM, HubName, parse_name

SHA256 = re.compile("[0-9a-f]{64}")  # by which huggingface_hub calls each large file


@dataclass(frozen=True)
class Record:
    """A model that was fetched: where it lies, at which commit, and the SHA-256 of each of its files by path."""

    name: str
    path: str
    commit: str
    licence: str  # "": nobody says
    fetched: str  # ISO 8601
    files: dict[str, str]

    @property
    def is_whole(self) -> bool:
        """Tell whether all its files are there."""
        return all(Path(file).is_file() for file in self.files)


def record(name: HubName, snapshot: Path, files: list[str], licence: str, cache: Path) -> Record:
    """Note where a model lies, and the hashes of its files; raise ModelError for one that is not what it is called."""
    hashes = {str(snapshot / file): known_sha256(snapshot / file, cache) for file in files}
    for file, sha256 in hashes.items():
        called = Path(file).resolve().name
        if SHA256.fullmatch(called) and called != sha256:
            remedy = f"run: python main.py models get {name.name}"
            raise ModelError(file, f"its SHA-256 is {sha256}, not {called}", remedy)
    path, now = snapshot / name.parts[0] if name.parts else snapshot, datetime.now(UTC)
    made = Record(name.name, str(path), snapshot.name, licence, now.isoformat(timespec="seconds"), hashes)
    try:
        write_json(_place(name.name, cache), asdict(made))
    except OSError as error:
        raise ModelError(cache, f"nothing can be kept here ({error.strerror})", "set RAG_CACHE to another") from None
    return made


def read_record(name: str, cache: Path) -> Record | None:
    """Return what is known of a name, if anything was fetched for it."""
    found = _read(_place(name, cache))
    return found if found and found.name == name else None


def records(cache: Path) -> list[Record]:
    """Return what is known of every model that was fetched, by name."""
    found = (_read(path) for path in (cache / "hub").glob("*.json"))
    return sorted((each for each in found if each), key=lambda each: each.name)


def adopt(name: HubName, cache: Path, *, commit: str = "") -> Record | None:
    """Record a model that lies where huggingface_hub keeps it, by whomever it was fetched; None if it is not there."""
    commit = commit or name.revision or "main"
    with contextlib.suppress(OSError):
        commit = (name.home / "refs" / commit).read_text().strip()
    snapshot = name.home / "snapshots" / commit
    there = (str(path.relative_to(snapshot)) for path in snapshot.rglob("*") if path.is_file())
    files = sorted(filter(name.wants, there))
    return None if name.lacks(files) else record(name, snapshot, files, "", cache)


def unrecorded(known: list[Record]) -> list[Record]:
    """Return the models that other programs fetched, less those that are known; the hub's own hashes are theirs."""
    from huggingface_hub import constants

    seen, found = {file for each in known for file in each.files}, []
    for snapshot in sorted(Path(constants.HF_HUB_CACHE).glob("models--*/snapshots/*")):
        home = snapshot.parent.parent
        repo = home.name.removeprefix("models--").replace("--", "/", 1)
        main = home / "refs" / "main"
        at = "" if main.is_file() and main.read_text().strip() == snapshot.name else f"@{snapshot.name}"
        there = [str(path.relative_to(snapshot)) for path in snapshot.rglob("*") if path.is_file()]
        names = [f"hub:{repo}{at}", *(f"hub:{repo}/{file}{at}" for file in there if file.endswith(".gguf"))]
        for name in filter(FORM.fullmatch, names):  # those of old, without an owner, are not of the form
            model = parse_name(name)
            files = {str(snapshot / file): (snapshot / file).resolve().name for file in filter(model.wants, there)}
            if not model.lacks(there) and not files.keys() & seen:
                seen |= files.keys()
                hashes = {file: called if SHA256.fullmatch(called) else "" for file, called in files.items()}
                path = snapshot / model.parts[0] if model.parts else snapshot
                found.append(Record(name, str(path), snapshot.name, "", "", hashes))
    return found


def remove(name: str, cache: Path) -> int:
    """Delete what was fetched for a name, in part too, and nothing else needs; return how many bytes that freed."""
    found, home = read_record(name, cache), parse_name(name).home
    # hf_hub_download's have two points in their names, and are its own
    unneeded = [part for part in (home / "blobs").glob("*.incomplete") if SHA256.fullmatch(part.stem)]
    if found is None and not unneeded:
        raise ModelError(name, "no model that was fetched here", "python main.py models lists those that were")
    needed = {file for other in records(cache) if other.name != name for file in other.files}
    for path in (Path(file) for file in (found.files if found else ()) if file not in needed):
        blob = path.resolve()
        path.unlink(missing_ok=True)
        if not any(other.resolve() == blob for other in (home / "snapshots").rglob("*")):
            unneeded.append(blob)
    freed = sum(file.stat().st_size for file in unneeded if file.exists())
    for file in (*unneeded, _place(name, cache)):
        file.unlink(missing_ok=True)
    return freed


def _place(name: str, cache: Path) -> Path:
    return cache / "hub" / f"{name.removeprefix('hub:').replace('/', '--')}.json"


def _read(path: Path) -> Record | None:
    found = read_json(path)
    return Record(**found) if found.keys() == Record.__annotations__.keys() else None
