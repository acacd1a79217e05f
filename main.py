"""Ask questions of your own documents on your own machine.

The entry script: the commands, and the only file that exits.
"""

import startup  # noqa: F401, I001  (first: it puts off what a command does not need)

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

import capacity
import evaluations
import experiments
import finetuning
import whole
from errors import RagError
from options import Expect, Explain, Fields, Json, Languages, Since, Sources, Suffixes, Targets, Until, read_filter
from tables import print_explanation
from terminal import (
    log,
    out,
    passage_fields,
    print_documents,
    print_health,
    print_json,
    print_passages,
    print_report,
    print_sources,
    progress,
    read_line,
    say,
    short,
    show_answer,
    show_checked,
)

if TYPE_CHECKING:
    from chains.answers import Answer
    from chains.queries import Turn

UsageError: Any = typer.BadParameter.__base__  # Typer 0.29 carries a Click of its own and does not export this
INTERRUPTED = 130  # what Typer returns for Ctrl-C
plain: Any = {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}
app = typer.Typer(help=(__doc__ or "").splitlines()[0], no_args_is_help=True, **plain)
documents_app = typer.Typer(help="List what is indexed, or remove a part of it.", invoke_without_command=True)
index_app = typer.Typer(help="Mend the index.", no_args_is_help=True)
app.add_typer(documents_app, name="documents")
app.add_typer(index_app, name="index")
app.add_typer(evaluations.evaluate_app, name="evaluate")
app.add_typer(finetuning.finetune_app, name="finetune")
app.add_typer(capacity.models_app, name="models")


