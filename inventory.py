"""Names in use and a cache come in; the models on this machine, each with what is known of it, go out."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from errors import ModelError
from hashes import known_sha256, read_json
from hub.names import HUB
from hub.records import Record, records, unrecorded
from inference.gguf_header import read_header
from models import PACKAGED, packaged_weights


@dataclass(frozen=True)
class Model:
    """A model that is here: its weights with their SHA-256, and which settings name it."""

    name: str  # as a setting would have it
    kind: str  # chat, embedder or cross-encoder
    path: str
    bytes: int
    sha256: str  # of several files the first's; "" where they were never read
    licence: str  # "": nobody says
    revision: str  # the commit on the hub
    used_by: tuple[str, ...]
    note: str  # why it can't be used, if so


def list_models(used: Mapping[str, str], cache: Path, base: Path) -> list[Model]:
    """Return all models: the packaged, those from the hub, those that settings name by path, those made from others.

    `used` maps settings to the names that they have; relative paths start at `base`. Files that were never read
    are read once for their hash, but for those that other programs fetched: the hub's own hash is theirs.
    """
    found = [_packaged(name, cache) for name, model in PACKAGED.items() if importlib.util.find_spec(model.module)]
    fetched = records(cache)
    found += map(describe, [*fetched, *unrecorded(fetched)])
    for name in dict.fromkeys(used.values()):
        path = base / Path(name).expanduser()
        if name and name not in PACKAGED and not name.startswith(HUB) and (path.is_file() or _weights(path)):
            found.append(_on_disk(name, path, cache))
    seen = {Path(model.path).resolve() for model in found}
    found += [_on_disk(str(path), path, cache) for path in sorted(cache.rglob("*.gguf")) if path.resolve() not in seen]
    return [replace(m, used_by=tuple(key for key, name in used.items() if name == m.name)) for m in found]


def _packaged(name: str, cache: Path) -> Model:
    about, path, note = PACKAGED[name], "", ""
    try:
        path = str(packaged_weights(name, cache))
    except ModelError as error:
        note = error.reason
    size = Path(path).stat().st_size if path else 0
    return Model(name, about.kind, path, size, about.sha256, about.licence, "", (), note)


def describe(record: Record) -> Model:
    """Return what is known of a model that was fetched; its own files tell what the hub did not."""
    weights = [file for file in record.files if file.endswith((".gguf", ".safetensors"))]
    note = "" if record.is_whole else f"files are missing: python main.py models get {record.name}"
    size = sum(Path(file).stat().st_size for file in record.files if Path(file).exists())
    first = record.files[weights[0]] if weights else ""
    model = Model(record.name, "", record.path, size, first, record.licence, record.commit, (), note)
    return _described(model) if record.is_whole else model


def _on_disk(name: str, path: Path, cache: Path) -> Model:
    weights = [path] if path.is_file() else _weights(path)
    size = sum(file.stat().st_size for file in weights)
    return _described(Model(name, "", str(path), size, known_sha256(weights[0], cache), "", "", (), ""))


def _described(model: Model) -> Model:
    """Add what the model's own files tell: a GGUF header, or a folder's config.json."""
    path = Path(model.path)
    if path.is_dir():
        classes = read_json(path / "config.json").get("architectures") or [""]
        kind = "cross-encoder" if str(classes[0]).endswith("ForSequenceClassification") else "embedder"
        return replace(model, kind=kind)
    try:
        licence = model.licence or read_header(path).licence
    except ModelError as error:
        return replace(model, kind="chat", note=error.reason)
    return replace(model, kind="chat", licence=licence)


def _weights(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors")) if (folder / "config.json").is_file() else []
