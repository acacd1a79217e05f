"""An explanation comes in; the table that a person reads of it goes out."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from terminal import out, place

if TYPE_CHECKING:
    from chains.explain import Explanation

SHOWN = ("dense", "keyword", "fuse", "light", "rerank", "diversify")  # stages that give scores, or another order


def print_explanation(explanation: "Explanation | None") -> None:
    """Print the queries, each passage's rank and score in every stage, the milliseconds, and what was lost where."""
    from rich.table import Table
    from rich.text import Text

    if not explanation:
        return
    out.print()
    for query in explanation.queries:
        legs = " and ".join(leg for leg in ("dense", "keyword") if query[leg])
        out.print(f"query: {query['text']} (by {query['made_by']}, weight {query['weight']:g}, {legs})", markup=False)
    rows = [
        (str(p.n), place(asdict(p) | {"source": Path(p.source).name}), p.stages, p.read) for p in explanation.passages
    ]
    rows += [("", e.expected, e.stages, "") for e in explanation.expected if e.stages and e.lost_at]
    stages = [stage for stage in dict.fromkeys(stage for row in rows for stage in row[2]) if stage in SHOWN]
    table = Table("n", "passage", box=None, pad_edge=False)
    for stage in (*stages, *(["read"] if any(row[3] for row in rows) else ())):
        table.add_column(stage, no_wrap=True)
    for n, where, at, read in rows:
        cells = (f"{at[stage].rank}: {at[stage].score:.3f}" if stage in at else "–" for stage in stages)
        table.add_row(n, Text(where), *cells, *([read] if any(row[3] for row in rows) else ()))
    out.print(table, soft_wrap=False)
    times = ", ".join(f"{name.removesuffix('_ms')} {ms:g}" for name, ms in explanation.timings.items())
    out.print(f"milliseconds: {times}", markup=False)
    for each in explanation.expected:
        out.print(f"{each.expected}: {f'lost at {each.lost_at}: ' if each.lost_at else ''}{each.why}", markup=False)
        for remedy in each.remedies:
            out.print(f"  to change: {remedy}", markup=False)
        if each.lost_at and not each.remedies:
            out.print("  no setting that was tried keeps it", markup=False)
