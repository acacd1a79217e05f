"""Folders in the BEIR layout come in; what each way of re-ranking gains on the search's own order, and takes, goes out.

    python benchmarks/reranking.py FOLDER… --kinds light,words,neighbours,maxsim [--sample 60]

Kinds: light (the default), its two halves words and neighbours, smoothed (plain smoothing over neighbours), maxsim
(late interaction over the embedder's own token vectors), static (the same over its word vectors: no encoder),
likelihood (of the question, given the passage, by the chat model), or the folder of a cross-encoder. The first 30
passages are put in a new order; a document counts as its best passage; the interval is a paired bootstrap of the
difference in nDCG@10.
"""

import argparse
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.documents import Document

import models
from chains.light_ranking import lift, light_score, word_gains
from chains.queries import Query, normalise
from chains.reranking import Score, cross_encoder, readable
from evaluation.collection import Collection, read_collection
from evaluation.runs import Label, ingested
from pipeline import embedder_folder, open_index
from searching import Index, build_search
from settings import ROOT, Settings, load_settings

READ, DEPTH = 30, 100
SHARE = 0.7  # of MaxSim beside the fused score, both scaled to [0, 1]


@dataclass(frozen=True)
class Case:
    """A judged query, what the search found for it, and the relevance of documents."""

    query: str
    found: list[Document]
    relevant: dict[str, int]


def cases(settings: Settings, collection: Collection, label: Label, index: Index, sample: int) -> Iterator[Case]:
    """Search for every judged query, or for a sample."""
    asked = list(collection.queries.items())
    search = build_search(settings.model_copy(update={"reranker": "off", "merge": False}), index, limit=DEPTH)
    for id_, text in random.Random(0).sample(asked, min(sample or len(asked), len(asked))):
        found = search.invoke([Query(normalise(text))])
        for passage in found:
            passage.metadata["documents"] = list(label(id_, passage))
        yield Case(normalise(text), found, collection.relevant[id_])


def measures(case: Case, passages: Sequence[Document]) -> tuple[float, float]:
    """Return nDCG@10 and MRR@10 of the documents in the order of their best passages."""
    ranked = list(dict.fromkeys(name for passage in passages for name in passage.metadata["documents"]))[:10]
    gains = [max(0, case.relevant.get(name, 0)) for name in ranked]
    best = sorted((gain for gain in case.relevant.values() if gain > 0), reverse=True)[:10]
    discount = 1 / np.log2(np.arange(2, 12))
    ideal = float(np.dot(best, discount[: len(best)]))
    first = next((rank for rank, gain in enumerate(gains, 1) if gain), 0)
    return float(np.dot(gains, discount[: len(gains)])) / ideal if ideal else 0.0, 1 / first if first else 0.0


def fused(passages: Sequence[Document]) -> np.ndarray:
    """Return the search's scores."""
    return np.array([passage.metadata["score"] for passage in passages])


def smoothed(vectors: Callable[[list[str]], np.ndarray]) -> Score:
    """Average each score with those of like passages, better or worse, as Diaz (2005) does."""

    def score(query: str, passages: Sequence[Document]) -> list[float]:
        rows = vectors([str(passage.id) for passage in passages])
        alike = np.clip(rows @ rows.T, 0, 1) ** 4
        return list((alike @ fused(passages)) / alike.sum(axis=1))

    return score


def scaled(values: np.ndarray) -> np.ndarray:
    """Return the values stretched to [0, 1]."""
    spread = values.max() - values.min()
    return (values - values.min()) / spread if spread else np.ones_like(values)


def maxsim(settings: Settings, index: Index, *, static: bool) -> Score:
    """Add SHARE × the weighted mean, over the query's tokens, of the greatest cosine to a token of the passage.

    A token weighs as much as it is rare among the passages read (Khattab and Zaharia 2020, without training).
    """
    encoder: Any = index.embeddings
    table: Any = None
    if static:
        from safetensors import safe_open

        with safe_open(str(embedder_folder(settings) / "model.safetensors"), "np") as file:
            table = file.get_tensor(next(key for key in file.keys() if "word_embeddings" in key))  # noqa: SIM118
        table = table - table.mean(axis=0)

    def tokens(text: str) -> tuple[np.ndarray, np.ndarray]:
        ids = np.array([encoder._tokenizer.encode(text.replace("\n", " ")).ids], dtype=np.int64)
        rows = table[ids[0]] if static else encoder._session.run(None, {"input_ids": ids})[0][0]
        return ids[0][1:-1], (rows / np.linalg.norm(rows, axis=1, keepdims=True))[1:-1]

    def score(query: str, passages: Sequence[Document]) -> list[float]:
        asked, queried = tokens(query)
        held = [tokens(readable(passage)) for passage in passages]
        frequency = np.array([sum(id_ in ids for ids, _ in held) for id_ in asked])
        weights = np.log(1 + len(held) / (1 + frequency))
        found = np.array([(weights * (queried @ rows.T).max(axis=1)).sum() for _, rows in held]) / weights.sum()
        return list(SHARE * scaled(found) + scaled(fused(passages)))

    return score


