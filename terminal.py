"""Answers, reports and progress come in; what a person or a program reads on the terminal goes out.

Answers and JSON go to stdout, progress and errors to stderr. Only this file, tables.py and main.py print.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from chains.sanitising import plain

if TYPE_CHECKING:
    from langchain_core.documents import Document

    from chains.answers import Answer
    from chains.explain import Explanation
    from chains.queries import Turn
    from chains.trace import Trace
    from loaders.sync import SyncReport
    from surveys.coverage import WholeAnswer

out, log = (Console(highlight=False, soft_wrap=True, stderr=stderr) for stderr in (False, True))


def show_answer(
    chain: Any, question: str, history: "Sequence[Turn]", *, quiet: bool = False, trace: "Trace | None" = None
) -> "Answer":
    """Show the draft while it is written, then the checked answer in its place."""
    from rich.live import Live
    from rich.text import Text

    from chains.answers import Answer
    from chains.rag import stream_answer

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
                    live.update(Text(plain(draft), style="dim"))
    if not quiet:
        show_checked(answer)
    return answer


def show_checked(answer: "Answer") -> None:
    """Show an answer without its sources, and on stderr how it came about."""
    if answer.queries[0] != answer.question:
        log.print(f"(searched: {answer.queries[0]})", markup=False)
    if answer.forgotten:
        log.print(f"({answer.forgotten} earlier turns did not fit whole; see RAG_CONTEXT_TOKENS)")
    out.print(answer.answer, markup=False)
    if answer.quoted:
        drafted = bool(answer.finish_reason)
        log.print("(quoted: the model's own words were not all in the passage)" if drafted else "(quoted)")
    elif answer.finish_reason == "length":
        log.print("(cut short: see RAG_MAX_ANSWER_TOKENS)")
    if answer.dropped:
        log.print(f"({answer.dropped} passages did not fit the model's context; see RAG_CONTEXT_TOKENS)")
    if answer.cached:
        log.print("(from the cache: --fresh answers anew)")


def show_reading(chain: Any, asked: Any, *, quiet: bool) -> "WholeAnswer":
    """Show how far the chain has come; return its answer, after Ctrl-C the one from what it had read by then."""
    from chains.trace import Trace

    trace = Trace()
    answer: WholeAnswer | None = None
    with progress("Reading", shown=not quiet, unit="passages") as on_progress:
        try:
            for answer in chain.stream(asked, config={"callbacks": [trace]}):
                read = answer.coverage
                on_progress(read.passages, read.of_passages, read.passages)
        except KeyboardInterrupt:
            if answer is None:
                raise
            log.print("(stopped: this is from what was read so far)")
    assert answer  # noqa: S101  (a chain yields something)
    whole = replace(answer, timings=trace.total(), usage=trace.usage)
    if not quiet:
        out.print(whole.answer, markup=False)
        out.print(f"({whole.coverage.told})", markup=False)
    return whole


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
    """Print an answer's sources: in bold those that it cites, and what of them it cites; of a refusal the nearest."""
    if answer and answer.abstained and answer.sources:
        out.print("\nThe nearest passages:")
    for source in answer.sources if answer else ():
        cited = "bold" if answer and source.n in answer.cited else "dim"
        out.print(f"\n[{cited}]\\[{source.n}] {escape(plain(place(asdict(source))))}[/{cited}]  {source.score:.3f}")
        for text in _cited(answer, source.n) or [source.text]:
            out.print(" ".join(plain(text).split()), markup=False, style=cited if cited == "dim" else "")
        if source.also_in:
            out.print(f"also in: {', '.join(map(short, source.also_in))}", markup=False, style="dim")


def _cited(answer: "Answer | None", n: int) -> list[str]:
    """Return what an answer cites of its source n."""
    statements = answer.statements if answer else ()
    return [*dict.fromkeys(cited.text for each in statements for cited in each.citations if cited.n == n)]


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
            if name != "devices":  # for --json: a sentence says it here
                out.print(f"  {name}: {value}", markup=False)


def print_passages(passages: Sequence[dict[str, Any]], query: str, searched: str) -> None:
    """Print passages that were found, whole, and what was searched where it is not what was typed."""
    if searched != query:
        log.print(f"(searched: {searched})", markup=False)
    for passage in passages:
        out.print(f"\n[bold]\\[{passage['n']}] {escape(place(passage))}[/bold]  {passage['score']:.3f}")
        out.print(plain(passage["text"]), markup=False)


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
