"""A model's name on the hub comes in; its files, downloaded once, verified and recorded, go out."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from errors import ModelError, one_line
from hashes import known_sha256
from hub.names import HubName, stays_inside
from hub.records import Record, adopt, read_record, record

HASH = re.compile("[0-9a-f]{40}(?:[0-9a-f]{24})?")  # SHA-1 or SHA-256


@dataclass(frozen=True)
class HubFile:
    """A file on the hub, with the hash that names it there: SHA-256, or git's SHA-1 of a small one."""

    path: str
    size: int
    digest: str


@dataclass(frozen=True)
class Offer:
    """What the hub has under a name at one commit."""

    name: HubName
    commit: str
    licence: str
    files: tuple[HubFile, ...]

    @property
    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(file.size for file in self.files)

    def blob(self, file: HubFile) -> Path:
        """Return where a file's content lies, once it is here."""
        return self.name.home / "blobs" / file.digest

    def part(self, file: HubFile) -> Path:
        """Return where it grows until then."""
        return self.name.home / "blobs" / f"{file.digest}.incomplete"


def locate(name: HubName, cache: Path, *, offline: bool) -> Path:
    """Return where a model lies, verified. Once it is recorded no network is used; before, only if not `offline`.

    Raises ModelError where it is not here and can't be fetched, and for files that changed after they were fetched.
    """
    known = read_record(name.name, cache)
    commit, remedy = known.commit if known else "", f"run: python main.py models get {name.name}"
    found = known if known and known.is_whole else adopt(name, cache, commit=commit)
    if found is None:
        if offline:
            raise ModelError(name.name, "not on this machine yet", remedy)
        found = fetch(look_up(name, commit=commit), cache)
    for file, sha256 in found.files.items():
        if (actual := known_sha256(Path(file), cache)) != sha256:
            raise ModelError(file, f"its SHA-256 is {actual}, not {sha256}", remedy)
    return Path(found.path)


def look_up(name: HubName, *, commit: str = "") -> Offer:
    """Ask the hub what it has under a name now, or at a commit; raise ModelError where that is nothing of use."""
    with _online(name):
        from huggingface_hub import HfApi

        info = HfApi().model_info(name.repo, revision=commit or name.revision or None, files_metadata=True)
    wanted = [each for each in info.siblings or () if name.wants(each.rfilename)]
    files = [HubFile(f.rfilename, f.size or 0, f.lfs.sha256 if f.lfs else f.blob_id or "") for f in wanted]
    if lacks := name.lacks([file.path for file in files]):
        raise ModelError(name.name, f"this repository has no {lacks}", "choose a file that it lists on the hub")
    odd = [file.path for file in files if not (stays_inside(file.path) and HASH.fullmatch(file.digest))]
    if odd or not HASH.fullmatch(info.sha or ""):
        raise ModelError(name.name, f"the hub's list of files is not in order {odd}", "choose another repository")
    licence = getattr(info.card_data, "license_name", "") or getattr(info.card_data, "license", "")
    return Offer(name, str(info.sha), str(licence or ""), tuple(files))


def fetch(offer: Offer, cache: Path, *, quiet: bool = False) -> Record:
    """Download what is missing of an offer, going on where a download was cut, with a bar on stderr; record it.

    Raises ModelError, and records nothing, where the disk has no room, or a file not the hash that the hub names.
    """
    name, snapshot = offer.name, offer.name.home / "snapshots" / offer.commit
    with _online(name), _sole_use(name):
        missing = [f for f in offer.files if not offer.blob(f).is_file() or _digest(offer.blob(f), cache) != f.digest]
        wanted = sum(f.size - (p.stat().st_size if (p := offer.part(f)).exists() else 0) for f in missing)
        if wanted > (free := shutil.disk_usage(name.home).free):
            reason = f"{wanted / 1e9:.1f} GB are to come, and {free / 1e9:.1f} GB are free in {name.home}"
            raise ModelError(name.name, reason, "make room, or let HF_HOME name a folder with more")
        for file in missing:
            _download(offer, file, quiet=quiet)
            if (digest := _digest(offer.blob(file), cache)) != file.digest:
                offer.blob(file).unlink()
                reason = f"its hash is {digest}, and the hub says {file.digest}"
                raise ModelError(file.path, reason, "try again: nothing of it is kept")
        for file in offer.files:
            pointer = snapshot / file.path
            pointer.parent.mkdir(parents=True, exist_ok=True)
            pointer.unlink(missing_ok=True)
            pointer.symlink_to(os.path.relpath(offer.blob(file), pointer.parent))
        return record(name, snapshot, [file.path for file in offer.files], offer.licence, cache)


def _download(offer: Offer, file: HubFile, *, quiet: bool) -> None:
    """Fetch one file by way of its part file, which outlives this process.

    huggingface_hub 1.33 begins anew after every cut: hf_hub_download writes to a file of a new name each time and
    deletes it on errors. Its lower half, http_get, can go on.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # exported lazily
    from tqdm import tqdm

    bar: Any = partial(tqdm, disable=quiet or None, leave=False)  # None: where stderr is no terminal
    part = offer.part(file)
    with part.open("ab") as stream:
        if stream.tell() > file.size:
            stream.truncate(0)
        http_get(
            hf_hub_url(offer.name.repo, file.path, revision=offer.commit),
            stream,
            resume_size=stream.tell(),
            headers=build_hf_headers(),
            expected_size=file.size,
            displayed_filename=f"{file.path} ({offer.licence or 'no licence named'})",
            tqdm_class=bar,
        )
    part.replace(offer.blob(file))


def _digest(path: Path, cache: Path) -> str:
    """Return the hash of a blob's content, of the kind by which it is called."""
    if len(path.name) == 64:
        return known_sha256(path, cache)
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@contextlib.contextmanager
def _sole_use(name: HubName) -> Iterator[None]:
    """Keep other processes from the same repository; raise ModelError where one is at it."""
    (name.home / "blobs").mkdir(parents=True, exist_ok=True)
    with (name.home / "groundwork.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ModelError(name.name, "another process is downloading it", "try again when that is done") from None
        yield


@contextlib.contextmanager
def _online(name: HubName) -> Iterator[None]:
    """Let huggingface_hub, and nothing else, use the network inside; make one line of what goes wrong there."""
    import httpx
    from huggingface_hub import constants, errors

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, False
    remedy = "check the name, the network and the disk; what has come is kept"
    try:
        yield
    except errors.GatedRepoError:
        remedy = "accept its licence on the hub, and let HF_TOKEN hold your token"
        raise ModelError(name.name, "its owner asks for consent first", remedy) from None
    except errors.RepositoryNotFoundError:
        raise ModelError(name.name, "the hub has no such repository, or not for everyone", remedy) from None
    except errors.RevisionNotFoundError:
        raise ModelError(name.name, "its repository has no such revision", remedy) from None
    except (httpx.HTTPError, OSError, ValueError) as error:
        reason = one_line(error).partition(" For more information")[0]  # httpx says where to look codes up
        raise ModelError(name.name, reason, remedy) from None
    finally:
        constants.HF_HUB_OFFLINE = before
