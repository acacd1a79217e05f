"""Names in use, a cache and free memory come in; the models on this machine, each with what is known of it, go out."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from errors import ModelError
from hashes import known_sha256, read_json
from hub.names import HUB
from hub.records import Record, records, unrecorded
from inference.fitting import Room, fit
from inference.gguf_header import read_header
from inference.loading import Loading
from models import PACKAGED, packaged_weights


@dataclass(frozen=True)
class Place:
    """Where a chat model would run: how it would be loaded, and the memory that is free."""

    loading: Loading
    room: Room


@dataclass(frozen=True)
class Model:
    """A model that is here: its weights with their SHA-256, and which settings name it."""

    name: str  # as a setting would have it
    kind: str  # chat, adapter, embedder or cross-encoder
    path: str
    bytes: int
    sha256: str  # of several files the first's; "" where they were never read
    licence: str  # "": nobody says
    revision: str  # the commit on the hub
    used_by: tuple[str, ...]
    memory: int = 0  # bytes that a chat model takes when it is loaded
    fits: bool | None = None  # whether they are free now; None where nothing tells
    note: str = ""  # why it can't be used, if so


def list_models(used: Mapping[str, str], cache: Path, base: Path, place: Place) -> list[Model]:
    """Return all models: the packaged, those from the hub, those that settings name by path, those made from others.

    `used` maps settings to the names that they have; relative paths start at `base`. Files that were never read
    are read once for their hash, but for those that other programs fetched: the hub's own hash is theirs.
    """
    found = [
        _packaged(name, cache, place) for name, model in PACKAGED.items() if importlib.util.find_spec(model.module)
    ]
    fetched = records(cache)
    found += [describe(record, place) for record in (*fetched, *unrecorded(fetched))]
    for name in dict.fromkeys(used.values()):
        path = base / Path(name).expanduser()
        if name and name not in PACKAGED and not name.startswith(HUB) and (path.is_file() or _weights(path)):
            found.append(_on_disk(name, path, cache, place))
    seen = {Path(model.path).resolve() for model in found}
    found += [
        _on_disk(str(path), path, cache, place) for path in sorted(cache.rglob("*.gguf")) if path.resolve() not in seen
    ]
    return [replace(m, used_by=tuple(key for key, name in used.items() if name == m.name)) for m in found]


def _packaged(name: str, cache: Path, place: Place) -> Model:
    about = PACKAGED[name]
    try:
        path = packaged_weights(name, cache)
    except ModelError as error:
        return Model(name, about.kind, "", 0, about.sha256, about.licence, "", (), note=error.reason)
    model = Model(name, about.kind, str(path), path.stat().st_size, about.sha256, about.licence, "", ())
    return _described(model, place) if about.kind == "chat" else model


def describe(record: Record, place: Place) -> Model:
    """Return what is known of a model that was fetched; its own files tell what the hub did not."""
    weights = [file for file in record.files if file.endswith((".gguf", ".safetensors"))]
    note = "" if record.is_whole else f"files are missing: python main.py models get {record.name}"
    size = sum(Path(file).stat().st_size for file in record.files if Path(file).exists())
    first = record.files[weights[0]] if weights else ""
    model = Model(record.name, "", record.path, size, first, record.licence, record.commit, (), note=note)
    return _described(model, place) if record.is_whole else model


def _on_disk(name: str, path: Path, cache: Path, place: Place) -> Model:
    weights = [path] if path.is_file() else _weights(path)
    size = sum(file.stat().st_size for file in weights)
    return _described(Model(name, "", str(path), size, known_sha256(weights[0], cache), "", "", ()), place)


def _described(model: Model, place: Place) -> Model:
    """Add what the model's own files tell: a GGUF header, or a folder's config.json."""
    path = Path(model.path)
    if path.is_dir():
        classes = read_json(path / "config.json").get("architectures") or [""]
        kind = "cross-encoder" if str(classes[0]).endswith("ForSequenceClassification") else "embedder"
        return replace(model, kind=kind)
    try:
        header = read_header(path)
    except ModelError as error:
        return replace(model, kind="chat", note=error.reason)
    model = replace(model, licence=model.licence or header.licence)
    if any(tensor.name.endswith(".lora_a") for tensor in header.tensors):
        return replace(model, kind="adapter")
    found = fit(header, place.loading, place.room)
    return replace(model, kind="chat", memory=sum(use.total for use in found.uses), fits=found.fits)


def _weights(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors")) if (folder / "config.json").is_file() else []
