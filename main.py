"""Ask questions of your own documents on your own machine.

The entry script: the only file that prints or exits. Answers and JSON go to stdout, progress and errors to stderr.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from errors import EvaluationError, RagError

if TYPE_CHECKING:
    from langchain_core.documents import Document

    from chains.query_rewriting import Turn
    from chains.rag import Answer

out, log = (Console(highlight=False, soft_wrap=True, stderr=stderr) for stderr in (False, True))
UsageError: Any = typer.BadParameter.__base__  # Typer 0.29 carries a Click of its own and does not export this
INTERRUPTED = 130  # what Typer returns for Ctrl-C
plain: Any = {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}
app = typer.Typer(help=(__doc__ or "").splitlines()[0], no_args_is_help=True, **plain)
documents_app = typer.Typer(help="List what is indexed, or remove a part of it.", invoke_without_command=True)
evaluate_app = typer.Typer(help="Measure the chains on a test set.", no_args_is_help=True)
app.add_typer(documents_app, name="documents")
app.add_typer(evaluate_app, name="evaluate")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@app.command()
def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files or folders; folders with all that is in them.")],
    rebuild: Annotated[bool, typer.Option(help="Start a new index, as another embedder needs it.")] = False,
    retry_failed: Annotated[bool, typer.Option(help="Read again the files that failed before.")] = False,
    keep_missing: Annotated[
        bool, typer.Option(help="Keep what was indexed of a folder and is no longer there.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring files and folders in the index up to date."""
    import pipeline

    with _progress("Indexing", shown=not as_json) as on_progress:
        report = pipeline.ingest(
            _settings(),
            paths,
            rebuild=rebuild,
            retry_failed=retry_failed,
            keep_missing=keep_missing,
            on_progress=on_progress,
        )
    if as_json:
        _print_json(report)
        return
    for verb, problems in (("skipped", report.skipped), ("failed", report.failed)):
        for problem in problems:
            log.print(f"{verb} {_short(problem.source)}: {problem.reason}", markup=False)
    out.print(
        f"{report.read} read, {report.unchanged} unchanged, {len(report.removed)} removed, "
        f"{len(report.skipped)} skipped, {len(report.failed)} failed: {report.chunks} chunks in {report.seconds:.1f} s"
    )


@app.command()
def ask(question: str, as_json: Json = False) -> None:
    """Answer a question, with numbered sources."""
    import pipeline
    from chains.rag import check_question

    settings = _settings()
    question = check_question(question, settings.max_question_characters)
    with pipeline.open_index(settings) as index, pipeline.open_chain(settings, index) as chain:
        answer = _stream(chain, question, (), quiet=as_json)
    if as_json:
        _print_json(answer)
    else:
        _print_sources(answer)


@app.command()
def chat() -> None:
    """Hold a conversation; /sources, /reset and /quit inside it, Ctrl-C stops an answer."""
    import pipeline
    from chains.rag import check_question

    settings = _settings()
    history: list[Turn] = []
    answer: Answer | None = None
    with pipeline.open_index(settings) as index, pipeline.open_chain(settings, index) as chain:
        out.print("Ask away. /sources, /reset, /quit; Ctrl-C stops an answer.")
        while (line := _read_line()) != "/quit":
            try:
                if line == "/reset":
                    history.clear()
                    answer = None
                elif line == "/sources":
                    _print_sources(answer)
                elif line.startswith("/"):
                    log.print("There are /sources, /reset and /quit.")
                elif line:
                    question = check_question(line, settings.max_question_characters)
                    answer = _stream(
                        chain, question, history[-settings.history_turns :] if settings.history_turns else ()
                    )
                    history.append({"question": question, "answer": answer.answer})
            except KeyboardInterrupt:
                log.print("(stopped)")
            except RagError as error:
                log.print(str(error), markup=False)


@app.command()
def search(
    query: str,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many passages.")] = 10,
    as_json: Json = False,
) -> None:
    """Find passages; no model is asked."""
    import pipeline
    from chains.rag import check_question

    settings = _settings()
    query = check_question(query, settings.max_question_characters)
    with pipeline.open_index(settings) as index:
        passages = [
            _passage(n, p) for n, p in enumerate(pipeline.build_search(settings, index, limit=k).invoke([query]), 1)
        ]
    if as_json:
        _print_json({"query": query, "passages": passages})
        return
    for passage in passages:
        out.print(f"\n[bold]\\[{passage['n']}] {escape(_place(passage))}[/bold]  {passage['score']:.3f}")
        out.print(passage["text"], markup=False)


