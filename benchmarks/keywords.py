"""Measure keyword engines on the same passages: how well each ranks, how fast it answers, what an edit costs.

    python benchmarks/keywords.py quality FOLDER…                    BEIR-layout folders: nDCG@10 of each engine
    python benchmarks/keywords.py speed FOLDER… --sizes 3000 100000  passages made of the folders' sentences

"fts5" is SQLite's own index with its Porter stemmer, as this program had it before; "bm25s" and "tantivy" are measured
where they are installed (pip install bm25s tantivy) and get the terms that our own index has.
"""

import argparse
import csv
import json
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import ir_measures
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from loaders import keywords  # noqa: E402
from loaders.cleaning import clean  # noqa: E402
from loaders.terms import index_terms, markers, query_terms, tokenize  # noqa: E402
from sentences import sentence_spans  # noqa: E402
from words import STOP_WORDS, words  # noqa: E402

WORDS, OVERLAP = 150, 24  # of a passage: about 200 tokens of English
GROUP = 1000  # passages in a transaction
LIMIT = 100
Search = Callable[[str], list[int]]  # query → rows, best first
Engine = tuple[Search, Callable[[], float]]  # and the seconds that replacing one passage takes


def passages(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield (document id, text) of every passage, the document's title before each."""
    for line in (folder / "corpus.jsonl").open(encoding="utf-8"):
        row = json.loads(line)
        title, found = row.get("title") or "", row["text"].split()
        step = WORDS - OVERLAP
        if len(found) < 20:  # a script without spaces, or a line
            yield from (
                (row["_id"], clean(f"{title}\n{row['text'][at : at + 200]}")) for at in range(0, len(row["text"]), 180)
            )
        else:
            for at in range(0, max(1, len(found) - OVERLAP), step):
                yield row["_id"], clean(f"{title}\n{' '.join(found[at : at + WORDS])}")


def own(texts: list[str], place: Path) -> Engine:
    """Return the program's own index."""
    connection = _open(place / "own.sqlite")
    connection.execute("CREATE TABLE chunks (rowid INTEGER PRIMARY KEY, id TEXT)")
    keywords.create(connection)
    for at in range(0, len(texts), GROUP):
        part = dict(enumerate(texts[at : at + GROUP], at + 1))
        with connection:
            connection.execute("BEGIN")
            keywords.update(connection, {}, part)
            connection.executemany("INSERT INTO chunks VALUES (?, ?)", [(row, str(row)) for row in part])

    def edit() -> float:
        began = time.perf_counter()
        with connection:
            connection.execute("BEGIN")
            keywords.update(connection, {1: texts[0]}, {1: texts[1]})
        spent = time.perf_counter() - began
        keywords.update(connection, {1: texts[1]}, {1: texts[0]})
        return spent

    return lambda query: [int(id_) for id_, _ in keywords.search(connection, query, LIMIT)], edit


def fts5(texts: list[str], place: Path) -> Engine:
    """Return SQLite's index as the program used it."""
    connection = _open(place / "fts5.sqlite")
    connection.execute("CREATE VIRTUAL TABLE k USING fts5(text, tokenize='porter unicode61 remove_diacritics 2')")
    for at in range(0, len(texts), GROUP):
        with connection:
            connection.execute("BEGIN")
            rows = ((row, " ".join(words(text))) for row, text in enumerate(texts[at : at + GROUP], at + 1))
            connection.executemany("INSERT INTO k (rowid, text) VALUES (?, ?)", rows)

    def search(query: str) -> list[int]:
        asked = list(dict.fromkeys(words(clean(query))))
        asked = [word for word in asked if word not in STOP_WORDS] or asked
        match = " OR ".join(f'"{word}"' for word in asked)
        sql = "SELECT rowid FROM k WHERE k MATCH ? ORDER BY rank LIMIT ?"
        return [row for (row,) in connection.execute(sql, (match, LIMIT))]

    def edit() -> float:
        began = time.perf_counter()
        with connection:
            connection.execute("BEGIN")
            connection.execute("UPDATE k SET text = ? WHERE rowid = 1", (" ".join(words(texts[1])),))
        return time.perf_counter() - began

    return search, edit


def tantivy(texts: list[str], place: Path) -> Engine:
    """Return a tantivy index over our terms."""
    import tantivy as library

    builder = library.SchemaBuilder()
    builder.add_unsigned_field("row", stored=True, indexed=True)
    builder.add_text_field("text", tokenizer_name="whitespace", index_option="freq")
    schema = builder.build()
    (place / "tantivy").mkdir()
    index = library.Index(schema, str(place / "tantivy"))
    writer = index.writer(heap_size=200_000_000, num_threads=1)
    held: Counter[str] = Counter()

    def put(row: int, text: str) -> None:
        terms = index_terms(Counter(tokenize(text)))
        held.update(terms.keys() & set(markers()))
        document = library.Document()
        document.add_unsigned("row", row)
        document.add_text("text", " ".join(terms.elements()))
        writer.add_document(document)

    for row, text in enumerate(texts, 1):
        put(row, text)
    writer.commit()
    index.reload()

    def search(query: str) -> list[int]:
        searcher = index.searcher()
        asked = query_terms(clean(query), held)
        parts = [(library.Occur.Should, library.Query.term_query(schema, "text", term, "freq")) for term in asked]
        hits = searcher.search(library.Query.boolean_query(parts), LIMIT, count=False).hits
        return [searcher.doc(address)["row"][0] for _, address in hits]

    def edit() -> float:
        began = time.perf_counter()
        writer.delete_documents_by_term("row", 1)
        put(1, texts[1])
        writer.commit()
        index.reload()
        return time.perf_counter() - began

    return search, edit


def bm25s(texts: list[str], place: Path) -> Engine:
    """Return a bm25s index over our terms, in memory; an edit builds it anew."""
    import bm25s as library

    bags = [index_terms(Counter(tokenize(text))) for text in texts]
    held = Counter(term for bag in bags for term in bag if term in set(markers()))
    model = library.BM25(k1=1.2, b=0.75)

    def build() -> float:
        began = time.perf_counter()
        model.index([list(bag.elements()) for bag in bags], show_progress=False)
        return time.perf_counter() - began

    build()

    def search(query: str) -> list[int]:
        asked = [term for term in query_terms(clean(query), held) if term in model.vocab_dict]
        if not asked:
            return []
        rows, scores = model.retrieve([asked], k=min(LIMIT, len(texts)), show_progress=False)
        return [int(row) + 1 for row, score in zip(rows[0], scores[0], strict=True) if score > 0]

    return search, build


ENGINES: dict[str, Callable[[list[str], Path], Engine]] = {"fts5": fts5, "own": own} | {
    name: engine for name, engine in (("tantivy", tantivy), ("bm25s", bm25s)) if find_spec(name)
}


def quality(folders: list[Path]) -> None:
    """Print each engine's nDCG@10 and its difference to fts5 with the 95 % interval of a paired bootstrap."""
    measure = ir_measures.parse_measure("nDCG@10")
    print("| set | engine | nDCG@10 | difference to fts5 |\n|---|---|---|---|")
    for folder in folders:
        owners, texts = zip(*passages(folder), strict=True)
        relevant: dict[str, dict[str, int]] = {}
        for row in csv.DictReader((folder / "qrels" / "test.tsv").open(), delimiter="\t", quoting=csv.QUOTE_NONE):
            relevant.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
        queries = {id_: text for id_, text in _queries(folder) if id_ in relevant}
        base = np.zeros(0)
        for name, engine in ENGINES.items():
            with tempfile.TemporaryDirectory() as place:
                search, _ = engine(list(texts), Path(place))
                run = {id_: _documents(search(text), owners) for id_, text in queries.items()}
            per_query = {found.query_id: found.value for found in ir_measures.iter_calc([measure], relevant, run)}
            scores = np.array([per_query.get(id_, 0.0) for id_ in queries])
            base = base if len(base) else scores
            draws = np.random.default_rng(0).integers(0, len(scores), (10_000, len(scores)))
            low, high = np.percentile((scores - base)[draws].mean(axis=1), [2.5, 97.5])
            change = f"{(scores - base).mean():+.3f} [{low:+.3f}, {high:+.3f}]"
            print(f"| {folder.name} | {name} | {scores.mean():.3f} | {'' if name == 'fts5' else change} |", flush=True)


def speed(folders: list[Path], sizes: list[int]) -> None:
    """Print milliseconds a query and an edit, seconds to build and megabytes of each engine at each size."""
    asked = [text for folder in folders for _, text in _queries(folder) if 7 <= len(text.split()) <= 14]
    asked = random.Random(1).sample(asked, min(60, len(asked)))
    print("| passages | engine | p50 (ms) | p95 (ms) | edit (ms) | build (s) | MB |\n|---|---|---|---|---|---|---|")
    for size in sizes:
        texts = list(islice(_resampled(folders), size))
        for name, engine in ENGINES.items():
            with tempfile.TemporaryDirectory() as place:
                began = time.perf_counter()
                search, edit = engine(texts, Path(place))
                built = time.perf_counter() - began
                for query in asked[:20]:
                    search(query)
                spent = []
                for query in asked:
                    began = time.perf_counter()
                    search(query)
                    spent.append((time.perf_counter() - began) * 1000)
                bytes_ = sum(path.stat().st_size for path in Path(place).rglob("*") if path.is_file())
                p50, p95 = np.percentile(spent, [50, 95])
                edited = edit() * 1000
            print(
                f"| {size:,} | {name} | {p50:.1f} | {p95:.1f} | {edited:.0f} | {built:.0f} | {bytes_ / 1e6:.0f} |",
                flush=True,
            )


def _resampled(folders: list[Path]) -> Iterator[str]:
    """Yield passages of 120 words whose sentences come from two or three documents of one folder."""
    rng = random.Random(0)
    pools = []
    for folder in folders:
        rows = map(json.loads, (folder / "corpus.jsonl").open(encoding="utf-8"))
        texts = [" ".join(f"{row.get('title') or ''}. {row['text']}".split()) for row in rows]
        pools.append([[text[start:end] for start, end in sentence_spans(text)] for text in texts if len(text) > 20])
    sizes = [sum(map(len, pool)) for pool in pools]
    while True:
        (pool,) = rng.choices(pools, sizes)
        pair, found = [rng.choice(pool), rng.choice(pool)], list[str]()
        while sum(len(sentence.split()) for sentence in found) < 120:
            found.append(rng.choice(pair[rng.random() < 0.4]))
            if rng.random() < 0.15:
                pair[0] = rng.choice(pool)
        yield " ".join(found)


def _queries(folder: Path) -> Iterator[tuple[str, str]]:
    for line in (folder / "queries.jsonl").open(encoding="utf-8"):
        row = json.loads(line)
        yield row["_id"], " ".join(row["text"].split())


def _documents(rows: list[int], owners: tuple[str, ...]) -> dict[str, float]:
    """Return the documents of the ranked passages, each at the rank of its best one."""
    return {owner: 1.0 / rank for rank, owner in enumerate(dict.fromkeys(owners[row - 1] for row in rows), 1)}


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "cache_size=-65536"):  # the catalog's
        connection.execute(f"PRAGMA {pragma}")
    return connection


def main() -> None:
    """Read the arguments and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["quality", "speed"])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--sizes", nargs="+", type=int, default=[3_000, 100_000])
    arguments: Any = parser.parse_args()
    quality(arguments.folders) if arguments.what == "quality" else speed(arguments.folders, arguments.sizes)


if __name__ == "__main__":
    main()
