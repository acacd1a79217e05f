"""A question comes in; what every single document tells on it, counted, listed or compared, goes out."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

import numpy as np
from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableLambda

from chains.answers import Statement
from chains.citing import source_of, span_of
from chains.evidence import Sentence
from chains.post_filter import REFUSAL
from chains.reranking import Ranked
from chains.sufficiency import sufficiency
from surveys.coverage import Coverage, WholeAnswer, count_words, read_once
from surveys.faithful import shown_quote
from surveys.whole_questions import Task, read_task
from words import content_words

Located = tuple[Document, Sentence]  # a passage and a sentence of it
Read = Callable[[str], tuple[list[Document], np.ndarray]]  # source → its passages in order, their unit vectors
BATCH = 32  # documents after which the answer so far is given
# Over 200 questions of XQuAD en, each asked of 24 documents, one passage of a document does nearly as well as four, and
# no passage with an answer had less than 0.44 of the fused score, while 91 % of the others had less than HOPELESS.
PASSAGES = 2  # of a document, the best for the question, whose sentences are scored
HOPELESS = 0.2
NEAREST = 4  # documents to name where none holds an answer


@dataclass(frozen=True)
class Finding:
    """What one document tells on one of the topics: its best sentence, if any was looked at, and whether that will do.

    score: how likely the document has an answer, from 0 to 1.
    """

    topic: int
    source: str
    best: Located | None
    score: float
    holds: bool


def build_survey(
    *,
    sources: Sequence[str],
    passages: int,
    read: Read,
    embed: Callable[[str], Sequence[float]],
    keyword: Callable[[str], dict[str, float]],
    keyword_weight: float,
    highlight: Runnable[Ranked, list[Document]],
    lacks: Callable[[str, Sequence[Document]], bool],
) -> Runnable[str, WholeAnswer]:
    """Return a Runnable: a question → the answer from all of `sources`; `stream` yields it after every BATCH of them.

    passages: how many there are in all. embed: a query → its unit vector. keyword: a query → the BM25 score of every
    passage that holds a word of it, by `searched_as`. highlight: passages → the same, their sentences scored. lacks:
    whether passages hold no answer to a question.
    """

    def survey(question: str) -> Iterator[WholeAnswer]:
        task = read_task(question)
        queries = [(np.asarray(embed(topic)), keyword(topic)) for topic in task.topics]
        coverage = Coverage(of_documents=len(sources), of_passages=passages)
        findings: list[Finding] = []
        yield conclude(question, task, findings, coverage)
        for at in range(0, len(sources), BATCH):
            texts = [read(source) for source in sources[at : at + BATCH]]
            for topic, (vector, words) in enumerate(queries):
                chosen = [best_of(*text, vector, words, keyword_weight) for text in texts]
                findings += look(task, topic, chosen, highlight, lacks)
            coverage = _further(coverage, [text[0] for text in texts])
            yield conclude(question, task, findings, coverage)

    return RunnableLambda(survey, name="survey")


def best_of(
    passages: list[Document], vectors: np.ndarray, query: np.ndarray, held: dict[str, float], keyword_weight: float
) -> list[Document]:
    """Return a document's best PASSAGES for a query by cosine and BM25, best first, as copies with their scores."""
    most = max(held.values(), default=0.0) or 1.0
    dense, keyword = vectors @ query, [held.get(passage.metadata["searched_as"], 0.0) for passage in passages]
    fused = (1 - keyword_weight) * dense + keyword_weight * np.array(keyword) / most
    top = {"dense": float(dense.max()), "keyword": max(keyword)}
    found = []
    for at in np.argsort(-fused, kind="stable")[:PASSAGES]:
        scores = {"score": float(fused[at]), "dense": float(dense[at]), "keyword": keyword[at] or None}
        at_ = passages[at].metadata | scores | {"best": top, "also_in": [], "sentences": []}
        found.append(Document(id=passages[at].id, page_content=passages[at].page_content, metadata=at_))
    return found


