"""Compare ways to find the nearest of many vectors: recall@10, milliseconds, seconds to build, and memory.

    python benchmarks/ann.py data PLACE --catalogs STORE/0001/catalog.sqlite… --questions QUERIES.jsonl… --most 1000000
    python benchmarks/ann.py run PLACE --sizes 10000 100000     every method in a process of its own, one after another
    python benchmarks/ann.py report PLACE                       the table, and the plot benchmarks/ann.png

The vectors are those of real chunks, and beyond these made of them: a real vector plus the difference of two of its 50
nearest neighbours, at a scale that leaves the distance to the tenth neighbour about as it is among real ones. So groups
stay groups, and each is spread along the directions in which it is spread already. Queries are embedded questions.
"""

import argparse
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

DEPTH = 10  # of recall@10
QUERIES = 200
SEEDS = 10_000  # real vectors around which others are made
SCALE = 0.3  # of the differences; `data` prints what it does to the distances
MOST_SECONDS = 600  # for a method at a size
CORES = os.cpu_count() or 1
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # of numpy and faiss
Search = Callable[[np.ndarray, int], Sequence[int]]
PLOT = Path(__file__).with_suffix(".png")


def real_vectors(catalogs: list[Path]) -> np.ndarray:
    """Return the vectors of all chunks in these catalogs, shuffled."""
    blobs: list[bytes] = []
    for path in catalogs:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            blobs += [row[0] for row in connection.execute("SELECT vector FROM vectors ORDER BY key")]
    found = np.unique(np.stack([np.frombuffer(blob, dtype=np.float32) for blob in blobs]), axis=0)
    return np.asarray(np.random.default_rng(0).permutation(found))


def neighbours(vectors: np.ndarray, seeds: int, count: int) -> np.ndarray:
    """Return the rows of the nearest others of each of the first vectors."""
    found = []
    for at in range(0, seeds, 1000):
        scores = vectors[at : min(at + 1000, seeds)] @ vectors.T
        scores[np.arange(len(scores)), np.arange(at, at + len(scores))] = -2
        found.append(np.argpartition(-scores, count, axis=1)[:, :count])
    return np.concatenate(found)


def enlarge(real: np.ndarray, size: int, out: np.ndarray) -> None:
    """Fill `out` with the real vectors and then made ones, `size` in all."""
    seeds = min(SEEDS, len(real))
    near, random = neighbours(real, seeds, 50), np.random.default_rng(1)
    out[: len(real)] = real[:size]
    for at in range(len(real), size, 10_000):
        rows = random.integers(0, seeds, min(10_000, size - at))
        one, two = (near[rows, random.integers(0, 50, len(rows))] for _ in range(2))
        made = real[rows] + SCALE * (real[one] - real[two])
        out[at : at + len(rows)] = made / np.linalg.norm(made, axis=1, keepdims=True)


def tenth(vectors: np.ndarray) -> np.ndarray:
    """Return quartiles of the cosine of vectors with their tenth neighbour."""
    scores = np.sort(vectors[:1000] @ vectors.T, axis=1)[:, -11]
    return np.round(np.percentile(scores, (25, 50, 75)), 3)


def make_data(place: Path, catalogs: list[Path], questions: list[Path], most: int) -> None:
    """Write vectors.npy and queries.npy; print how alike real and made vectors are."""
    import pipeline
    from settings import load_settings

    place.mkdir(parents=True, exist_ok=True)
    settings = load_settings()
    embeddings = pipeline.build_embeddings(settings, pipeline.embedder_identity(settings))
    texts = [json.loads(line)["text"] for path in questions for line in path.open(encoding="utf-8")]
    picked = np.random.default_rng(2).permutation(len(texts))[:QUERIES]
    queries = np.asarray([embeddings.embed_query(texts[n]) for n in picked], dtype=np.float32)
    np.save(place / "queries.npy", queries)
    real = real_vectors(catalogs)
    vectors = np.lib.format.open_memmap(place / "vectors.npy", mode="w+", dtype=np.float32, shape=(most, real.shape[1]))
    enlarge(real, most, vectors)
    vectors.flush()
    size = min(len(real), most - len(real))
    print(f"{len(real)} real vectors; cosine with the tenth neighbour, quartiles: {tenth(real[:size])} real,")
    print(f"{tenth(np.asarray(vectors[len(real) : len(real) + size]))} made, as many of them")