@documents_app.callback()
def documents(
    context: typer.Context,
    failed: Annotated[bool, typer.Option("--failed", help="Only the files that could not be read.")] = False,
    as_json: Json = False,
) -> None:
    """List what is indexed."""
    if context.invoked_subcommand:
        if failed or as_json:
            raise typer.BadParameter("options of a subcommand stand behind it")
        return
    import pipeline

    with pipeline.open_store_to_read(_settings()) as store:
        counts = store.catalog.chunk_counts()
        rows: list[dict[str, Any]] = [
            {"source": state.source, "chunks": counts.get(state.source, 0), "failure": state.failure}
            for state in store.catalog.sources().values()
            if state.failure or not failed
        ]
    if as_json:
        _print_json({"documents": rows})
        return
    for row in rows:
        out.print(f"{row['chunks']:6}  {_short(row['source'])}  {row['failure']}".rstrip(), markup=False)


@documents_app.command("remove")
def documents_remove(source: str, as_json: Json = False) -> None:
    """Take a file, or all files below a folder, out of the index."""
    import pipeline

    removed = pipeline.remove(_settings(), Path(source))
    if as_json:
        _print_json({"removed": removed})
    else:
        out.print("\n".join(f"removed {_short(name)}" for name in removed), markup=False)


@evaluate_app.command("retrieval")
def evaluate_retrieval(
    folder: Annotated[Path, typer.Argument(help="corpus.jsonl, queries.jsonl and qrels/test.tsv (BEIR layout).")],
    run_file: Annotated[Path | None, typer.Option(help="Write the ranking as a TREC run.")] = None,
    as_json: Json = False,
) -> None:
    """Score retrieval: nDCG, MRR, hit rate, recall, MAP and milliseconds."""
    try:
        from evaluation import retrieval
    except ModuleNotFoundError as error:
        raise EvaluationError(
            "evaluation", f"this part is not installed ({error})", "restore the folder evaluation/"
        ) from None
    with _progress("Indexing", shown=not as_json) as on_progress:
        scores = retrieval.evaluate_retrieval(_settings(), folder, run_file=run_file, on_progress=on_progress)
    if as_json:
        _print_json(scores)
        return
    for name, value in scores.items():
        if name != "settings":
            out.print(f"{name:>14}  {value}")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what is installed, what is healthy, and what to do about the rest."""
    import health

    report = health.examine(_settings())
    if as_json:
        _print_json(report)
        raise typer.Exit(bool(report["problems"]))
    for title, part in report.items():
        if not part:
            continue
        out.print(f"[bold]{title.replace('_', ' ')}[/bold]")
        for name, value in part.items() if isinstance(part, dict) else enumerate(part, 1):
            out.print(f"  {name}: {value}", markup=False)
    raise typer.Exit(bool(report["problems"]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, or 1 after one line on stderr that says what was wrong and what to do."""
    try:
        status = app(args=arguments, prog_name="main.py", standalone_mode=False)
    except UsageError as error:
        log.print(f"{error.format_message()} (main.py --help shows how)", markup=False)
    except RagError as error:
        log.print(str(error), markup=False)
    else:
        if status == INTERRUPTED:
            log.print("Stopped. What was indexed is kept; a rebuild that was not finished changes nothing.")
        return 1 if status else 0
    return 1


def _settings() -> Any:
    from settings import load_settings

    return load_settings()


def _stream(chain: Any, question: str, history: "Sequence[Turn]", *, quiet: bool = False) -> "Answer":
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
        for piece in stream_answer(chain, question, history):
            if isinstance(piece, Answer):
                answer = piece
            else:
                draft += piece
                if live:
                    live.update(Text(draft, style="dim"))
    if not quiet:
        if len(answer.queries) > 1:
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
def _progress(title: str, *, shown: bool) -> Iterator[Any]:
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
            rate = f"{chunks / (bar.tasks[task].elapsed or 1):.0f} chunks/s"
            bar.update(task, completed=done, total=total, rate=rate)

        yield on_progress


def _read_line() -> str:
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return "/quit"
    except KeyboardInterrupt:  # at the prompt there is no answer to stop
        out.print()
        return ""


def _print_sources(answer: "Answer | None") -> None:
    for source in answer.sources if answer else ():
        cited = "bold" if answer and source.n in answer.cited else "dim"
        out.print(f"\n[{cited}]\\[{source.n}] {escape(_place(asdict(source)))}[/{cited}]  {source.score:.3f}")
        out.print(" ".join(source.text.split()), markup=False, style=cited if cited == "dim" else "")


def _passage(number: int, passage: "Document") -> dict[str, Any]:
    at = passage.metadata
    return {
        "n": number,
        "source": at["source"],
        "page": at["page"],
        "section": at["section"],
        "line": at["line"],
        "start": at["start"],
        "text": passage.page_content,
        "score": round(float(at["score"]), 4),
    }


def _place(at: dict[str, Any]) -> str:
    """Return where a passage is, as a person would look it up."""
    where = f"page {at['page']}" if at["page"] else f"line {at['line']}" if at["line"] else at["section"]
    return f"{_short(at['source'])}, {where}" if where else _short(at["source"])


def _short(source: str) -> str:
    """Return a path relative to the working directory where it lies below it."""
    path = Path(source)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else source


def _print_json(value: Any) -> None:
    plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    sys.stdout.write(json.dumps(plain, ensure_ascii=False, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
