"""Kill an indexing process at random moments, again and again, and look at what is left.

    python benchmarks/faults.py --kills 200

Each round edits, adds and deletes files, starts `ingest` with the real embedder in a process of its own, kills it
(-9) at a random moment, opens the index as a question does, and looks: every file that was acknowledged before the
kill must be found whole, in its old or its new form, once. Every tenth round the index is brought up to date and compared with one
built from nothing. Prints what was lost, doubled or unreadable: nothing should be.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import ingestion
import pipeline
from errors import RagError
from loaders.checkup import examine
from loaders.generations import current
from settings import Settings, load_settings

FILES = 60
INGEST = """
import sys
from pathlib import Path
import ingestion
from settings import load_settings
print("ready", flush=True)
ingestion.ingest(load_settings(store=Path(sys.argv[1])), [Path(sys.argv[2])])
"""


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
        f"## Part {n}\n\nIn version {draw.randrange(10**9)} of {name}, part {n} says that the value is {draw.random()}. "
        * 4
        for n in range(draw.randrange(2, 9))
    )
    return "\n\n".join(sections)


def edit(folder: Path, draw: random.Random, versions: dict[Path, list[str]]) -> None:
    """Change, add and delete files; remember the last two versions of each, an empty one for a deleted file."""
    for number in range(FILES):
        path, what = folder / f"{number:02d}.md", draw.random()
        if what < 0.08 and path.exists():
            path.unlink()
            versions[path] = [*versions.get(path, []), ""][-2:]
        elif what < 0.35 or not versions.get(path):
            content = text(path.stem, draw)
            path.write_text(content)
            versions[path] = [*versions.get(path, []), content][-2:]


def held(settings: Settings) -> dict[str, list[str]]:
    """Return the texts of the chunks of each source, as a question finds them."""
    found: dict[str, list[str]] = {}
    with pipeline.open_index(settings) as index:
        for chunk in index.store.chunks(index.store.catalog.chunk_ids()):
            found.setdefault(chunk.metadata["source"], []).append(chunk.page_content)
        for ids, vectors in index.store.catalog.stream_vectors():
            near = index.store.dense(vectors[0].tolist(), 1)
            assert near and near[0][1] > 0.99, ids[0]
    return found


def whole(chunks: list[str], content: str) -> bool:
    """Tell whether the chunks, put together, are the file: each line in one, and each from it."""
    lines = [line for line in content.splitlines() if line.strip()]
    return all(any(line in chunk for chunk in chunks) for line in lines) and all(c in content for c in chunks)


def check(settings: Settings, versions: dict[Path, list[str]], acknowledged: set[Path], tally: Tally) -> None:
    """Open the index after a kill; count the files that are not there as they were before or are now."""
    try:
        found = held(settings)
    except (RagError, AssertionError) as error:
        print(f"unreadable: {error}", file=sys.stderr)
        tally.unreadable += 1
        return
    for path, states in versions.items():
        chunks = found.get(str(path), [])
        tally.doubled += len(chunks) != len(set(chunks))
        if path in acknowledged and not any(whole(chunks, state) if state else not chunks for state in states):
            print(f"lost: {path.name}", file=sys.stderr)
            tally.lost += 1


def finish(settings: Settings, folder: Path, place: Path, tally: Tally) -> None:
    """Bring the index up to date and compare it with a fresh one."""
    ingestion.ingest(settings, [folder])
    fresh = load_settings(store=place / "fresh")
    shutil.rmtree(fresh.store, ignore_errors=True)
    ingestion.ingest(fresh, [folder])
    same = {source: sorted(chunks) for source, chunks in held(settings).items()} == {
        source: sorted(chunks) for source, chunks in held(fresh).items()
    }
    name = current(settings.store)
    tally.unlike_fresh += not same or bool(examine(settings.store / str(name)))


def run(kills: int, seed: int, place: Path) -> Tally:
    """Kill so many indexing processes; return what was found after them."""
    draw, tally, folder = random.Random(seed), Tally(), place / "files"
    folder.mkdir()
    settings = load_settings(store=place / "store", workers=1)
    versions: dict[Path, list[str]] = {}
    edit(folder, draw, versions)
    ingestion.ingest(settings, [folder])
    acknowledged, longest = set(versions), 3.0
    command = [sys.executable, "-c", INGEST, str(settings.store), str(folder)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    while tally.kills < kills:
        edit(folder, draw, versions)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as child:
            assert child.stdout
            child.stdout.readline()  # its libraries are loaded
            began = time.monotonic()
            time.sleep(draw.uniform(0, longest))
            child.send_signal(signal.SIGKILL)
            child.wait()
        if child.returncode == -signal.SIGKILL:
            tally.kills += 1
        else:
            longest = max(1.0, min(longest, time.monotonic() - began))
            acknowledged = set(versions)
        check(settings, versions, acknowledged, tally)
        if tally.kills % 10 == 0:
            finish(settings, folder, place, tally)
            acknowledged = set(versions)
            versions = {path: states[-1:] for path, states in versions.items()}
            print(f"\r{tally.kills} kills", end="", file=sys.stderr, flush=True)
    return tally


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="groundwork-") as directory:
        print(f"\n{run(arguments.kills, arguments.seed, Path(directory))}")