def truth(place: Path, vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Return the rows of each query's true nearest vectors."""
    path = place / f"truth-{len(vectors)}.npy"
    if not path.is_file():
        parts = [queries @ vectors[at : at + 50_000].T for at in range(0, len(vectors), 50_000)]
        scores = np.concatenate(parts, axis=1)
        np.save(path, np.argsort(-scores, axis=1)[:, :DEPTH])
    return np.asarray(np.load(path))


def brute_force(vectors: np.ndarray, place: Path) -> Search:
    """Compare all: one matrix product."""
    matrix = np.array(vectors)  # in memory, as the others hold theirs

    def search(query: np.ndarray, count: int) -> Sequence[int]:
        scores = matrix @ query
        best = np.argpartition(-scores, count)[:count]
        return list(best[np.argsort(-scores[best])])

    return search


def kd_tree(vectors: np.ndarray, place: Path) -> Search:
    """scipy's KD-tree, exact; on unit vectors the nearest by distance are the nearest by angle."""
    from scipy.spatial import KDTree

    tree = KDTree(vectors)
    return lambda query, count: list(tree.query(query, count)[1])


def _through(index: Any, vectors: np.ndarray) -> Search:
    for at in range(0, len(vectors), 500):  # as a store fills it
        part = np.asarray(vectors[at : at + 500])
        index.upsert([str(n) for n in range(at, at + len(part))], part)
    index.save()
    return lambda query, count: [int(id_) for id_, _ in index.nearest(query, count)]


def chroma(vectors: np.ndarray, place: Path) -> Search:
    """RAG_INDEX=hnsw: HNSW in Chroma, on disk, as the program sets it."""
    from loaders.vectorstore import ChromaIndex

    return _through(ChromaIndex(place / "chroma-0001"), vectors)


def hnsw(vectors: np.ndarray, place: Path) -> Search:
    """hnswlib itself, with Chroma's parameters."""
    import hnswlib

    index = hnswlib.Index("cosine", vectors.shape[1])
    index.init_index(len(vectors), M=16, ef_construction=100)
    for at in range(0, len(vectors), 10_000):
        index.add_items(vectors[at : at + 10_000], num_threads=CORES)
    index.set_ef(200)
    return lambda query, count: [int(n) for n in index.knn_query(query, count, num_threads=1)[0][0]]


def product_quantised(vectors: np.ndarray, place: Path) -> Search:
    """RAG_INDEX=pq: faiss IVF-PQ, 96 bytes a vector; the best 40 are put in order by the original vectors."""
    from loaders.quantised import QuantisedIndex

    index = QuantisedIndex(place / "pq-0001", lambda ids: {id_: np.asarray(vectors[int(id_)]) for id_ in ids})
    return _through(index, vectors)


def plain_codes(vectors: np.ndarray, place: Path) -> Search:
    """faiss PQ without lists or originals: every code is compared, and that is the order."""
    import faiss

    index = faiss.IndexPQ(vectors.shape[1], vectors.shape[1] // 4, 8, faiss.METRIC_INNER_PRODUCT)
    index.train(np.asarray(vectors[:20_000]))
    for at in range(0, len(vectors), 10_000):
        index.add(np.asarray(vectors[at : at + 10_000]))
    return lambda query, count: list(index.search(query[None], count)[1][0])


METHODS: dict[str, Callable[[np.ndarray, Path], Search]] = {
    "brute force": brute_force,
    "HNSW, Chroma": chroma,
    "HNSW, hnswlib": hnsw,
    "IVF-PQ, re-scored": product_quantised,
    "PQ alone": plain_codes,
    "KD-tree": kd_tree,
}


def private_bytes() -> int:
    """Return the memory of this process that no file stands behind."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def measure(place: Path, method: str, size: int) -> dict[str, Any]:
    """Build one index in this process, ask it all queries, and return what that took."""
    queries = np.load(place / "queries.npy")
    vectors = np.load(place / "vectors.npy", mmap_mode="r")[:size]
    right = truth(place, vectors, queries)
    folder = place / f"index-{method.replace(' ', '-')}-{size}"
    shutil.rmtree(folder, ignore_errors=True)
    if "PQ" not in method:  # which needs more vectors
        METHODS[method](np.array(vectors[:300]), folder / "warm")(queries[0], DEPTH)  # loads the libraries
    before, began = private_bytes(), time.perf_counter()
    search = METHODS[method](vectors, folder / "index")
    built = time.perf_counter() - began
    times, hits, spent = [], 0, time.process_time()
    for query, wanted in zip(queries, right, strict=True):
        began = time.perf_counter()
        found = search(query, DEPTH)
        times.append(1000 * (time.perf_counter() - began))
        hits += len(set(map(int, found)) & set(wanted.tolist()))
    spent = 1000 * (time.process_time() - spent) / len(queries)  # beside other work, steadier than the clock
    disk = sum(path.stat().st_size for path in (folder / "index").rglob("*") if path.is_file())
    result = {
        "method": method,
        "size": size,
        "recall@10": round(hits / right.size, 4),
        "p50_ms": round(float(np.percentile(times, 50)), 2),
        "p95_ms": round(float(np.percentile(times, 95)), 2),
        "cpu_ms": round(spent, 2),
        "build_s": round(built, 1),
        "memory_bytes_per_vector": round((private_bytes() - before) / size),
        "disk_bytes_per_vector": round(disk / size),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    shutil.rmtree(folder, ignore_errors=True)
    return result


def run(place: Path, methods: Sequence[str], sizes: Sequence[int]) -> None:
    """Measure each method at each size in a process of its own; append a line for each to results.jsonl."""
    vectors, queries = np.load(place / "vectors.npy", mmap_mode="r"), np.load(place / "queries.npy")
    for size in sizes:
        truth(place, vectors[:size], queries)
        for method in methods:
            command = [sys.executable, __file__, "one", str(place), "--methods", method, "--sizes", str(size)]
            try:
                done = subprocess.run(
                    command,
                    timeout=MOST_SECONDS,
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                    env=os.environ | ONE_THREAD,
                )
                line = done.stdout.splitlines()[-1]
            except subprocess.TimeoutExpired:
                line = json.dumps({"method": method, "size": size, "stopped": f"after {MOST_SECONDS} s"})
            print(line, flush=True)
            with (place / "results.jsonl").open("a", encoding="utf-8") as file:
                file.write(line + "\n")


def report(place: Path) -> None:
    """Print the table; draw recall and p50 against the number of vectors."""
    lines = (place / "results.jsonl").read_text(encoding="utf-8").splitlines()
    rows = list({(row["size"], row["method"]): row for row in map(json.loads, lines)}.values())
    rows.sort(key=lambda row: (row["size"], list(METHODS).index(row["method"])))
    print("| vectors | method | recall@10 | p50 ms | p95 ms | CPU ms | build s | bytes/vector | on disk | peak MB |")
    print("|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for row in rows:
        start = f"| {row['size']:,} | {row['method']} "
        if "stopped" in row:
            print(f"{start}| stopped {row['stopped']} | | | | | | | |")
            continue
        keys = ("p50_ms", "p95_ms", "cpu_ms", "build_s", "memory_bytes_per_vector", "disk_bytes_per_vector", "peak_mb")
        print(f"{start}| {row['recall@10']:.3f} | {' | '.join(f'{row[key]:,}' for key in keys)} |")
    plot([row for row in rows if "stopped" not in row])


def plot(rows: Sequence[dict[str, Any]]) -> None:
    """Draw time, recall and memory of each method against the number of vectors."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    titles = {"cpu_ms": "CPU ms a query", "recall@10": "recall@10", "memory_bytes_per_vector": "bytes a vector"}
    figure, axes = pyplot.subplots(1, 3, figsize=(12, 4))
    for axis, (key, title) in zip(axes, titles.items(), strict=True):
        for method in METHODS:
            of_method = [row for row in rows if row["method"] == method]
            axis.plot([row["size"] for row in of_method], [row[key] for row in of_method], "o-", label=method)
        axis.set(xscale="log", title=title, xlabel="vectors")
        if key != "recall@10":
            axis.set_yscale("log")
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(PLOT, dpi=110)


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("data", "run", "one", "report"))
    parser.add_argument("place", type=Path)
    parser.add_argument("--catalogs", type=Path, nargs="+", default=[])
    parser.add_argument("--questions", type=Path, nargs="+", default=[])
    parser.add_argument("--most", type=int, default=1_000_000)
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    given = parser.parse_args()
    if given.command == "data":
        make_data(given.place, given.catalogs, given.questions, given.most)
    elif given.command == "one":
        print(json.dumps(measure(given.place, given.methods[0], given.sizes[0])))
    elif given.command == "run":
        run(given.place, given.methods, given.sizes)
    else:
        report(given.place)


if __name__ == "__main__":
    main()
