"""The rows of `evaluate answers --rows` come in; the scores that ragas gives the answers and their contexts go out."""

import inspect
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import fmean
from typing import Any

from langchain_core.embeddings import Embeddings
from ragas.embeddings.base import BaseRagasEmbedding

from errors import EvaluationError
from evaluation.calibration import calibrate, recall, remember
from evaluation.judging import Judge, JudgeFailure, PromptTooLong, open_judge
from evaluation.records import read_records, spread
from evaluation.retrieval import shown
from loaders.sync import Progress
from pipeline import build_embeddings, embedder_identity
from settings import Settings

FIELDS = ("question", "answers", "answerable", "answer", "abstained", "contexts")
REMEDY = "give what `evaluate answers QUESTIONS --rows FILE` wrote"
JUDGED = (
    "faithfulness",
    "answer_relevancy",
    "context_precision",
    "context_recall",
    "factual_correctness",
    "noise_sensitivity",
)
UNJUDGED = ("semantic_similarity", "rouge_l", "exact_match", "string_presence")
# A refusal answers nothing, which these count as 0 unasked; it states nothing either, which the others leave out.
A_REFUSAL_IS_A_MISS = {"answer_relevancy", "factual_correctness", *UNJUDGED}
WITHOUT_CONTEXTS_A_MISS = {"context_precision", "context_recall"}
SHORTEST_CONTEXT = 200  # characters to which a context is cut at most


class OurEmbeddings(BaseRagasEmbedding):
    """Embed for ragas with the embedder of the index, every text as a passage."""

    def __init__(self, embeddings: Embeddings) -> None:
        """Take the embedder."""
        super().__init__()
        self.embeddings = embeddings

    def embed_text(self, text: str, **kwargs: Any) -> list[float]:
        """Return a text's vector."""
        return self.embeddings.embed_documents([text])[0]

    async def aembed_text(self, text: str, **kwargs: Any) -> list[float]:
        """Return the same, in this thread."""
        return self.embed_text(text)


def evaluate_rows(
    settings: Settings,
    path: Path | None,
    *,
    metrics: Sequence[str] = (),
    limit: int | None = None,
    claims: Path | None = None,
    on_progress: Progress = lambda done, total, chunks: None,
    on_note: Callable[[str], None] = lambda note: None,
) -> dict[str, Any]:
    """Return {"rows", "judge", "metrics"} of the rows in a file, one metric after the other.

    metrics: their names; none: all, or without RAG_JUDGE those that need no judge. limit: at most so many rows, and
    claims, spread over the file. claims: a file on which the judge is calibrated first; what came out is kept and
    stands beside its scores in later runs. Of an answer at most MOST_ITEMS statements are judged (bounded_schema.py).
    Raise EvaluationError for a metric or a row that is not as it should be, and
    SettingsError where a judge is needed and RAG_JUDGE names none.
    """
    names = list(metrics) or [*(JUDGED if settings.judge else ()), *UNJUDGED]
    if unknown := [name for name in names if name not in (*JUDGED, *UNJUDGED)]:
        raise EvaluationError(", ".join(unknown), "no such metric", f"there are {', '.join((*JUDGED, *UNJUDGED))}")
    rows = spread(read_records(path, FIELDS, REMEDY), limit) if path else []
    scores, judge = {}, None
    with ExitStack() as stack:
        if claims or (rows and any(name in JUDGED for name in names)):
            judge = stack.enter_context(open_judge(settings))
        if judge and claims:
            on_note(f"calibrating {judge.name}")
            remember(settings.cache, judge, calibrate(judge, claims, limit=limit, on_progress=on_progress))
        if rows:
            embeddings = build_embeddings(settings, embedder_identity(settings))
            for name in names:
                on_note(name)
                scores[name] = score_metric(name, build_metric(name, judge, embeddings), rows, on_progress)
        told = judge and {
            "name": judge.name,
            "weights": judge.weights,
            "smoke_test": judge.is_smoke_test,
            "calibration": recall(settings.cache, judge),
        }
    return {"rows": len(rows), "judge": told, "metrics": scores, "settings": shown(settings)}


