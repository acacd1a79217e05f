"""A BEIR-layout folder comes in; a table of what each part of the search adds, and costs, goes out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.language_models import BaseChatModel

from chat_models import open_model
from evaluation.collection import QRELS, QUERIES, read_collection
from evaluation.retrieval import MEASURES, shown
from evaluation.runs import ingested, percentiles, score_each, search_all
from evaluation.significance import paired_bootstrap
from loaders.sync import Progress
from pipeline import open_index
from settings import Settings

DEPTH = 10  # documents ranked for each query
LIMIT = 40  # passages searched for: enough for ten documents, and fewer than the fewest candidates tried
SHOWN = ("ndcg@10", "mrr@10", "recall@10")
Change = dict[str, Any]


def variants(settings: Settings, *, has_model: bool) -> Iterator[tuple[str, Change]]:
    """Yield (part, changed settings) for each part of the search that can be switched over one index."""
    weight = settings.keyword_weight
    if settings.keyword_weight > 0:
        yield "keyword leg off", {"keyword_weight": 0.0}
    if settings.keyword_weight < 1:
        yield "dense leg off", {"keyword_weight": 1.0}
    for other in (round(weight - 0.15, 2), round(weight + 0.15, 2)):
        if 0 < other < 1:
            yield "weight", {"keyword_weight": other}
    for candidates in (50, 100, 200):
        yield "candidates", {"candidates": candidates}
    yield "re-ranker off", {"reranker": "off"}
    yield "re-ranker light", {"reranker": "light"}
    yield _other("correction", "correct", settings)
    yield _other("decomposition", "decompose", settings)
    if settings.synonyms:
        yield "synonyms off", {"synonyms": ""}
    for kind in ("off", "multi-query", "hyde") if has_model else ():
        yield f"expansion {kind}", {"expand": kind}


def _other(part: str, name: str, settings: Settings) -> tuple[str, Change]:
    value = not getattr(settings, name)
    return f"{part} {'on' if value else 'off'}", {name: value}


def evaluate_ablation(
    settings: Settings,
    folder: Path,
    *,
    queries: str = QUERIES,
    qrels: str = QRELS,
    on_progress: Progress = lambda done, total, chunks: None,
    on_note: Callable[[str], None] = lambda note: None,
) -> dict[str, Any]:
    """Return {"rows", …}: the present settings, then each part switched, over one ingested corpus.

    A row holds the part, the setting, nDCG@10 with its difference to the first row and that one's paired bootstrap
    interval (see paired_bootstrap), MRR@10, recall@10, the median milliseconds and all settings. Expansions are tried
    only where RAG_MODEL or RAG_MODEL_URL names a model of at least a billion weights.
    """
    collection = read_collection(folder, queries=queries, qrels=qrels)
    if collection.notes:
        on_note("; ".join(collection.notes))
    measures = [MEASURES[name] for name in SHOWN]
    rows: list[dict[str, Any]] = []
    baseline = np.zeros(0)
    with (
        ingested(settings, collection.documents, on_progress=on_progress) as corpus,
        open_index(corpus.settings) as index,
        writer(settings) as llm,
    ):
        present = corpus.settings
        for part, change in [("default", {}), *variants(present, has_model=llm is not None)]:
            if rows and not is_change(present, change):
                continue
            tried = present.model_copy(update=change)
            run, milliseconds = search_all(
                tried, index, collection.queries, corpus.label, limit=LIMIT, depth=DEPTH, llm=llm
            )
            scores = score_each(collection.relevant, run, measures)
            ndcg = scores[measures[0]]
            baseline = baseline if rows else ndcg
            rows.append(
                {"part": part, "setting": as_env(change)}
                | {name: round(float(scores[measure].mean()), 4) for name, measure in zip(SHOWN, measures, strict=True)}
                | (difference(ndcg, baseline) if change else {})
                | percentiles(milliseconds)
                | {"settings": shown(tried)}
            )
            on_note(f"{part} ({as_env(change) or 'present settings'}): nDCG@10 {rows[-1]['ndcg@10']:.4f}")
    return {
        "rows": rows,
        "queries": len(collection.queries),
        "documents": len(collection.documents),
        "chunks": corpus.report.chunks,
    }


def is_change(settings: Settings, change: Change) -> bool:
    """Tell whether a change makes the settings others."""
    return any(getattr(settings, name) != value for name, value in change.items())


def as_env(change: Change) -> str:
    """Return changed settings as they stand in .env, with a space between them."""
    values = {name: str(value).lower() if isinstance(value, bool) else value for name, value in change.items()}
    return " ".join(f"RAG_{name.upper()}={value}" for name, value in values.items())


def difference(scores: np.ndarray, baseline: np.ndarray) -> dict[str, Any]:
    """Return the paired bootstrap's result under its names in the report."""
    found = paired_bootstrap(scores, baseline)
    return {
        "difference": round(found.mean, 4),
        "low": round(found.low, 4),
        "high": round(found.high, 4),
        "beyond_noise": found.beyond_noise,
    }


@contextmanager
def writer(settings: Settings) -> Iterator[BaseChatModel | None]:
    """Open the model that writes expansions where a large enough one is set; the packaged one is not."""
    if not settings.model_url and settings.model == Settings.model_fields["model"].default:
        yield None
        return
    with open_model(settings) as model:
        yield None if model.is_small else model.llm
