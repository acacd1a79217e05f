"""Settings and a question come in; the answer that it got before, over the same index, goes out, if it did."""

import hashlib
import json
import sqlite3
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from chains.answers import Answer, Citation, Source, Statement
from loaders.kept_answers import forget, keep, read_kept
from loaders.pointer import current
from settings import ROOT, Settings

if TYPE_CHECKING:
    from chains.queries import Turn
    from loaders.filters import Filter

OURS = ("*.py", "chains/*.py", "inference/*.py", "loaders/**/*.py", "prompts/*")


def key_of(settings: Settings, question: str, history: "Sequence[Turn]" = (), where: "Filter | None" = None) -> str:
    """Return what stands for all that an answer hangs on but the index; "" where answers are not to be remembered.

    These are the question, the turns before it, the filter with the folder that its paths start at, every setting, the
    files that settings name, this program and what is installed. What a server runs can change unseen: an answer that
    its model had a part in is not remembered.
    """
    if not settings.answer_cache or (settings.model_url and settings.answer_style != "quote"):
        return ""
    turns = [[turn["question"], turn["answer"]] for turn in history]
    asked = [question, turns, where and [repr(where), str(Path.cwd())]]
    packages = Path(sysconfig.get_paths()["purelib"]).stat().st_mtime_ns  # changes with every installation
    parts = [asked, settings.model_dump_json(), sys.version, packages, list(_files(settings))]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _files(settings: Settings) -> Iterator[tuple[str, int, int]]:
    """Yield (path, bytes, time of the last change) of this program's files, and of those that settings name.

    For models named hub:… these are the records of what was fetched. How the chat model is run is among them, too.
    """
    texts = (value for value in settings.model_dump().values() if value and isinstance(value, str))
    paths = [*settings.cache.glob("tuned-*"), *(path for pattern in OURS for path in ROOT.glob(pattern))]
    for path in (settings.cache / "hub", *(ROOT / Path(text).expanduser() for text in texts)):
        paths += [path, *path.glob("**/*")]
    for path in sorted(paths):
        with suppress(OSError):  # most values of settings name no file, and some could not
            yield str(path), (found := path.stat()).st_size, found.st_mtime_ns


def recall(settings: Settings, key: str) -> Answer | None:
    """Return the answer that is remembered, its timings those of the look-up; forget all where that is switched off."""
    started = time.perf_counter()
    if (name := current(settings.store)) is None:
        return None
    directory = settings.store / name
    if not settings.answer_cache:
        forget(directory)
    text = ""
    with suppress(sqlite3.Error):  # a damaged file is one that remembers nothing
        text = read_kept(directory, key) if key else ""
    if not text:
        return None
    return replace(_read(text), cached=True, timings={"total_ms": round((time.perf_counter() - started) * 1000, 1)})


def remember(directory: Path, key: str, answer: Answer) -> None:
    """Keep an answer with the generation of the index that it came from, which is still open."""
    with suppress(sqlite3.Error, OSError):  # without room to remember, the next asker waits as long as this one
        if key:
            keep(directory, key, json.dumps(asdict(answer)))


def _read(text: str) -> Answer:
    raw = json.loads(text)
    for source in raw["sources"]:
        source["also_in"] = tuple(source["also_in"])
    for statement in raw["statements"]:
        statement["citations"] = tuple(Citation(**each) for each in statement["citations"])
    for name, kind in (("sources", Source), ("statements", Statement)):
        raw[name] = tuple(kind(**each) for each in raw[name])
    return Answer(**raw | {"queries": tuple(raw["queries"]), "cited": tuple(raw["cited"])})