def build_metric(name: str, judge: Judge | None, embeddings: Embeddings) -> Any:
    """Return the metric of that name as ragas' metrics.collections has it; those of JUDGED need the judge."""
    from ragas.metrics import collections

    ragas: Any = collections  # its types want a judge where we may have none
    vectors = OurEmbeddings(embeddings)
    match name:
        case "answer_relevancy":  # at temperature 0 the same question would be written three times
            return ragas.AnswerRelevancy(llm=judge, embeddings=vectors, strictness=1)
        case "semantic_similarity":
            return ragas.SemanticSimilarity(embeddings=vectors)
        case "rouge_l":
            return ragas.RougeScore(rouge_type="rougeL")
        case "exact_match":
            return ragas.ExactMatch()
        case "string_presence":
            return ragas.StringPresence()
    kinds = {"faithfulness": ragas.Faithfulness, "context_precision": ragas.ContextPrecision}
    kinds |= {"context_recall": ragas.ContextRecall, "factual_correctness": ragas.FactualCorrectness}
    kinds |= {"noise_sensitivity": ragas.NoiseSensitivity}
    return kinds[name](llm=judge)


def score_metric(
    name: str, metric: Any, rows: Sequence[Mapping[str, Any]], on_progress: Progress = lambda done, total, chunks: None
) -> dict[str, Any]:
    """Return {"mean", "scored", "of", "trimmed", "failures"} of a metric over rows.

    of: the rows to which it applies. scored: those with a score, over which the mean is taken, null if there are none.
    trimmed: those whose contexts did not fit the judge and were cut. failures: reason → rows without a score.
    """
    wanted = [field for field in inspect.signature(metric.ascore).parameters if field != "self"]
    asked = [row for row in rows if _applies(name, wanted, row)]
    scores, failures, trimmed = [], Counter[str](), 0
    for done, row in enumerate(asked, 1):
        try:
            score, was_cut = _score(name, metric, wanted, row)
            trimmed += was_cut
        except JudgeFailure as error:
            failures[str(error)] += 1
        except ValueError as error:  # numpy's, where a server's lists of verdicts differ in length
            failures[f"{type(error).__name__}: {str(error).splitlines()[0]}"] += 1
        else:
            scores.append(score)
        on_progress(done, len(asked), done)
    mean = round(fmean(scores), 4) if scores else None
    return {"mean": mean, "scored": len(scores), "of": len(asked), "trimmed": trimmed, "failures": dict(failures)}


def _applies(name: str, wanted: Sequence[str], row: Mapping[str, Any]) -> bool:
    if row["abstained"] and "response" in wanted and name not in A_REFUSAL_IS_A_MISS:
        return False
    if "retrieved_contexts" in wanted and not (row["contexts"] or name in WITHOUT_CONTEXTS_A_MISS):
        return False
    # where nothing is to be found, a refusal is no miss
    wants_answerable = "reference" in wanted or name in A_REFUSAL_IS_A_MISS
    return bool(row["answerable"] and row["answers"]) or not wants_answerable


def _score(name: str, metric: Any, wanted: Sequence[str], row: Mapping[str, Any]) -> tuple[float, bool]:
    """Return a row's score, and whether its contexts were cut; that of a miss without asking.

    A metric without a judge takes the reference that suits the answer best, as SQuAD's do; a judge gets the first one.
    """
    if (row["abstained"] and name in A_REFUSAL_IS_A_MISS) or ("retrieved_contexts" in wanted and not row["contexts"]):
        return 0.0, False
    said = " ".join(statement["text"] for statement in row.get("statements") or ()) or row["answer"]
    given = {"user_input": row["question"], "response": said, "retrieved_contexts": list(row["contexts"])}
    given = {field: value for field, value in given.items() if field in wanted}
    references = row["answers"] if name in UNJUDGED else row["answers"][:1]
    if "reference" not in wanted:
        return _fitted(metric, given)
    return max(_fitted(metric, {**given, "reference": reference}) for reference in references)


def _fitted(metric: Any, given: dict[str, Any]) -> tuple[float, bool]:
    """Return the score, with the longest context cut by half as often as the judge's context wants it."""
    contexts = given.get("retrieved_contexts", [])
    whole = sum(map(len, contexts))
    while True:
        try:
            score = float(metric.score(**given).value)
        except PromptTooLong:
            longest = max(range(len(contexts)), key=lambda at: len(contexts[at]), default=None)
            if longest is None or len(contexts[longest]) <= SHORTEST_CONTEXT:
                raise
            contexts[longest] = contexts[longest][: max(len(contexts[longest]) // 2, SHORTEST_CONTEXT)]
        else:
            if math.isnan(score):
                raise JudgeFailure("not a number")
            return score, sum(map(len, contexts)) < whole
