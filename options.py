"""The options that several commands share, as Typer reads them: their types, names and help."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
