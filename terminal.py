"""Answers, reports and progress come in; what a person or a program reads on the terminal goes out.

Answers and JSON go to stdout, progress and errors to stderr. Only this file, tables.py and main.py print.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from langchain_core.documents import Document

    from chains.explain import Explanation
    from chains.queries import Turn
    from chains.rag import Answer
    from chains.trace import Trace
    from loaders.sync import SyncReport

out, log = (Console(highlight=False, soft_wrap=True, stderr=stderr) for stderr in (False, True))


def show_answer(
    chain: Any, question: str, history: "Sequence[Turn]", *, quiet: bool = False, trace: "Trace | None" = None
) -> "Answer":
    """Show the draft while it is written, then the checked answer in its place."""
    from rich.live import Live
    from rich.text import Text

    from chains.rag import Answer, stream_answer

    draft = ""
    with (
        Live(console=out, transient=True, refresh_per_second=12)
        if out.is_terminal and not quiet
        else _nothing() as live
    ):
        for piece in stream_answer(chain, question, history, trace):
            if isinstance(piece, Answer):
                answer = piece
            else:
                draft += piece
                if live:
                    live.update(Text(draft, style="dim"))
    if not quiet:
        if answer.queries[0] != answer.question:
            log.print(f"(searched: {answer.queries[0]})", markup=False)
        out.print(answer.answer, markup=False)
        if answer.quoted:
            log.print("(quoted: the model's own words were not all in the passage)" if draft else "(quoted)")
        if answer.dropped:
            log.print(f"({answer.dropped} passages did not fit the model's context; see RAG_CONTEXT_TOKENS)")
    return answer


@contextmanager
def _nothing() -> Iterator[None]:
    yield None


@contextmanager
def progress(title: str, *, shown: bool, unit: str = "chunks") -> Iterator[Any]:
    """Yield an on_progress function that draws a bar with rate and time left on stderr."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    if not (shown and log.is_terminal):
        yield lambda done, total, chunks: None
        return
    with Progress(*columns, console=log, transient=True) as bar:
        task = bar.add_task(title, total=None, rate="")

        def on_progress(done: int, total: int, chunks: int) -> None:
            rate = f"{chunks / (bar.tasks[task].elapsed or 1):.0f} {unit}/s"
            bar.update(task, completed=done, total=total, rate=rate)

        yield on_progress


def read_line() -> str:
    """Return what was typed; /quit at the end of the input."""
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return "/quit"
    except KeyboardInterrupt:  # at the prompt there is no answer to stop
        out.print()
        return ""


def print_sources(answer: "Answer | None") -> None:
    """Print an answer's sources, those that it cites in bold."""
    for source in answer.sources if answer else ():
        cited = "bold" if answer and source.n in answer.cited else "dim"
        out.print(f"\n[{cited}]\\[{source.n}] {escape(place(asdict(source)))}[/{cited}]  {source.score:.3f}")
        out.print(" ".join(source.text.split()), markup=False, style=cited if cited == "dim" else "")
        if source.also_in:
            out.print(f"also in: {', '.join(map(short, source.also_in))}", markup=False, style="dim")


def passage_fields(number: int, passage: "Document") -> dict[str, Any]:
    """Return what is shown of a passage that was found."""
    at = passage.metadata
    return {
        "n": number,
        "source": at["source"],
        "page": at["page"],
        "section": at["section"],
        "line": at["line"],
        "start": at["start"],
        "also_in": at["also_in"],
        "text": passage.page_content,
        "score": round(float(at["score"]), 4),
    }


def print_documents(rows: Sequence[dict[str, Any]]) -> None:
    """Print documents, each with its number of chunks, or passages that were left out."""
    for row in rows:
        if "reason" in row:
            text = " ".join(row["text"].split())
            out.print(f"{place({**row, 'line': None, 'section': ''})}: {row['reason']}: {text[:80]}", markup=False)
        else:
            told = f"{row['chunks']:6}  {short(row['source'])}  {row['failure'] or row['note']}"
            out.print(told.rstrip(), markup=False)


def print_health(report: dict[str, Any]) -> None:
    """Print what `doctor` found, a part after the other."""
    for title, part in report.items():
        if part:
            out.print(f"[bold]{title.replace('_', ' ')}[/bold]")
        for name, value in part.items() if isinstance(part, dict) else enumerate(part, 1):
            out.print(f"  {name}: {value}", markup=False)


def print_passages(passages: Sequence[dict[str, Any]], query: str, searched: str) -> None:
    """Print passages that were found, whole, and what was searched where it is not what was typed."""
    if searched != query:
        log.print(f"(searched: {searched})", markup=False)
    for passage in passages:
        out.print(f"\n[bold]\\[{passage['n']}] {escape(place(passage))}[/bold]  {passage['score']:.3f}")
        out.print(passage["text"], markup=False)


def place(at: dict[str, Any]) -> str:
    """Return where a passage is, as a person would look it up."""
    where = f"page {at['page']}" if at["page"] else f"line {at['line']}" if at["line"] else at["section"]
    return f"{short(at['source'])}, {where}" if where else short(at["source"])


