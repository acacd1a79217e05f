"""The commands that measure, tune and train: test sets and questions come in, scores, settings and weights go out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from errors import EvaluationError
from options import Json
from tables import print_ablation, print_judgement, print_scores, print_tuning
from terminal import print_json, progress, say

evaluate_app = typer.Typer(help="Measure the chains on a test set.", no_args_is_help=True)
train_app = typer.Typer(help="Train a part on your own questions.", no_args_is_help=True)


@evaluate_app.command("retrieval")
def evaluate_retrieval(
    folder: Annotated[Path, typer.Argument(help="corpus.jsonl, queries.jsonl and qrels/test.tsv (BEIR layout).")],
    queries: Annotated[str, typer.Option(metavar="FILE", help="File of queries in the folder.")] = "queries.jsonl",
    qrels: Annotated[str, typer.Option(metavar="FILE", help="File of judgements in its qrels/.")] = "test.tsv",
    run_file: Annotated[Path | None, typer.Option(help="Write the ranking as a TREC run.")] = None,
    ablate: Annotated[bool, typer.Option("--ablate", help="A table of what each part of the search adds.")] = False,
    as_json: Json = False,
) -> None:
    """Score retrieval: nDCG, MRR, hit rate, recall, MAP and milliseconds."""
    with _leaf("evaluation"):
        from evaluation import ablation, retrieval
    from settings import load_settings

    if ablate and run_file:
        raise typer.BadParameter("--run-file goes without --ablate")
    with progress("Indexing", shown=not as_json) as on_progress:
        told: Any = {"queries": queries, "qrels": qrels, "on_progress": on_progress, "on_note": say}
        if ablate:
            scores = ablation.evaluate_ablation(load_settings(), folder, **told)
        else:
            scores = retrieval.evaluate_retrieval(load_settings(), folder, run_file=run_file, **told)
    if as_json:
        print_json(scores)
    elif ablate:
        print_ablation(scores)
    else:
        print_scores(scores)


@evaluate_app.command("judge")
def evaluate_judge(
    rows: Annotated[Path | None, typer.Argument(help="What `evaluate answers --rows FILE` wrote.")] = None,
    metrics: Annotated[str, typer.Option(metavar="NAMES", help="Some of them, with commas between.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many rows, and claims.")] = None,
    calibrate: Annotated[
        Path | None, typer.Option(metavar="CLAIMS", help='First, labelled claims {"claim", "evidence", "label"}.')
    ] = None,
    as_json: Json = False,
) -> None:
    """Score answers as ragas does: faithfulness, relevancy, contexts, correctness; RAG_JUDGE names the judge."""
    with _leaf("evaluation"):
        from evaluation import ragas_scores
    from settings import load_settings

    if rows is None and calibrate is None:
        raise typer.BadParameter("give rows to judge, or --calibrate CLAIMS")
    with progress("Judging", shown=not as_json, unit="rows") as on_progress:
        report = ragas_scores.evaluate_rows(
            load_settings(),
            rows,
            metrics=[name.strip() for name in metrics.split(",") if name.strip()],
            limit=limit,
            claims=calibrate,
            on_progress=on_progress,
            on_note=say,
        )
    if as_json:
        print_json(report)
    else:
        print_judgement(report)


@evaluate_app.command("rgb")
def evaluate_rgb(
    records: Annotated[Path, typer.Argument(help='A file of RGB: {"query", "answer", "positive", "negative"} a line.')],
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many records.")] = None,
    as_json: Json = False,
) -> None:
    """Score answers from noisy, useless and false passages: robustness, rejection, integration, counterfactuals."""
    with _leaf("evaluation"):
        from evaluation import rgb
    from settings import load_settings

    with progress("Answering", shown=not as_json, unit="questions") as on_progress:
        scores = rgb.evaluate_rgb(load_settings(), records, limit=limit, on_progress=on_progress)
    if as_json:
        print_json(scores)
    else:
        print_scores(scores)


def tune(
    target: Annotated[Path, typer.Argument(help='JSON lines {"question", "source", "page"} or a BEIR-layout folder.')],
    chunks: Annotated[bool, typer.Option("--chunks", help="Try sizes of chunks too: all is read anew, aside.")] = False,
    minutes: Annotated[float, typer.Option(min=0, help="Longest time to search.")] = 10,
    write: Annotated[bool, typer.Option("--write", help="Add what is better to .env.")] = False,
    as_json: Json = False,
) -> None:
    """Find settings that serve your own questions better, if any do."""
    with _leaf("evaluation"):
        from evaluation import tuning
    from settings import ROOT, load_settings

    with progress("Indexing", shown=not as_json) as on_progress:
        told: Any = {"on_progress": on_progress, "on_note": say}
        report = tuning.tune(load_settings(), target, chunks=chunks, minutes=minutes, **told)
    if as_json:
        print_json(report)
    else:
        print_tuning(report)
    if write and report["env"]:
        tuning.append_env(ROOT / ".env", report["env"])
        say(f"written to {ROOT / '.env'}")


@train_app.command("reranker")
def train_reranker(
    questions: Annotated[Path, typer.Argument(help='JSON lines {"question", "doc_id", "answers"} about the index.')],
    folder: Annotated[Path, typer.Argument(help="Where the cross-encoder goes; RAG_RERANKER names it then.")],
    layers: Annotated[int, typer.Option(min=1, max=12, help="Layers of the embedder that it keeps.")] = 2,
    minutes: Annotated[float, typer.Option(min=0.1, help="Longest time to train.")] = 30,
    as_json: Json = False,
) -> None:
    """Train a small cross-encoder that re-orders passages."""
    with _leaf("training"):
        from training import reranker
    from settings import load_settings

    with progress("Training", shown=not as_json, unit="steps") as on_progress:
        report = reranker.train_reranker(
            load_settings(),
            questions,
            folder,
            layers=layers,
            minutes=minutes,
            on_progress=lambda done, total, loss: on_progress(done, total, done),
        )
    if as_json:
        print_json(report)
    else:
        print_scores(report)


@contextmanager
def _leaf(folder: str) -> Iterator[None]:
    """Say in one line that a folder which may be deleted is missing, where an import inside finds it so."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise EvaluationError(
            folder, f"this part is not installed ({error})", f"restore the folder {folder}/"
        ) from None