@app.command()
def ingest(
    targets: Targets = None,
    rebuild: Annotated[bool, typer.Option(help="Build a new index beside the one in use, then switch to it.")] = False,
    retry_failed: Annotated[bool, typer.Option(help="Read again the files that failed before.")] = False,
    keep_missing: Annotated[
        bool, typer.Option(help="Keep what was indexed of a folder and is no longer there.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring files, folders and web pages in the index up to date."""
    import ingestion

    with progress("Indexing", shown=not as_json) as on_progress:
        report = ingestion.ingest(
            _settings(),
            targets or (),
            rebuild=rebuild,
            retry_failed=retry_failed,
            keep_missing=keep_missing,
            on_progress=on_progress,
        )
    if as_json:
        print_json(report)
    else:
        print_report(report)


@app.command()
def watch(targets: Targets = None) -> None:
    """Keep files and folders in the index up to date until Ctrl-C."""
    import ingestion

    for report in ingestion.follow(_settings(), targets or ()):
        if isinstance(report, RagError):
            log.print(str(report), markup=False)
        else:
            print_report(report)


@app.command()
def ask(
    question: str,
    source: Sources = None,
    suffix: Suffixes = None,
    since: Since = "",
    until: Until = "",
    language: Languages = None,
    field: Fields = None,
    explain: Explain = False,
    expect: Expect = None,
    every: Annotated[bool, typer.Option("--all", help="Read every document, to count, list or compare them.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Answer anew, whatever was answered before.")] = False,
    as_json: Json = False,
) -> None:
    """Answer a question, with numbered sources."""
    import remembering
    from chains.queries import check_question

    settings, where = _settings(), read_filter(source, suffix, since, until, language, field)
    question = check_question(question, settings.max_question_characters)
    if every:
        if explain or expect:
            raise typer.BadParameter("--all reads every document: there is no ranking to explain")
        whole.ask_all(settings, question, where, as_json=as_json)
        return
    if not as_json:
        whole.tell_of_all(question)
    key, explanation = remembering.key_of(settings, question, (), where), None
    answer = None if fresh or explain or expect else remembering.recall(settings, key)
    if answer is None:
        told = list(expect or ()) if explain or expect else None
        answer, explanation = _answer(settings, question, where, key, told, quiet=as_json)
    elif not as_json:
        show_checked(answer)
    if as_json:
        print_json(answer, explanation)
    else:
        print_sources(answer)
        print_explanation(explanation)


def _answer(settings: Any, question: str, where: Any, key: str, expect: list[str] | None, *, quiet: bool) -> Any:
    """Return what the whole chain answers, which is remembered, and with `expect` the explanation of its search."""
    import explaining
    import pipeline
    import remembering
    from remedies import Asked

    with pipeline.open_index(settings) as index, pipeline.open_chain(settings, index, where) as chain:
        asked = Asked(settings, index, settings.top_k, where)
        seen = explaining.start(asked, expect is not None)
        answer = show_answer(chain, question, (), quiet=quiet, trace=seen)
        remembering.remember(index.store.directory, key, answer)
        return answer, None if expect is None else explaining.explain(asked, seen, expect)


@app.command()
def chat(
    source: Sources = None,
    suffix: Suffixes = None,
    since: Since = "",
    until: Until = "",
    language: Languages = None,
    field: Fields = None,
) -> None:
    """Hold a conversation; /sources, /reset and /quit inside it, Ctrl-C stops an answer."""
    import pipeline
    import remembering
    from chains.queries import check_question

    settings, where = _settings(), read_filter(source, suffix, since, until, language, field)
    history: list[Turn] = []
    answer: Answer | None = None
    with pipeline.open_index(settings) as index, pipeline.open_chain(settings, index, where) as chain:
        out.print("Ask away. /sources, /reset, /quit; Ctrl-C stops an answer.")
        while (line := read_line()) != "/quit":
            try:
                if line == "/reset":
                    history.clear()
                    answer = None
                elif line == "/sources":
                    print_sources(answer)
                elif line.startswith("/"):
                    log.print("There are /sources, /reset and /quit.")
                elif line:
                    question = check_question(line, settings.max_question_characters)
                    turns = history[-settings.history_turns :] if settings.history_turns else []
                    key = remembering.key_of(settings, question, turns, where)
                    if answer := remembering.recall(settings, key):
                        show_checked(answer)
                    else:
                        answer = show_answer(chain, question, turns)
                        remembering.remember(index.store.directory, key, answer)
                    history.append({"question": question, "answer": answer.answer})
            except KeyboardInterrupt:
                log.print("(stopped)")
            except RagError as error:
                log.print(str(error), markup=False)


@app.command()
def search(
    query: str,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many chunks; neighbours are joined.")] = 10,
    source: Sources = None,
    suffix: Suffixes = None,
    since: Since = "",
    until: Until = "",
    language: Languages = None,
    field: Fields = None,
    explain: Explain = False,
    expect: Expect = None,
    as_json: Json = False,
) -> None:
    """Find passages; no model is asked."""
    import explaining
    import pipeline
    import searching
    from chains.queries import check_question
    from remedies import Asked

    settings, where = _settings(), read_filter(source, suffix, since, until, language, field)
    query = check_question(query, settings.max_question_characters)
    with pipeline.open_index(settings) as index:
        finder = searching.build_finder(settings, index, limit=k, where=where)
        asked = Asked(settings, index, k, where, by_option=True)
        seen = explaining.start(asked, explain or bool(expect))
        found = finder.invoke({"question": query, "history": []}, config={"callbacks": [seen]})
        explanation = explaining.explain(asked, seen, expect or ()) if explain or expect else None
    passages = [passage_fields(n, p) for n, p in enumerate(found, 1)]
    if as_json:
        print_json({"query": query, "passages": passages}, explanation)
    else:
        print_passages(passages, query, seen.found[0].query.text)
        print_explanation(explanation)


app.command()(whole.summarise)


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen at; one beyond loopback needs RAG_SERVER_KEY.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
) -> None:
    """Answer several people over HTTP until Ctrl-C, and OpenAI clients too."""
    with evaluations.leaf("serving"):
        from serving import server
    server.serve(_settings(), host, port, on_note=say)


@documents_app.callback()
def documents(
    context: typer.Context,
    failed: Annotated[bool, typer.Option("--failed", help="Only the files that could not be read.")] = False,
    dropped: Annotated[bool, typer.Option("--dropped", help="The passages that were left out, and why.")] = False,
    as_json: Json = False,
) -> None:
    """List what is indexed."""
    if context.invoked_subcommand:
        if failed or dropped or as_json:
            raise typer.BadParameter("options of a subcommand stand behind it")
        return
    import pipeline

    with pipeline.open_store_to_read(_settings()) as store:
        if dropped:
            rows = [{"source": source, **drop._asdict()} for source, drop in store.catalog.drops()]
        else:
            counts = store.catalog.chunk_counts()
            rows = [
                {"source": s.source, "chunks": counts.get(s.source, (0, 0))[0], "failure": s.failure, "note": s.note}
                for s in store.catalog.sources().values()
                if not s.skipped and (s.failure or not failed)
            ]
    if as_json:
        print_json({"dropped" if dropped else "documents": rows})
    else:
        print_documents(rows)


@documents_app.command("remove")
def documents_remove(source: str, as_json: Json = False) -> None:
    """Take a file, all files below a folder, or a web page out of the index, for good."""
    import ingestion

    removed = ingestion.remove(_settings(), source)
    if as_json:
        print_json({"removed": removed})
    else:
        out.print("\n".join(f"removed {short(name)}" for name in removed), markup=False)


@documents_app.command("rollback")
def documents_rollback(as_json: Json = False) -> None:
    """Go back to the index that was in use before the last rebuild."""
    import ingestion

    name = ingestion.roll_back(_settings())
    if as_json:
        print_json({"generation": name})
    else:
        out.print(f"back to generation {name}; set the settings back too, or the next ingest builds a new one")


@index_app.command("rebuild")
def index_rebuild(as_json: Json = False) -> None:
    """Make the vector and the keyword index anew from the catalog, embedding nothing."""
    import ingestion

    chunks = ingestion.rebuild_index(_settings())
    if as_json:
        print_json({"chunks": chunks})
    else:
        out.print(f"{chunks} chunks")


app.command()(experiments.tune)
app.command()(capacity.plan)


@app.command()
def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what is damaged in the index.")] = False,
    as_json: Json = False,
) -> None:
    """Say what is installed, what is healthy, and what to do about the rest."""
    import health

    report = health.examine(_settings(), repair=repair)
    if as_json:
        print_json(report)
        raise typer.Exit(bool(report["problems"]))
    print_health(report)
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
            log.print("Stopped. What was indexed or fetched is kept; a rebuild that was not finished changes nothing.")
        return 1 if status else 0
    return 1


def _settings() -> Any:
    from settings import load_settings

    return load_settings()


if __name__ == "__main__":
    sys.exit(main())
