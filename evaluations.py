"""The commands that measure: test sets and questions come in, scores go out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from errors import EvaluationError
from options import FailBelow, Json, NoRegression
from tables import print_ablation, print_comparison, print_judgement, print_made, print_scores
from terminal import print_json, progress, say

evaluate_app = typer.Typer(help="Measure the chains on a test set.", no_args_is_help=True)


@evaluate_app.command("retrieval")
def evaluate_retrieval(
    folder: Annotated[Path, typer.Argument(help="corpus.jsonl, queries.jsonl and qrels/test.tsv (BEIR layout).")],
    queries: Annotated[str, typer.Option(metavar="FILE", help="File of queries in the folder.")] = "queries.jsonl",
    qrels: Annotated[str, typer.Option(metavar="FILE", help="File of judgements in its qrels/.")] = "test.tsv",
    run_file: Annotated[Path | None, typer.Option(help="Write the ranking as a TREC run.")] = None,
    ablate: Annotated[bool, typer.Option("--ablate", help="A table of what each part of the search adds.")] = False,
    as_json: Json = False,
) -> None:
    """Score retrieval: nDCG, MRR, hit rate, recall, MAP and milliseconds."""
    with leaf("evaluation"):
        from evaluation import ablation, retrieval
    from settings import load_settings

    if ablate and run_file:
        raise typer.BadParameter("--run-file goes without --ablate")
    with progress("Indexing", shown=not as_json) as on_progress:
        told: Any = {"queries": queries, "qrels": qrels, "on_progress": on_progress, "on_note": say}
        if ablate:
            scores = ablation.evaluate_ablation(load_settings(), folder, **told)
        else:
            scores = retrieval.evaluate_retrieval(load_settings(), folder, run_file=run_file, **told)
    if as_json:
        print_json(scores)
    elif ablate:
        print_ablation(scores)
    else:
        print_scores(scores)


@evaluate_app.command("answers")
def evaluate_answers(
    questions: Annotated[Path, typer.Argument(help='JSON lines {"id", "question", "answers", "answerable"}.')],
    documents: Annotated[Path | None, typer.Option(help="Ask this folder, indexed aside, not the index.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="So many of the questions, always the same ones.")] = None,
    given_paragraphs: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Search nothing: give each question its para_id's {_id, title, text}."),
    ] = None,
    rows: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a JSON line for each question.")] = None,
    fail_below: FailBelow = None,
    no_regression: NoRegression = None,
    as_json: Json = False,
) -> None:
    """Score answers: likeness to references, citations, refusals, hallucination, repetition and milliseconds."""
    with leaf("evaluation"):
        from evaluation import answers, comparing
    from settings import load_settings

    if documents and given_paragraphs:
        raise typer.BadParameter("--documents goes without --given-paragraphs")
    bounds = _bounds(fail_below)
    if no_regression:
        comparing.read_scores(no_regression)  # what is wrong with it is told before the work
    with progress("Answering", shown=not as_json, unit="questions") as on_progress:
        scores, found = answers.evaluate_answers(
            load_settings(),
            questions,
            documents=documents,
            limit=limit,
            given_paragraphs=given_paragraphs,
            rows_file=rows,
            on_progress=on_progress,
            on_note=say,
        )
    (print_json if as_json else print_scores)(scores)
    comparing.check_bounds(scores, bounds)
    if no_regression:
        comparing.check_regression(comparing.compare_with(no_regression, scores, found))


@evaluate_app.command("compare")
def evaluate_compare(
    a: Annotated[Path, typer.Argument(help="What an evaluation printed with --json.")],
    b: Annotated[Path | None, typer.Argument(help="The same of another one, which is held against the first.")] = None,
    rows: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="A B", help="Their --rows, where they are not beside them: a.jsonl beside a.json."),
    ] = None,
    fail_below: FailBelow = None,
    no_regression: NoRegression = None,
    as_json: Json = False,
) -> None:
    """Compare two evaluations metric by metric, with intervals where there are rows; hold the last to bounds."""
    with leaf("evaluation"):
        from evaluation import comparing

    bounds = _bounds(fail_below)
    last = comparing.read_scores(b or a)
    if b:
        report = comparing.report(a, b, rows)
        (print_json if as_json else print_comparison)(report)
    else:
        (print_json if as_json else print_scores)(last)
    comparing.check_bounds(last, bounds)
    if no_regression:
        comparing.check_regression(comparing.compare_files(no_regression, b or a))


@evaluate_app.command("judge")
def evaluate_judge(
    rows: Annotated[Path | None, typer.Argument(help="What `evaluate answers --rows FILE` wrote.")] = None,
    metrics: Annotated[str, typer.Option(metavar="NAMES", help="Some of them, with commas between.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many rows, and claims.")] = None,
    calibrate: Annotated[
        Path | None, typer.Option(metavar="CLAIMS", help='First, labelled claims {"claim", "evidence", "label"}.')
    ] = None,
    as_json: Json = False,
) -> None:
    """Score answers as ragas does: faithfulness, relevancy, contexts, correctness; RAG_JUDGE names the judge."""
    with leaf("evaluation"):
        from evaluation import ragas_scores
    from settings import load_settings

    if rows is None and calibrate is None:
        raise typer.BadParameter("give rows to judge, or --calibrate CLAIMS")
    with progress("Judging", shown=not as_json, unit="rows") as on_progress:
        report = ragas_scores.evaluate_rows(
            load_settings(),
            rows,
            metrics=[name.strip() for name in metrics.split(",") if name.strip()],
            limit=limit,
            claims=calibrate,
            on_progress=on_progress,
            on_note=say,
        )
    (print_json if as_json else print_judgement)(report)


@evaluate_app.command("rgb")
def evaluate_rgb(
    records: Annotated[Path, typer.Argument(help='A file of RGB: {"query", "answer", "positive", "negative"} a line.')],
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many records.")] = None,
    as_json: Json = False,
) -> None:
    """Score answers from noisy, useless and false passages: robustness, rejection, integration, counterfactuals."""
    with leaf("evaluation"):
        from evaluation import rgb
    from settings import load_settings

    with progress("Answering", shown=not as_json, unit="questions") as on_progress:
        scores = rgb.evaluate_rgb(load_settings(), records, limit=limit, on_progress=on_progress)
    (print_json if as_json else print_scores)(scores)


@evaluate_app.command("make-questions")
def evaluate_make_questions(
    folder: Annotated[Path, typer.Argument(help="Your documents; they are indexed aside.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the questions go.")] = Path("questions.jsonl"),
    count: Annotated[int, typer.Option(min=6, help="About so many questions.")] = 50,
    as_json: Json = False,
) -> None:
    """Make a test set of your own documents: six types of questions, each with the passage that proves its answer."""
    with leaf("evaluation"):
        from evaluation import question_maker
    from settings import load_settings

    question_maker.check_target(out)
    with progress("Making questions", shown=not as_json, unit="questions") as on_progress:
        told: Any = {"on_progress": on_progress, "on_note": say}
        made = question_maker.make_questions(load_settings(), folder, count=count, **told)
    question_maker.write_questions(out, made["rows"])
    if as_json:
        print_json(made)
    else:
        print_made(made)
        say(f"written to {out}; read them before you trust them: notebooks/03_evaluate.ipynb shows how")


@evaluate_app.command("report")
def evaluate_report(
    rows: Annotated[Path, typer.Argument(help="What `evaluate answers --rows` wrote.")],
    against: Annotated[Path | None, typer.Option(metavar="FILE", help="The same of other settings.")] = None,
    scores: Annotated[Path | None, typer.Option(metavar="FILE", help="What it printed with --json.")] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the page goes.")] = Path("report.html"),
    as_json: Json = False,
) -> None:
    """Write one HTML page on an evaluation of answers: figures, plots and the worst cases with their passages."""
    with leaf("evaluation"):
        from evaluation import comparing, reporting

    told = reporting.write_report(
        reporting.read_rows(rows),
        out,
        against=reporting.read_rows(against) if against else (),
        scores=comparing.read_scores(scores) if scores else None,
        title=rows.stem,
    )
    if as_json:
        print_json(told)
    else:
        print_scores(told["summary"])
        say(f"written to {out}")


def _bounds(given: list[str] | None) -> dict[str, float]:
    """Return the bounds that --fail-below names, by metric."""
    try:
        return {name: float(bound) for name, bound in (each.split("=") for each in given or ())}
    except ValueError:
        raise typer.BadParameter(f"--fail-below wants METRIC=NUMBER, not {', '.join(given or ())}") from None


@contextmanager
def leaf(folder: str) -> Iterator[None]:
    """Say in one line that a folder which may be deleted, or what it needs, is missing, where an import finds it so."""
    try:
        yield
    except ModuleNotFoundError as error:
        ours = (error.name or "").partition(".")[0] == folder
        remedy = f"restore the folder {folder}/" if ours else f'run: pip install -c constraints.txt -e ".[{folder}]"'
        raise EvaluationError(folder, f"this part is not installed ({error})", remedy) from None
