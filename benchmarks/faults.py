"""Kill an indexing process at random moments, again and again, and look at what is left.

    python benchmarks/faults.py --kills 200

Each round edits, adds and deletes files, starts `ingest` with the real embedder in a forked process, kills it (-9) at a
random moment, opens the index as a question does, and looks: every file that was acknowledged before the kill must be
found whole, as it was then or as it was at a later edit, once. Now and then the index is brought up to date and
compared with one built from nothing. Prints what was lost, doubled or unreadable: nothing should be.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import chromadb  # noqa: F401  (once, for all forks)
import onnxruntime  # noqa: F401

import ingestion
import pipeline
from loaders.checkup import examine
from loaders.pointer import current
from settings import Settings, load_settings

FILES = 30
COMPARED = 20  # kills between two comparisons with a fresh index


@dataclass
class Tally:
    """What went wrong, counted."""

    kills: int = 0
    lost: int = 0
    doubled: int = 0
    unreadable: int = 0
    unlike_fresh: int = 0


def text(name: str, draw: random.Random) -> str:
    """Return a new version of a file: sections that say which they are."""
    sections = (
        f"## Part {n}\n\nVersion {draw.randrange(10**9)} of part {n} of {name} says that the value is {draw.random()}. "
        * 4
        for n in range(draw.randrange(2, 9))
    )
    return "\n\n".join(sections)


def edit(folder: Path, draw: random.Random, versions: dict[Path, list[str]]) -> None:
    """Change, add and delete files; remember all versions of each, an empty one for a deleted file."""
    for number in range(FILES):
        path, what = folder / f"{number:02d}.md", draw.random()
        if what < 0.08 and path.exists():
            path.unlink()
            versions.setdefault(path, []).append("")
        elif what < 0.35 or not versions.get(path):
            content = text(path.stem, draw)
            path.write_text(content)
            versions.setdefault(path, []).append(content)


def forked(work: Callable[[], object]) -> int:
    """Start some work in a fork, in which alone Chroma is ever opened; return its process id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        os._exit(1)
    os._exit(0)


def held(settings: Settings, found: Path) -> None:
    """Write to a file the texts of the chunks of each source, as a question finds them."""
    sources: dict[str, list[str]] = {}
    with pipeline.open_index(settings) as index:
        for chunk in index.store.chunks(index.store.catalog.chunk_ids()):
            sources.setdefault(chunk.metadata["source"], []).append(chunk.page_content)
        for ids, vectors in index.store.catalog.stream_vectors():
            near = index.store.dense(vectors[0].tolist(), 1)
            assert near and near[0][1] > 0.99, ids[0]
    found.write_text(json.dumps(sources))


def whole(chunks: list[str], content: str) -> bool:
    """Tell whether the chunks, put together, are the file: each line in one, and each from it."""
    lines = [line for line in content.splitlines() if line.strip()]
    return all(any(line in chunk for chunk in chunks) for line in lines) and all(c in content for c in chunks)


def check(settings: Settings, versions: dict[Path, list[str]], acknowledged: set[Path], tally: Tally) -> None:
    """Open the index after a kill; count the files that are not there as they were before or are now."""
    place = settings.store.parent / "held.json"
    if os.waitpid(forked(lambda: held(settings, place)), 0)[1]:
        tally.unreadable += 1
        return
    found = json.loads(place.read_text())
    for path, states in versions.items():
        chunks = found.get(str(path), [])
        tally.doubled += len(chunks) != len(set(chunks))
        if path in acknowledged and not any(whole(chunks, state) if state else not chunks for state in states):
            print(f"lost: {path.name}", file=sys.stderr)
            tally.lost += 1


def finish(settings: Settings, folder: Path, tally: Tally) -> None:
    """Bring the index up to date and compare it with a fresh one."""

    def compare() -> None:
        ingestion.ingest(settings, [folder])
        fresh = settings.model_copy(update={"store": settings.store.parent / "fresh"})
        shutil.rmtree(fresh.store, ignore_errors=True)
        ingestion.ingest(fresh, [folder])
        kept = []
        for each in (settings, fresh):
            held(each, settings.store.parent / "held.json")
            sources = json.loads((settings.store.parent / "held.json").read_text())
            kept.append({source: sorted(chunks) for source, chunks in sources.items()})
        assert kept[0] == kept[1], "the index differs from a fresh one"
        damage = examine(settings.store / str(current(settings.store)))
        assert not damage, damage

    tally.unlike_fresh += os.waitpid(forked(compare), 0)[1] != 0


def run(kills: int, seed: int, place: Path) -> Tally:
    """Kill so many indexing processes; return what was found after them."""
    draw, tally, folder = random.Random(seed), Tally(), place / "files"
    folder.mkdir()
    settings = load_settings(store=place / "store", workers=1)
    versions: dict[Path, list[str]] = {}
    edit(folder, draw, versions)
    finish(settings, folder, tally)
    acknowledged, longest = set(versions), 4.0
    while tally.kills < kills:
        edit(folder, draw, versions)
        child = forked(lambda: ingestion.ingest(settings, [folder]))
        time.sleep(draw.uniform(0, longest))
        os.kill(child, signal.SIGKILL)
        if os.WIFSIGNALED(os.waitpid(child, 0)[1]):
            tally.kills += 1
        else:
            longest *= 0.9  # it was done before: kill the next ones sooner
            acknowledged, versions = set(versions), {path: states[-1:] for path, states in versions.items()}
        check(settings, versions, acknowledged, tally)
        if tally.kills % COMPARED == 0:
            finish(settings, folder, tally)
            acknowledged, versions = set(versions), {path: states[-1:] for path, states in versions.items()}
            print(f"\r{tally.kills} kills", end="", file=sys.stderr, flush=True)
    return tally


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="groundwork-") as directory:
        print(f"\n{run(arguments.kills, arguments.seed, Path(directory))}")
