"""The commands that tune and train: questions come in, settings and weights go out."""

from pathlib import Path
from typing import Annotated, Any

import typer

from evaluations import leaf
from options import Json
from tables import print_scores, print_tuning
from terminal import print_json, progress, say

train_app = typer.Typer(help="Train a part on your own questions.", no_args_is_help=True)


def tune(
    target: Annotated[Path, typer.Argument(help='JSON lines {"question", "source", "page"} or a BEIR-layout folder.')],
    chunks: Annotated[bool, typer.Option("--chunks", help="Try sizes of chunks too: all is read anew, aside.")] = False,
    minutes: Annotated[float, typer.Option(min=0, help="Longest time to search.")] = 10,
    write: Annotated[bool, typer.Option("--write", help="Add what is better to .env.")] = False,
    as_json: Json = False,
) -> None:
    """Find settings that serve your own questions better, if any do."""
    with leaf("evaluation"):
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
    with leaf("training"):
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
