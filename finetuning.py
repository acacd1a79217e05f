"""The commands that teach: questions and answers come in; adapters, weights and their measured gain go out."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from evaluations import leaf
from options import Accumulate, Batch, Checkpointing, Json, Length, Matrices, Optimiser, Precision, Rank
from tables import print_scores
from terminal import print_json, progress, say

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


@finetune_app.command("pairs")
def pairs(
    rows: Annotated[list[Path], typer.Argument(help="What `evaluate answers --rows` wrote, by several settings.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the pairs go.")] = Path("pairs.jsonl"),
    margin: Annotated[float, typer.Option(min=0.01, max=1, help="Points between the two answers of a pair.")] = 0.3,
    references: Annotated[
        bool, typer.Option("--references", help="Take the reference for the better one where no answer is good.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make pairs of a better and a worse answer of what evaluations answered to the same questions."""
    with leaf("training"):
        from training.pairs import open_prompts, pairs_from_rows, read_answers, write_pairs
    from settings import load_settings

    answers = read_answers(rows)
    with open_prompts(load_settings()) as messages:
        made = pairs_from_rows(answers, messages, margin=margin, references=references)
    write_pairs(out, made)
    report = {"rows": len(answers), "prompts": len({pair.prompt for pair in made}), "pairs": len(made)}
    if as_json:
        print_json(report)
    else:
        print_scores(report)
        say(f"written to {out}")


@finetune_app.command("preferences")
def preferences(
    pairs: Annotated[Path, typer.Argument(help='JSON lines {"messages", "chosen", "rejected"}: `finetune pairs`.')],
    folder: Annotated[Path, typer.Argument(help="Where the adapter goes, or the model that scores.")],
    method: Annotated[
        Literal["dpo", "reward", "grpo"],
        typer.Option(help="dpo: by the pairs; reward: a model that scores answers; grpo: by the model's own answers."),
    ] = "dpo",
    base: Annotated[
        str, typer.Option(metavar="FOLDER", help="Weights other than RAG_MODEL's; or hub:OWNER/REPO.")
    ] = "",
    adapter: Annotated[Path | None, typer.Option(help="Go on from this LoRA adapter's folder.")] = None,
    reward: Annotated[Path | None, typer.Option(help="grpo: what `--method reward` wrote. None: rules reward.")] = None,
    rank: Rank = 8,
    targets: Matrices = "q,v",
    batch: Batch = 2,
    length: Length = 1024,
    accumulate: Accumulate = 4,
    checkpointing: Checkpointing = False,
    precision: Precision = "bf16",
    optimiser: Optimiser = "adamw",
    beta: Annotated[float | None, typer.Option(min=0, help="How much it is held to what it was.")] = None,
    rate: Annotated[float | None, typer.Option(min=0, help="Highest learning rate.")] = None,
    epochs: Annotated[float, typer.Option(min=0, help="How often to read the pairs.")] = 1,
    minutes: Annotated[float, typer.Option(min=0, help="Longest time to train.")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn.")] = 0,
    as_json: Json = False,
) -> None:
    """Train a LoRA adapter to prefer better answers, saved if it does so on pairs that were held back."""
    with leaf("training"):
        from training.activations import LINEAR, Run
        from training.preferences import train_preferences
    from settings import load_settings

    named = LINEAR if targets == "all" else tuple(dict.fromkeys(targets.split(",")))
    if unknown := set(named) - set(LINEAR):
        raise typer.BadParameter(f"--targets: there is no {', '.join(sorted(unknown))}, but {','.join(LINEAR)} and all")
    run = Run("lora", rank, named, 0, batch, length, accumulate, checkpointing, precision, optimiser)
    with progress("Training", shown=not as_json, unit="steps") as on_progress:
        report = train_preferences(
            load_settings(),
            pairs,
            folder,
            run=run,
            method=method,
            base=base,
            adapter=adapter,
            reward=reward,
            beta=beta,
            rate=rate,
            epochs=epochs,
            minutes=minutes,
            seed=seed,
            on_progress=lambda done, total, loss: on_progress(done, total, done),
        )
    if as_json:
        print_json(report)
    else:
        print_scores(report)
