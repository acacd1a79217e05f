"""The options that several commands share, as Typer reads them: their types, names and help."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from loaders.filters import Filter

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Sources = Annotated[
    list[str] | None,
    typer.Option("--source", metavar="GLOB", help="Only files with this name or path, such as 'docs/**/*.md'."),
]
Suffixes = Annotated[
    list[str] | None, typer.Option("--suffix", metavar="SUFFIX", help="Only files whose names end so: md.")
]
Since = Annotated[str, typer.Option(metavar="DATE", help="Only files modified on this day or later: 2026-11-25.")]
Until = Annotated[str, typer.Option(metavar="DATE", help="Only files modified on this day or before.")]
Languages = Annotated[
    list[str] | None, typer.Option("--language", metavar="CODE", help="Only documents in this language: de.")
]
Fields = Annotated[
    list[str] | None, typer.Option("--field", metavar="KEY=VALUE", help="Only files whose YAML header says so.")
]
Explain = Annotated[
    bool, typer.Option("--explain", help="Show each passage's rank and score in every stage, and the milliseconds.")
]
Expect = Annotated[
    list[str] | None,
    typer.Option(
        "--expect", metavar="SOURCE[#PAGE]", help="Say where this passage was lost, and what would keep it; explains."
    ),
]
FailBelow = Annotated[
    list[str] | None,
    typer.Option(metavar="METRIC=NUMBER", help="Exit with 1 below it; hallucination_rate, repetition_rate, ms: above."),
]
NoRegression = Annotated[
    Path | None,
    typer.Option(metavar="JSON", help="Exit with 1 where a score is worse than in this file, beyond noise."),
]
# how `plan --train` trains
Train = Annotated[
    Literal["", "full", "lora", "qlora", "ia3", "prefix", "prompt", "p-tuning"],
    typer.Option(metavar="METHOD", help="Plan a training: full, lora, qlora, ia3, prefix, prompt or p-tuning."),
]
Rank = Annotated[int, typer.Option(min=1, max=65536, help="LoRA: its rank.")]
Matrices = Annotated[str, typer.Option("--targets", help="LoRA: q,k,v,o,gate,up,down or all. None: q,v; qlora: all.")]
VirtualTokens = Annotated[int, typer.Option(min=1, max=65536, help="Prefix, prompt, p-tuning: their length.")]
Batch = Annotated[int, typer.Option(min=1, max=1 << 20, help="Training: sequences a pass, on each GPU.")]
Length = Annotated[int, typer.Option(min=2, max=1 << 24, help="Training: tokens of a sequence.")]
Accumulate = Annotated[int, typer.Option(min=1, max=1 << 20, help="Training: passes before an update.")]
Checkpointing = Annotated[bool, typer.Option("--checkpointing", help="Training: keep the layers' inputs alone.")]
Precision = Annotated[
    Literal["fp32", "bf16", "fp16"], typer.Option(help="Training: bf16 and fp16 have fp32 weights for the update.")
]
Optimiser = Annotated[Literal["adamw", "adamw-8bit"], typer.Option(help="Training: moments in 32 or 8 bits.")]
Gpus = Annotated[int, typer.Option(min=0, max=1 << 20, help="Training: how many GPUs. 0: those of --vram, or here.")]
Zero = Annotated[int, typer.Option(min=0, max=3, help="Training: stage of ZeRO; 0: every GPU holds everything.")]
Offload = Annotated[bool, typer.Option("--offload", help="Training: what ZeRO shares lies on the host.")]
Targets = Annotated[
    list[str] | None,
    typer.Argument(help="Files, folders, web pages or sitemaps. None: all that were ever ingested."),
]


def read_filter(*options: Any) -> "Filter | None":
    """Return the filter that the six options name, in the order above; None where there is none."""
    if not any(options):  # what a filter needs takes a second to load
        return None
    from loaders.filters import parse_filter

    return parse_filter(*options)
