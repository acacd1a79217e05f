"""An index and judged queries come in; their rankings with the time each took, and the scores of these, go out."""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

import numpy as np
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel

from evaluation.collection import Judgements
from ingestion import ingest
from loaders.sync import Progress, SyncReport
from searching import Index, build_finder
from settings import Settings

Run = dict[str, dict[str, float]]  # query id → document id → score
Label = Callable[[str, Document], Iterable[str]]  # query id, passage → the ids of the documents that hold it


@dataclass(frozen=True)
class Ingested:
    """Documents in a temporary store: the settings that open it, file → document id, and the report."""

    settings: Settings
    names: dict[str, str]
    report: SyncReport

    def label(self, query_id: str, passage: Document) -> list[str]:
        """Return the ids of the documents that hold the passage."""
        return [self.names[source] for source in (passage.metadata["source"], *passage.metadata["also_in"])]


@contextmanager
def ingested(
    settings: Settings, documents: Sequence[Mapping[str, str]], *, on_progress: Progress
) -> Iterator[Ingested]:
    """Write each document as a Markdown file and ingest it into a store that is deleted in the end."""
    with tempfile.TemporaryDirectory(prefix="groundwork-") as directory:
        settings = settings.model_copy(update={"store": Path(directory) / "store"})
        folder = Path(directory) / "corpus"
        names = write_files(folder, documents)
        yield Ingested(settings, names, ingest(settings, [folder], on_progress=on_progress))


def write_files(folder: Path, documents: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Write each document under a numbered name; return file → document id."""
    folder.mkdir()
    names = {}
    for number, row in enumerate(documents):
        path = folder / f"{number:07d}.md"
        title = " ".join(row["title"].split())
        path.write_text(f"# {title}\n\n{row['text']}\n" if title else row["text"], encoding="utf-8")
        names[str(path)] = row["_id"]
    return names


def search_all(
    settings: Settings,
    index: Index,
    queries: Mapping[str, str],
    label: Label,
    *,
    limit: int,
    depth: int,
    llm: BaseChatModel | None = None,
) -> tuple[Run, list[float]]:
    """Return each query's best `depth` documents of the best `limit` passages, and the milliseconds that it took.

    A document scores as its best passage. `llm` writes expansions where they are on.
    """
    run: Run = {}
    milliseconds = []
    search = build_finder(settings, index, limit=limit, llm=llm)
    search.invoke({"question": "warm-up", "history": ()})
    for query_id, text in queries.items():
        began = time.perf_counter()
        passages = search.invoke({"question": text, "history": ()})
        milliseconds.append((time.perf_counter() - began) * 1000)
        ranked: dict[str, float] = {}
        for passage in passages:  # best first: a document's first passage is its best
            for document in label(query_id, passage):
                ranked.setdefault(document, passage.metadata["score"])
        run[query_id] = dict(list(ranked.items())[:depth])
    return run, milliseconds


def percentiles(milliseconds: Sequence[float]) -> dict[str, float]:
    """Return the median and the 95th percentile under their names in the report."""
    cuts = quantiles([*milliseconds, *milliseconds], n=20)  # twice: one query alone has no quantiles
    return {"query_ms_p50": round(cuts[9], 2), "query_ms_p95": round(cuts[18], 2)}


def score_each(relevant: Judgements, run: Run, measures: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the queries' scores in the order of `relevant`, by ir-measures' name of the measure."""
    import ir_measures

    row = {query_id: at for at, query_id in enumerate(relevant)}
    parsed = {ir_measures.parse_measure(name): name for name in measures}
    scores = {name: np.zeros(len(row)) for name in measures}  # a query that finds nothing is not among the results
    for found in ir_measures.iter_calc(list(parsed), relevant, run):
        scores[parsed[found.measure]][row[found.query_id]] = found.value
    return scores