def short(source: str) -> str:
    """Return a path relative to the working directory where it lies below it."""
    path = Path(source)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else source


def print_json(value: Any, explanation: "Explanation | None" = None) -> None:
    """Print a value, or a dataclass, as one JSON object, its explanation within it where there is one."""
    plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    plain = plain | {"explanation": asdict(explanation)} if explanation else plain
    sys.stdout.write(json.dumps(plain, ensure_ascii=False, indent=2) + "\n")


def say(note: str) -> None:
    """Say on stderr what goes on, or what is odd."""
    log.print(note, markup=False)


def print_scores(scores: dict[str, Any]) -> None:
    """Print scores a line each, without the settings that stand beside them in JSON."""
    for name, value in scores.items():
        if name != "settings":
            out.print(f"{name:>14}  {value}", markup=False)


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Print rows as a Markdown table, aligned for the eye too; their keys are its head."""
    texts = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    texts.insert(1, ["-" * width for width in widths])
    for row in texts:
        out.print(f"| {' | '.join(text.ljust(width) for text, width in zip(row, widths, strict=True))} |", markup=False)


def print_ablation(report: dict[str, Any]) -> None:
    """Print the table of parts: what each adds to nDCG@10 against the first row, and what it costs."""
    rows = []
    for row in report["rows"]:
        compared = "difference" in row
        rows.append(
            {"part": row["part"], "setting": row["setting"], "nDCG@10": f"{row['ndcg@10']:.4f}"}
            | {"difference": f"{row['difference']:+.4f}" if compared else ""}
            | {"95 % interval": f"{row['low']:+.4f} … {row['high']:+.4f}" if compared else ""}
            | {"beyond noise": ("yes" if row["beyond_noise"] else "no") if compared else ""}
            | {"MRR@10": f"{row['mrr@10']:.4f}", "recall@10": f"{row['recall@10']:.4f}"}
            | {"ms p50": f"{row['query_ms_p50']:.1f}"}
        )
    print_table(rows)
    out.print(
        f"{report['queries']} queries, {report['documents']} documents, {report['chunks']} chunks; paired bootstrap, "
        "10,000 resamples. Of twenty such intervals about one leaves out zero by chance."
    )


def print_tuning(report: dict[str, Any]) -> None:
    """Print what was tried, what holds on the questions held back, and the lines for .env."""
    rows = [
        {"setting": row["setting"] or "(present)", "nDCG@10": f"{row['ndcg@10']:.4f}"}
        | {"ms p50": f"{row['query_ms_p50']:.1f}", "front": "*" if row["front"] else ""}
        for row in report["tried"]
    ]
    print_table(sorted(rows, key=lambda row: row["nDCG@10"], reverse=True))
    best, top_k, evidence = report["best"], report["top_k"], report["least_evidence"]
    shares = ", ".join(f"{k}: {share:.0%}" for k, share in top_k["hit_rate"].items())
    lines = [
        f"(on {report['train']} questions; *: none is better and as fast, or faster and as good)",
        f"On the {report['validation']} questions held back:",
    ]
    if best["setting"]:
        lines.append(f"{best['setting']}: nDCG@10 {best['present']:.4f} → {best['ndcg@10']:.4f} {_interval(best)}")
    if not (best["beyond_noise"] and best["difference"] > 0):
        lines.append("Nothing beats the present settings beyond noise; more questions make smaller gains visible.")
    lines += [
        f"A right passage is among the first k, by k: {shares}",
        f"RAG_TOP_K={top_k['value']} would do {_interval(top_k)}; each passage more is more for the model to read.",
    ]
    if evidence:
        told = f"{evidence['present']:.0%} → {evidence['rightly_told']:.0%} rightly let through or refused"
        lines.append(f"RAG_LEAST_EVIDENCE={evidence['value']}: {told} {_interval(evidence)}")
    if any("CHUNK_TOKENS" in line for line in report["env"]):
        lines.append("Another size of chunks needs: python main.py ingest")
    lines.append("For .env:" if report["env"] else "Leave .env as it is.")
    out.print("\n".join([*lines, *report["env"]]), markup=False)


def _interval(row: dict[str, Any]) -> str:
    noise = "beyond noise" if row["beyond_noise"] else "within noise"
    return f"({row['difference']:+.4f}, 95 %: {row['low']:+.4f} … {row['high']:+.4f}, {noise})"


def print_report(report: "SyncReport") -> None:
    """Say what an ingestion did, and of each file that is not there, or not whole, why."""
    for verb, problems in (("skipped", report.skipped), ("failed", report.failed), ("in part", report.partial)):
        for problem in problems:
            log.print(f"{verb} {short(problem.source)}: {problem.reason}", markup=False)
    if report.rebuilt:
        log.print("A new index took the old one's place; documents rollback goes back.")
    repeated = report.chunks - report.searched
    out.print(
        f"{report.read} read, {report.unchanged} unchanged, {len(report.removed)} removed, "
        f"{len(report.skipped)} skipped, {len(report.failed)} failed: {report.chunks} chunks"
        f"{f', {repeated} of them repeated elsewhere,' if repeated else ''} in {report.seconds:.1f} s"
    )
