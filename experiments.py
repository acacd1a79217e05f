"""The commands that try things out: questions come in, settings and plans go out."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evaluations import leaf
from options import Json
from tables import print_training, print_tuning
from terminal import print_json, progress, say

if TYPE_CHECKING:
    from inference.gguf_header import Header


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


def plan_training(header: "Header", run: dict[str, Any], sizes: tuple[int, ...], *, as_json: bool) -> None:
    """Say what memory a way to train takes, and, where the sizes of the GPUs are known, whether it fits.

    run: the fields of training.activations.Run; its targets as --targets has them.
    """
    with leaf("training"):
        from training.activations import Run
        from training.memory import plan_memory, read_shape, smaller

    targets = matrices(run["targets"], run["method"])
    if run["offload"] and not run["zero"]:
        raise typer.BadParameter("--offload puts on the host what ZeRO shares: it needs --zero 1, 2 or 3")
    if run["checkpointing"] and run["method"] == "prefix":
        raise typer.BadParameter("--checkpointing does not go with prefix tuning: peft refuses it")
    shape, way = read_shape(header), Run(**run | {"targets": targets})
    memory = plan_memory(shape, way)
    report: dict[str, Any] = {"run": asdict(way), "parameters": shape.parameters, **asdict(memory)}
    if sizes:
        room = min(sizes)
        report |= {"vram_bytes": room, "fits": memory.total_bytes <= room}
        report["would_fit"] = [words for words, other in smaller(way) if plan_memory(shape, other).total_bytes <= room]
    if as_json:
        print_json(report)
    else:
        print_training(report)


def matrices(named: str, method: str) -> tuple[str, ...]:
    """Return the matrices that --targets names; raise BadParameter for one that no layer has."""
    with leaf("training"):
        from training.activations import LINEAR

    named = named or ("all" if method == "qlora" else "q,v")
    targets = LINEAR if named == "all" else tuple(dict.fromkeys(named.split(",")))
    if unknown := set(targets) - set(LINEAR):
        raise typer.BadParameter(f"--targets: there is no {', '.join(sorted(unknown))}, but {','.join(LINEAR)} and all")
    return targets
