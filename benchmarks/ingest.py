"""Measure how fast documents get in: the whole pipeline beside its encoder alone and beside the plain tutorial.

    python benchmarks/ingest.py speed CORPUS.jsonl…     encoder, pipeline and tutorial, in turns, on the same files
    python benchmarks/ingest.py sync CORPUS.jsonl…      10,000 files: first run, no change, one edit
    python benchmarks/ingest.py growth CORPUS.jsonl…    1,000, 10,000 and 100,000 chunks: seconds and memory, a plot

A corpus holds a JSON object with "title" and "text" in each line.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ingestion
import pipeline
from loaders.cleaning import searchable
from loaders.generations import open_store
from loaders.sync import GROUP_CHUNKS
from settings import load_settings

ROUNDS = 3
Texts = list[tuple[str, str]]


def read(corpora: list[Path]) -> Texts:
    """Return (title, text) of every document."""
    rows = (json.loads(line) for corpus in corpora for line in corpus.open(encoding="utf-8"))
    return [(row.get("title", ""), row["text"]) for row in rows if row["text"].strip()]


def write(folder: Path, texts: Texts) -> int:
    """Write each text as a Markdown file, a hundred in a folder; return the number of bytes."""
    size = 0
    for number, (title, text) in enumerate(texts):
        path = folder / f"{number // 100:04d}" / f"{number:06d}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        size += path.write_text(f"# {title}\n\n{text}\n" if title else text, encoding="utf-8")
    return size


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that something takes, and its result."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def speed(texts: Texts, place: Path) -> None:
    """Time encoder, pipeline and tutorial in turns; print chunks a second of each and the ratios."""
    folder = place / "files"
    size = write(folder, texts)
    settings = load_settings(store=place / "first")
    first = ingestion.ingest(settings, [folder])  # warm: the disk, the exported encoder
    with open_store(settings.store) as store:
        inputs = [searchable(chunk) for chunk in store.chunks(store.catalog.chunk_ids())]
    embeddings = pipeline.build_embeddings(settings, pipeline.embedder_identity(settings))

    def encoder() -> None:
        for at in range(0, len(inputs), GROUP_CHUNKS):
            embeddings.embed_documents(sorted(inputs[at : at + GROUP_CHUNKS], key=len, reverse=True))

    spent: dict[str, list[float]] = {"encoder": [], "pipeline": [], "tutorial": []}
    tutorial_chunks = 0
    for number in range(ROUNDS):
        spent["encoder"].append(timed(encoder)[0])
        fresh = load_settings(store=place / f"store{number}")
        report = ingestion.ingest(fresh, [folder])
        spent["pipeline"].append(report.seconds)
        if number == 0:
            seconds, tutorial_chunks = timed(lambda: tutorial(folder, place / "tutorial"))
            spent["tutorial"].append(seconds)
    best = {name: min(seconds) for name, seconds in spent.items()}
    rows = {"encoder": len(inputs), "pipeline": first.searched, "tutorial": tutorial_chunks}
    print(f"{len(texts)} files, {size / 1e6:.1f} MB, best of {ROUNDS}\n")
    print("| what | chunks | seconds | chunks/s | kB/s |\n|---|---|---|---|---|")
    for name, seconds in best.items():
        print(f"| {name} | {rows[name]} | {seconds:.1f} | {rows[name] / seconds:.0f} | {size / 1e3 / seconds:.0f} |")
    print(f"\npipeline / encoder: {best['encoder'] / best['pipeline']:.2f}")
    chunk_rate = (rows["pipeline"] / best["pipeline"]) / (rows["tutorial"] / best["tutorial"])
    print(f"pipeline / tutorial: {best['tutorial'] / best['pipeline']:.1f} by text, {chunk_rate:.1f} by chunks")


def tutorial(folder: Path, directory: Path) -> int:
    """Do what the usual tutorial does; return the number of chunks."""
    import warnings

    warnings.simplefilter("ignore")
    from langchain_community.document_loaders import DirectoryLoader, TextLoader
    from langchain_community.vectorstores import Chroma
    from langchain_huggingface import HuggingFaceEmbeddings
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    documents = DirectoryLoader(str(folder), glob="**/*.md", loader_cls=TextLoader).load()
    chunks = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=200).split_documents(documents)
    model = str(pipeline.embedder_folder(load_settings()))
    Chroma.from_documents(chunks, HuggingFaceEmbeddings(model_name=model), persist_directory=str(directory))
    return len(chunks)


def sync(texts: Texts, place: Path) -> None:
    """Time a first run over 10,000 short files, one without a change, and one after a single edit."""
    folder = place / "files"
    words = " ".join(text for _, text in texts).split()
    short = [("", " ".join(words[at : at + 30])) for at in range(0, len(words), max(1, len(words) // 10_000))][:10_000]
    write(folder, short)
    settings = load_settings(store=place / "store")
    print("| run over 10,000 files | seconds | read | embedded |\n|---|---|---|---|")
    edited = folder / "0042" / "004242.md"
    for name in ("first", "no change", "no change again", "one edit"):
        if name == "one edit":
            edited.write_text("An edit that nobody has embedded before.")
        report = ingestion.ingest(settings, [folder])
        print(f"| {name} | {report.seconds:.2f} | {report.read} | {report.embedded} |", flush=True)
        if name == "first":
            time.sleep(2.5)  # files changed in the last two seconds are hashed again


def growth(texts: Texts, place: Path) -> None:
    """Time indexes of growing size, each in a process of its own, and plot them."""
    print("| chunks | seconds | chunks/s | peak memory (MB) |\n|---|---|---|---|")
    points = []
    for target in (1_000, 10_000, 100_000):
        folder = place / str(target)
        write(folder, list(windows(texts, target)))
        code = "import sys; from ingest import grow; grow(*sys.argv[1:])"
        command = [sys.executable, "-c", code, str(folder), str(place / f"store{target}")]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent)
        chunks, seconds, megabytes = map(float, done.stdout.split())
        points.append((chunks, seconds, megabytes))
        print(f"| {chunks:,.0f} | {seconds:.1f} | {chunks / seconds:.0f} | {megabytes:.0f} |", flush=True)
    plot(points)


def windows(texts: Texts, count: int) -> Iterator[tuple[str, str]]:
    """Yield `count` texts of 12 words from random places: each is a chunk, and the embedder is not what is measured."""
    draw, words = random.Random(0), " ".join(text for _, text in texts).split()
    for _ in range(count):
        at = draw.randrange(len(words) - 12)
        yield "", " ".join(words[at : at + 12])


def grow(folder: str, store: str) -> None:
    """Index a folder; print chunks, seconds and this process's peak memory in MB."""
    report = ingestion.ingest(load_settings(store=Path(store)), [Path(folder)])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(report.chunks, report.seconds, peak)


def plot(points: list[tuple[float, float, float]]) -> None:
    """Draw seconds and memory over the number of chunks."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.5))
    chunks, seconds, megabytes = zip(*points, strict=True)
    left.loglog(chunks, seconds, "o-", label="measured")
    left.loglog(chunks, [seconds[0] * n / chunks[0] for n in chunks], "--", label="in proportion")
    left.set(xlabel="chunks", ylabel="seconds")
    left.legend()
    right.semilogx(chunks, megabytes, "o-")
    right.set(xlabel="chunks", ylabel="peak memory (MB)", ylim=(0, None))
    figure.tight_layout()
    figure.savefig(Path(__file__).with_name("ingest_growth.png"), dpi=100)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "sync", "growth"])
    parser.add_argument("corpora", nargs="+", type=Path)
    parser.add_argument("--files", type=int, default=1500, help="how many files, at most, for speed")
    arguments = parser.parse_args()
    found = read(arguments.corpora)
    with tempfile.TemporaryDirectory(prefix="groundwork-") as directory:
        if arguments.what == "speed":
            speed(found[: arguments.files], Path(directory))
        else:
            {"sync": sync, "growth": growth}[arguments.what](found, Path(directory))
