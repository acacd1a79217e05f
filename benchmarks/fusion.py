"""Compare ways to fuse the dense and the keyword leg, over the same hits of each.

    python benchmarks/fusion.py FOLDER…

FOLDER is in the BEIR layout; its corpus is ingested into a temporary store. No re-ranker, 100 candidates a leg. Prints
a row a set: nDCG@10 of the default, and the others' difference to it with the 95 % interval of a paired bootstrap.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from chains.queries import Query
from chains.retrieval import Found, Hits, HybridRetriever
from evaluation.collection import read_collection
from evaluation.runs import Run, ingested, score_each
from evaluation.significance import paired_bootstrap
from pipeline import open_index
from settings import load_settings

DEPTH = 10
RANK_CONSTANT = 60  # Cormack, Clarke and Büttcher 2009
Scale = Callable[[np.ndarray], np.ndarray]  # scores of a leg's hits, best first → what they add; a miss adds nothing


def by_rank(scores: np.ndarray) -> np.ndarray:
    """Return the reciprocal ranks."""
    return 1 / (RANK_CONSTANT + 1 + np.arange(len(scores)))


def by_range(scores: np.ndarray) -> np.ndarray:
    """Return the scores scaled to [0, 1] over the hits."""
    spread = scores[0] - scores[-1]
    return (scores - scores[-1]) / spread if spread else np.ones(len(scores))


def by_deviation(scores: np.ndarray) -> np.ndarray:
    """Return the scores in standard deviations above the lowest hit."""
    return (scores - scores[-1]) / (scores.std() or 1)


def by_share(scores: np.ndarray) -> np.ndarray:
    """Return the scores as shares of the best."""
    return np.clip(scores / max(scores[0], 1e-9), 0, None)


SCALES: dict[str, Scale] = {
    "reciprocal rank": by_rank,
    "range": by_range,
    "deviation": by_deviation,
    "share, hits only": by_share,
}


def fused(found: Found, scale: Scale) -> Hits:
    """Return the sum of both legs' scaled scores, best first."""
    total: dict[str, float] = {}
    for hits in (found.dense, found.keyword):
        if hits:
            added = scale(np.array([score for _, score in hits]))
            for (id_, _), more in zip(hits, added, strict=True):
                total[id_] = total.get(id_, 0.0) + float(more)
    return sorted(total.items(), key=lambda hit: (-hit[1], hit[0]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    settings = load_settings()
    print(f"| set | share, all cosines | {' | '.join(SCALES)} |")
    for folder in parser.parse_args().folders:
        collection = read_collection(folder)
        with (
            ingested(settings, collection.documents, on_progress=lambda *_: None) as corpus,
            open_index(corpus.settings) as index,
        ):
            store = index.store
            retriever = HybridRetriever(
                embed=index.embed,
                nearest=store.dense,
                keyword=store.keyword,
                vectors=store.vectors_of,
                fetch=store.chunks,
                limit=2 * settings.candidates,
                candidates=settings.candidates,
                keyword_weight=settings.keyword_weight,
            )
            runs: dict[str, Run] = {name: {} for name in ("default", *SCALES)}
            for id_, text in collection.queries.items():
                (found,) = retriever.legs([Query(text)])
                orders = {"default": [(str(p.id), p.metadata["score"]) for p in retriever.fuse([found])]}
                orders |= {name: fused(found, scale) for name, scale in SCALES.items()}
                for name, hits in orders.items():
                    ranked: dict[str, float] = {}
                    for passage, (_, score) in zip(store.chunks([chunk for chunk, _ in hits]), hits, strict=True):
                        for document in corpus.label(id_, passage):
                            ranked.setdefault(document, score)
                    runs[name][id_] = dict(list(ranked.items())[:DEPTH])
        scores = {name: score_each(collection.relevant, run, ["nDCG@10"])["nDCG@10"] for name, run in runs.items()}
        cells = [f"**{scores['default'].mean():.3f}**"]
        for name in SCALES:
            change = paired_bootstrap(scores[name], scores["default"])
            cells.append(f"{change.mean:+.3f} [{change.low:+.3f}, {change.high:+.3f}]")
        print(
            f"| {folder.parent.name if folder.name == 'retrieval' else folder.name} | {' | '.join(cells)} |", flush=True
        )


if __name__ == "__main__":
    main()