def look(
    task: Task,
    topic: int,
    chosen: Sequence[list[Document]],
    highlight: Runnable[Ranked, list[Document]],
    lacks: Callable[[str, Sequence[Document]], bool],
) -> list[Finding]:
    """Return what the documents tell, each by its best passages, which get their sentences scored.

    What is to be mentioned has to be there, all its words in one passage; anything else is for `lacks` to decide.
    """
    named = content_words(task.items[topic] if task.items else task.topics[topic] if task.literal else "")
    naming = [[p for p in passages if named <= content_words(p.page_content)] for passages in chosen]
    hopeful = [passages if passages[0].metadata["score"] >= HOPELESS else [] for passages in chosen]
    read = [found if task.literal else near for found, near in zip(naming, hopeful, strict=True)]
    findings = []
    for passages, found, names_it in zip(chosen, read, naming, strict=True):
        best = None
        if found:  # one document at a time: which of its sentences is best does not depend on other documents
            highlight.invoke({"query": task.topics[topic], "passages": found})
            best = _best(found, named)
        holds = bool(found and names_it) and (task.literal or not lacks(task.topics[topic], found))
        score = sufficiency(task.topics[topic], found)
        findings.append(Finding(topic, passages[0].metadata["source"], best, score, holds))
    return findings


def _best(found: Sequence[Document], named: set[str]) -> Located:
    """Return the best sentence with its passage, among those that hold all the words if there are any."""
    every = [(passage, sentence) for passage in found for sentence in passage.metadata["sentences"]]
    naming = [each for each in every if named <= content_words(each[1].text)]
    return max(naming or every, key=lambda each: each[1].score)


def _further(coverage: Coverage, texts: Sequence[list[Document]]) -> Coverage:
    once = (stretch.page_content for text in texts for stretch in read_once(text))
    return replace(
        coverage,
        documents=coverage.documents + len(texts),
        passages=coverage.passages + sum(map(len, texts)),
        words=coverage.words + count_words(once),
    )


def conclude(question: str, task: Task, findings: Sequence[Finding], coverage: Coverage) -> WholeAnswer:
    """Return the answer that what was found so far gives."""
    ranked = sorted(findings, key=lambda finding: -finding.score)
    in_order = findings if task.kind in ("count", "each") else ranked
    shown = [finding for finding in in_order if finding.holds]
    if task.kind == "compare":
        by_topic = ([f for f in shown if f.topic == topic][:1] for topic in range(len(task.topics)))
        shown = [finding for best in by_topic for finding in best]
    near = [finding.best for finding in shown or ranked[:NEAREST] if finding.best]
    sources = tuple(source_of(n, passage, best, best.score) for n, (passage, best) in enumerate(near, 1))
    statements = tuple(_statement(n, *best) for n, best in enumerate(near, 1)) if shown else ()
    return WholeAnswer(
        question=question,
        queries=task.topics,
        answer=_told(task, shown, findings, coverage),
        sources=sources,
        statements=statements,
        cited=tuple(source.n for source in sources) if shown else (),
        sufficiency=round(max((f.score for f in shown), default=0.0), 4),
        abstained=not shown,
        quoted=bool(shown),
        coverage=coverage,
    )


def _told(task: Task, shown: Sequence[Finding], findings: Sequence[Finding], coverage: Coverage) -> str:
    """Return the text: a count, or a line for each document or item, with the numbers of the sources."""
    name = names([finding.source for finding in findings])
    quotes = {(f.topic, f.source): f"{shown_quote(f.best[1].text)} [{n}]" for n, f in enumerate(shown, 1) if f.best}
    if task.kind == "count":
        found = ", ".join(f"{name[f.source]} [{n}]" for n, f in enumerate(shown, 1))
        return f"{len(shown)} of {coverage.documents} documents{': ' * bool(shown)}{found}."
    if not shown:
        return REFUSAL
    if task.kind == "compare":
        best = {finding.topic: finding for finding in shown}
        lines = (
            (item, quotes[topic, best[topic].source] if topic in best else REFUSAL)
            for topic, item in enumerate(task.items)
        )
    else:
        told = findings if task.kind == "each" else shown
        lines = ((name[f.source], quotes.get((f.topic, f.source), "not found")) for f in told)
    return "\n".join(f"{label}: {line}" for label, line in lines)


def names(sources: Sequence[str]) -> dict[str, str]:
    """Return what to call each source: its file name, or all of its path where others are called the same."""
    short = {source: PurePath(source).name for source in sources}
    times = Counter(short.values())
    return {source: name if times[name] == 1 else source for source, name in short.items()}


def _statement(n: int, passage: Document, best: Sentence) -> Statement:
    return Statement(shown_quote(best.text), 1.0, (span_of(n, passage, best).citation(),))
