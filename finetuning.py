"""The commands that teach: questions and answers come in; adapters, weights and their measured gain go out."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from evaluations import leaf
from options import Json
from tables import print_exported, print_scores
from terminal import print_json, progress

finetune_app = typer.Typer(help="Teach the models your documents.", no_args_is_help=True)


@finetune_app.command("reranker")
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

    with progress("Training", shown=not as_json, unit="steps") as on_progress:
        report = train_reranker(
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


@finetune_app.command("export")
def export(
    folder: Annotated[Path, typer.Argument(help="What a training wrote: an adapter or weights, and training.json.")],
    target: Annotated[Path, typer.Argument(help="The GGUF file to write.")],
    merged: Annotated[bool, typer.Option("--merge", help="Whole weights for RAG_MODEL, not a LoRA adapter.")] = False,
    kind: Annotated[Literal["f16", "f32", "q8_0"], typer.Option("--type", help="Type of its numbers.")] = "f16",
    base: Annotated[str, typer.Option(help="The trained weights in another GGUF file, as RAG_MODEL has it.")] = "",
    as_json: Json = False,
) -> None:
    """Write a finished training as a GGUF file that llama.cpp runs, and print the settings that use it."""
    from settings import load_settings

    if kind == "q8_0" and not merged:
        raise typer.BadParameter("--type q8_0 goes with --merge: a LoRA's rows are shorter than a block")
    with leaf("training"):
        from training.export import export_adapter, locate_base, merge

        report = (merge if merged else export_adapter)(
            folder, target, locate_base(load_settings(), folder, base), kind=kind
        )
    (print_json if as_json else print_exported)(report)
