"""The commands that teach the chat model: questions, examples or pairs come in; adapters and weights go out."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import experiments
import finetuning_search
from evaluations import leaf
from options import (
    Accumulate,
    Batch,
    Checkpointing,
    Json,
    Length,
    Matrices,
    Offload,
    Optimiser,
    Precision,
    Rank,
    VirtualTokens,
    Zero,
)
from tables import print_exported, print_scores
from terminal import print_json, progress, say

finetune_app = typer.Typer(help="Teach the models your documents.", no_args_is_help=True)
Method = Literal["full", "lora", "qlora", "ia3", "prefix", "prompt", "p-tuning"]
Questions = Annotated[
    Path, typer.Argument(help='JSON lines {"question", "doc_id", "answers", "answerable"}, or examples made of them.')
]
Documents = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Ask these documents, not the index.")]
Refusals = Annotated[float, typer.Option(min=0, max=0.9, help="Share of examples without their documents.")]
Seed = Annotated[int, typer.Option(min=0, help="Of order, first weights and samples.")]


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
        from training.activations import Run
        from training.preferences import train_preferences
    from settings import load_settings

    run = Run(
        "lora",
        rank,
        experiments.matrices(targets, "lora"),
        0,
        batch,
        length,
        accumulate,
        checkpointing,
        precision,
        optimiser,
    )
    with finetuning_search.steps(as_json) as on_progress:
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
            on_progress=on_progress,
        )
    if as_json:
        print_json(report)
    else:
        print_scores(report)


@finetune_app.command()
def examples(
    questions: Questions,
    target: Annotated[Path, typer.Argument(help="JSON lines to write: messages and completion.")],
    documents: Documents = None,
    refusals: Refusals = 0.15,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Write what `finetune sft` would learn from questions, to read, mend and keep."""
    with leaf("training"):
        from training import sft as teaching
        from training.examples import write_examples
    from settings import load_settings

    material = teaching.Material(questions, documents, refusals=refusals)
    with progress("Asking", shown=not as_json, unit="examples") as on_progress:
        made, left_out = teaching.examples_of(load_settings(), material, seed=seed, on_made=on_progress)
    write_examples(made, target)
    kinds = {kind: sum(each.kind == kind for each in made) for kind in ("answer", "refusal")}
    report = {"examples": len(made), **kinds, **left_out, "file": str(target)}
    if as_json:
        print_json(report)
    else:
        print_scores(report)


@finetune_app.command()
def sft(
    questions: Questions,
    folder: Annotated[Path, typer.Argument(help="Where the adapter goes; the same command again resumes.")],
    documents: Documents = None,
    validation: Annotated[Path | None, typer.Option(metavar="FILE", help="Judged by, instead of a tenth.")] = None,
    evaluation: Annotated[Path | None, typer.Option(metavar="FILE", help="Questions that may not be learnt.")] = None,
    general: Annotated[Path | None, typer.Option(metavar="FILE", help="Examples of other things, mixed in.")] = None,
    general_share: Annotated[float, typer.Option(min=0.01, max=0.9, help="Their share of all.")] = 0.1,
    synonyms: Annotated[bool, typer.Option("--synonyms", help="Copies of questions with RAG_SYNONYMS' words.")] = False,
    refusals: Refusals = 0.15,
    base: Annotated[str, typer.Option(help="Weights: a folder or hub:OWNER/REPO. None: RAG_MODEL's.")] = "",
    method: Annotated[Method, typer.Option(help="What is trained.")] = "lora",
    rank: Rank = 16,
    targets: Matrices = "all",
    alpha: Annotated[float, typer.Option(min=0, help="LoRA: its factor times its rank. 0: 2 × rank.")] = 0.0,
    dropout: Annotated[float, typer.Option(min=0, max=0.9, help="LoRA: of its inputs.")] = 0.0,
    virtual_tokens: VirtualTokens = 20,
    batch: Batch = 8,
    length: Length = 1024,
    accumulate: Accumulate = 1,
    packing: Annotated[bool, typer.Option("--packing", help="Examples one behind the other, up to --length.")] = False,
    checkpointing: Checkpointing = False,
    precision: Precision = "fp32",
    optimiser: Optimiser = "adamw",
    zero: Zero = 0,
    offload: Offload = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare batches ahead.")] = 0,
    epochs: Annotated[float, typer.Option(min=0.01, help="Times that each example is seen.")] = 3.0,
    rate: Annotated[float, typer.Option(min=0, help="Highest learning rate. 0: the usual one.")] = 0.0,
    warmup: Annotated[float, typer.Option(min=0, max=1, help="Share of the updates in which it rises.")] = 0.05,
    minutes: Annotated[float, typer.Option(min=0, help="Longest time to train. 0: no limit.")] = 0.0,
    every: Annotated[int, typer.Option(min=1, help="Updates between two checks and checkpoints.")] = 50,
    patience: Annotated[int, typer.Option(min=1, help="Checks without gain after which it stops.")] = 3,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Teach the chat model to answer from your documents as your own answers do."""
    with leaf("training"):
        from training import sft as teaching
        from training.activations import Run
        from training.supervised import Plan
    from settings import load_settings

    given: Any = {"general_share": general_share, "synonyms": synonyms, "refusals": refusals}
    material = teaching.Material(questions, documents, validation, evaluation, general, **given)
    way: Any = {"batch": batch, "length": length, "accumulate": accumulate, "checkpointing": checkpointing}
    way |= {"precision": precision, "optimiser": optimiser, "zero": zero, "offload": offload}
    run = Run(method, rank, experiments.matrices(targets, method), virtual_tokens, **way)
    plan = Plan(epochs, rate, warmup, minutes, patience, every, alpha, dropout, packing, workers, seed)
    with leaf("training"), progress("Asking", shown=not as_json, unit="examples") as on_made:
        told: Any = {"base": base, "on_made": on_made} | ({} if as_json else {"on_progress": _say_loss})
        report = teaching.finetune(load_settings(), material, folder, run, plan, **told)
    if as_json:
        print_json(report)
    else:
        print_scores({name: value for name, value in report.items() if not isinstance(value, dict)})


def _say_loss(done: int, total: int, loss: float, left: float) -> None:
    say(f"{done} of {total} updates, loss {loss:.3f}, {left / 60:.0f} min left")


finetune_app.command()(finetuning_search.reranker)
finetune_app.command()(finetuning_search.embedder)
finetune_app.command("query-adapter")(finetuning_search.query_adapter)
