"""Questions with reference answers come in; what the chain of `ask` answers to them, and the scores of that, go out."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from langchain_core.documents import Document

from chains.answers import Answer
from chains.rag import stream_answer
from chains.trace import Trace
from errors import EvaluationError, one_line
from evaluation.answer_metrics import Row, contains, exact_match, f1, rouge_l, summarise, uncited
from evaluation.answer_questions import Case, read_cases, read_paragraphs, sampled
from evaluation.given import chain_over_given
from evaluation.retrieval import shown
from ingestion import ingest
from loaders.sync import Progress
from pipeline import Chain, open_chain, open_index
from settings import Settings

Answerer = Callable[[Case], tuple[Answer, list[str]]]  # a question → its answer and the texts that were read for it


class Reader(Trace):
    """Collect besides the texts of the passages that were found, less those that did not fit the model's context."""

    def __init__(self) -> None:
        """Start the clock, with nothing read."""
        super().__init__()
        self.contexts: list[str] = []

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **rest: Any) -> None:
        """Note what a stage leaves to read."""
        name = self._names.get(run_id, "")
        super().on_chain_end(outputs, run_id=run_id, **rest)
        if name in ("highlight", "fit"):
            passages = outputs if name == "highlight" else outputs["source_documents"]
            self.contexts = [passage.page_content for passage in passages]


def evaluate_answers(
    settings: Settings,
    path: Path,
    *,
    documents: Path | None = None,
    limit: int | None = None,
    given_paragraphs: Path | None = None,
    rows_file: Path | None = None,
    on_progress: Progress = lambda done, total, chunks: None,
    on_note: Callable[[str], None] = lambda note: None,
) -> tuple[dict[str, Any], list[Row]]:
    """Return the scores of the answers to the questions in `path`, and a row for each of them.

    documents: a folder that is asked instead of the index, ingested into a store that is deleted in the end. limit: so
    many of the questions, see `sampled`. given_paragraphs: a file of paragraphs {_id, title, text}, of which each
    question gets the one that its para_id names, instead of a search. rows_file: where the rows are written, as JSON
    lines. Times are in milliseconds, tokens are means over the questions. Raise EvaluationError for a bad row.
    """
    every = read_cases(path, longest=settings.max_question_characters)
    cases = sampled(every, limit)
    with ExitStack() as stack:
        write = stack.enter_context(_writer(rows_file))
        if given_paragraphs:
            paragraphs = read_paragraphs(given_paragraphs, cases, path)
            answer = stack.enter_context(_over_paragraphs(settings, paragraphs))
        else:
            answer = stack.enter_context(_over_index(settings, documents, on_progress, on_note))
        answer(cases[0]._replace(question="warm-up"))
        rows = []
        for case in cases:
            rows.append(_row(case, *answer(case)))
            write(rows[-1])
            on_progress(len(rows), len(cases), len(rows))
    milliseconds = np.percentile([row["milliseconds"] for row in rows], (50, 95))
    tokens = (np.mean([row[f"{kind}_tokens"] for row in rows]) for kind in ("input", "output"))
    return {
        "questions": len(rows),
        "answerable": sum(row["answerable"] for row in rows),
        "refused": sum(row["abstained"] for row in rows),
        "quoted": sum(row["quoted"] for row in rows),
        **summarise(rows),
        **{f"answer_ms_p{p}": round(float(ms), 1) for p, ms in zip((50, 95), milliseconds, strict=True)},
        "tokens": {kind: round(float(mean), 1) for kind, mean in zip(("prompt", "answer"), tokens, strict=True)},
        "sampled_from": len(every),
        "given_paragraphs": given_paragraphs is not None,
        "settings": shown(settings),
    }, rows


def _row(case: Case, answer: Answer, contexts: list[str]) -> Row:
    """Return what is kept of one answer; what compares it to references is None where there are none."""
    text, wanted = uncited(answer.answer), () if answer.abstained else case.answers
    return {
        "id": case.id,
        "question": case.question,
        "type": case.type,
        "answerable": case.answerable,
        "answers": list(case.answers),
        "answer": answer.answer,
        "abstained": answer.abstained,
        "quoted": answer.quoted,
        "sufficiency": answer.sufficiency,
        "exact_match": exact_match(text, wanted) if case.answerable else None,
        "f1": round(f1(text, wanted), 4) if case.answerable else None,
        "rouge_l": round(rouge_l(text, wanted), 4) if case.answerable else None,
        "contains": contains(text, wanted) if case.answerable else None,
        "statements": [asdict(statement) for statement in answer.statements],
        "sources": [asdict(source) for source in answer.sources],
        "cited": list(answer.cited),
        "contexts": contexts,
        "milliseconds": answer.timings["total_ms"],
        "input_tokens": answer.usage.get("input_tokens", 0),
        "output_tokens": answer.usage.get("output_tokens", 0),
    }


@contextmanager
def _over_index(
    settings: Settings, documents: Path | None, on_progress: Progress, on_note: Callable[[str], None]
) -> Iterator[Answerer]:
    """Yield what asks the index, or a scratch one of the folder."""
    with tempfile.TemporaryDirectory(prefix="groundwork-") as directory:
        if documents:
            settings = settings.model_copy(update={"store": Path(directory) / "store"})
            report = ingest(settings, [documents], on_progress=on_progress)
            for problem in (*report.failed, *report.partial):
                on_note(f"{problem.source}: {problem.reason}")
        with open_index(settings) as index, open_chain(settings, index) as chain:
            yield partial(_ask, chain)


@contextmanager
def _over_paragraphs(settings: Settings, paragraphs: dict[str, Document]) -> Iterator[Answerer]:
    """Yield what asks the chain from the highlighter on, each question's paragraph in the place of a search."""
    with chain_over_given(settings) as (chain, give):

        def answer(case: Case) -> tuple[Answer, list[str]]:
            give([paragraphs[case.id]])
            return _ask(chain, case)

        yield answer


def _ask(chain: Chain, case: Case) -> tuple[Answer, list[str]]:
    reader = Reader()
    *_, answer = stream_answer(chain, case.question, case.history, reader)
    assert isinstance(answer, Answer)  # noqa: S101  (what stream_answer promises)
    return answer, reader.contexts


@contextmanager
def _writer(path: Path | None) -> Iterator[Callable[[Row], None]]:
    """Yield what writes a row to the file as soon as it is there, or nowhere."""
    if path is None:
        yield lambda row: None
        return
    try:
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise EvaluationError(path, one_line(error), "name a file in a folder that exists") from None
    with file:

        def write(row: Row) -> None:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            file.flush()

        yield write