def likelihood(settings: Settings) -> Score:
    """Add the mean log probability of the question's tokens after the passage (Sachan et al. 2022, UPR)."""
    import llama_cpp

    path = models.locate_weights(settings.model, base=ROOT)
    llama = llama_cpp.Llama(str(path), n_ctx=512, n_batch=512, logits_all=True, verbose=False)

    def one(query: str, text: str) -> float:
        before = llama.tokenize(f"Passage: {text}".encode())[:400]
        before += llama.tokenize(b"\nA question that this passage answers:", add_bos=False)
        after = llama.tokenize(f" {query}".encode(), add_bos=False)[:80]
        llama.reset()
        llama.eval(before + after)
        rows = llama.scores[len(before) - 1 : len(before) + len(after) - 1].astype(np.float64)
        peak = rows.max(axis=1)
        total = peak + np.log(np.exp(rows - peak[:, None]).sum(axis=1))
        return float((rows[np.arange(len(after)), after] - total).mean())

    def score(query: str, passages: Sequence[Document]) -> list[float]:
        found = np.array([one(query, readable(passage)) for passage in passages])
        return list(SHARE * scaled(found) + scaled(fused(passages)))

    return score


def scorer(kind: str, settings: Settings, index: Index) -> Score:
    """Return what the kind's name stands for."""
    vectors = index.store.vectors_of
    if kind == "words":
        return lambda query, found: list(fused(found) + word_gains(query, [p.page_content for p in found]))
    if kind == "neighbours":
        return lambda query, found: list(lift(fused(found), vectors([str(p.id) for p in found])))
    if kind == "light":
        return light_score(vectors)
    if kind == "smoothed":
        return smoothed(vectors)
    if kind in ("maxsim", "static"):
        return maxsim(settings, index, static=kind == "static")
    return likelihood(settings) if kind == "likelihood" else cross_encoder(Path(kind))


def compare(name: str, kind: str, score: Score, judged: list[Case]) -> None:
    """Print one row of the table."""
    rows, milliseconds = [], []
    for case in judged:
        head, tail = case.found[:READ], case.found[READ:]
        began = time.perf_counter()
        scores = score(case.query, head)
        milliseconds.append((time.perf_counter() - began) * 1000)
        order = np.argsort(-np.round(np.asarray(scores, dtype=np.float64), 5), kind="stable")
        rows.append((*measures(case, [*(head[at] for at in order), *tail]), *measures(case, case.found)))
    after, mrr, before, mrr_before = np.array(rows).T
    draws = np.random.default_rng(0).integers(0, len(rows), (5000, len(rows)))
    low, high = np.quantile((after - before)[draws].mean(axis=1), [0.025, 0.975])
    change = f"{(after - before).mean():+.4f} | {low:+.4f} to {high:+.4f}"
    print(
        f"| {name} | {Path(kind).name} | {after.mean():.4f} | {change} | {mrr.mean():.4f} | "
        f"{(mrr - mrr_before).mean():+.4f} | {np.median(milliseconds):.0f} |",
        flush=True,
    )


def main() -> None:
    """Print a table: a row for each folder and kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--kinds", default="light,words,neighbours,smoothed,maxsim,static")
    parser.add_argument("--sample", type=int, default=0)
    options = parser.parse_args()
    print("| set | kind | nDCG@10 | change | 95 % interval | MRR@10 | change | ms, p50 |")
    print("|---" * 8 + "|")
    for folder in options.folders:
        name = f"{folder.parent.name}-{folder.name}" if folder.name == "retrieval" else folder.name
        collection = read_collection(folder)
        with (
            ingested(load_settings(), collection.documents, on_progress=lambda *_: None) as corpus,
            open_index(corpus.settings) as index,
        ):
            judged = list(cases(corpus.settings, collection, corpus.label, index, options.sample))
            for kind in options.kinds.split(","):
                compare(name, kind, scorer(kind, corpus.settings, index), judged)


if __name__ == "__main__":
    main()
