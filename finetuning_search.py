"""The commands that teach the search: questions come in; weights that find more, and what they gain, go out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from evaluations import leaf
from options import Json
from tables import print_scores
from terminal import print_json, progress


@contextmanager
def steps(as_json: bool) -> Iterator[Callable[[int, int, float], None]]:
    """Yield what shows steps done, in all, and the loss of late as a bar, unless JSON is wanted."""
    with progress("Training", shown=not as_json, unit="steps") as shown:
        yield lambda done, total, loss: shown(done, total, done)


def reranker(
    questions: Annotated[Path, typer.Argument(help='JSON lines {"question", "doc_id", "answers"} about the index.')],
    folder: Annotated[Path, typer.Argument(help="Where the cross-encoder goes; RAG_RERANKER names it then.")],
    layers: Annotated[int, typer.Option(min=1, max=12, help="Layers of the embedder that it keeps.")] = 2,
    minutes: Annotated[float, typer.Option(min=0.1, help="Longest time to train.")] = 30,
    as_json: Json = False,
) -> None:
    """Train a small cross-encoder that re-orders passages."""
    with leaf("training"):
        from training.reranker import train_reranker
    from settings import load_settings

    way: Any = {"layers": layers, "minutes": minutes}
    with steps(as_json) as on_progress:
        report = train_reranker(load_settings(), questions, folder, **way, on_progress=on_progress)
    (print_json if as_json else print_scores)(report)


def embedder(
    questions: Annotated[Path, typer.Argument(help='JSON lines {"question", "doc_id", "answers"} about the index.')],
    folder: Annotated[Path, typer.Argument(help="Where the embedder goes; RAG_EMBEDDER names it then.")],
    layers: Annotated[int, typer.Option(min=0, help="Train the last so many layers; 0: all.")] = 0,
    rank: Annotated[int, typer.Option(min=0, help="Train LoRA of this rank in them, not their weights.")] = 0,
    epochs: Annotated[int, typer.Option(min=1, help="How often each question is seen.")] = 2,
    minutes: Annotated[float, typer.Option(min=0.1, help="Longest time to train.")] = 30,
    as_json: Json = False,
) -> None:
    """Fine-tune the embedder on your own questions; kept only if questions held back gain by it."""
    with leaf("training"):
        from training.embedder import train_embedder
    from settings import load_settings

    way: Any = {"layers": layers, "rank": rank, "epochs": epochs, "minutes": minutes}
    with steps(as_json) as on_progress:
        report = train_embedder(load_settings(), questions, folder, **way, on_progress=on_progress)
    (print_json if as_json else print_scores)(report)


def query_adapter(
    questions: Annotated[Path, typer.Argument(help='JSON lines {"question", "doc_id", "answers"} about the index.')],
    file: Annotated[Path, typer.Argument(help="Where the adapter goes; RAG_QUERY_ADAPTER names it then.")],
    as_json: Json = False,
) -> None:
    """Fit a matrix for the vectors of queries, in seconds; kept only if questions held back gain by it."""
    with leaf("training"):
        from training.query_adapter import train_query_adapter
    from settings import load_settings

    report = train_query_adapter(load_settings(), questions, file)
    (print_json if as_json else print_scores)(report)
