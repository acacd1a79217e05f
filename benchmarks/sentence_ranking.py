"""Indexes and questions about them come in; what chains/sentence_ranking.py finds, and weights for it, go out.

    python benchmarks/sentence_ranking.py --set STORE qa.jsonl [STORE qa_absent.jsonl] [--set …] [--fit]

Rows of the questions: {question, answers, answerable, doc_id, para_id}; `corpus/` beside the file has the documents,
and a para_id ends in #pN, the N-th block of its document. The second pair: questions without an answer in its index.
Without --fit, the weights that ship are measured; with it, new ones, each document by weights that the others gave,
and then the weights that all give are printed.

A sentence counts as right if it has a reference answer in it. The order of the sentences is fitted as a conditional
logit (McFadden 1974): the likelihood that the sentence taken is a right one of the right paragraph. The scale, the best
cosine and the bias, which move no sentence past another, then make it the probability that the best one is right; only
sets with questions of both kinds teach these.
"""

import argparse
import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from chains.sentence_ranking import WEIGHTS, Candidates, features
from pipeline import open_index
from searching import build_rewriter, build_search
from sentences import sentence_spans
from settings import load_settings

FOLDS, PENALTY = 5, 1.0
ORDER = list(WEIGHTS).index("nearest")  # the columns before it put the sentences of a question in order


class Remembering(Embeddings):
    """Embed each text once: the questions of a set share most of their sentences."""

    def __init__(self, inner: Embeddings) -> None:
        """Take the embedder to ask."""
        self.inner = inner
        self.known: dict[str, list[float]] = {}

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the vectors of the texts."""
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        self.known |= dict(zip(new, self.inner.embed_documents(new), strict=True)) if new else {}
        return [self.known[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a query."""
        return self.inner.embed_query(text)


@dataclass(frozen=True)
class Case:
    """A question's sentences: what is weighed, a row each, which have the answer, and which of these teach."""

    name: str
    document: str
    columns: np.ndarray
    right: np.ndarray
    teaches: np.ndarray


def read(name: str, store: str, questions: Path, is_absent: bool) -> Iterator[Case]:
    """Ask every question of an index; yield its sentences, and those of the right paragraph where there is one."""
    settings = load_settings(store=Path(store).resolve())
    rows = [json.loads(line) for line in questions.read_text(encoding="utf-8").splitlines()]
    with open_index(settings) as index:
        embeddings = Remembering(index.embeddings)
        rewriter, search = build_rewriter(settings, index), build_search(settings, index, limit=settings.top_k)
        for row in rows if is_absent else [row for row in rows if row["answerable"]]:
            queries = rewriter.invoke({"question": row["question"], "history": ()})
            found: list[Document] = search.invoke(queries)
            block = "" if is_absent else paragraph(questions.parent / "corpus", row)
            for kind, texts in (("chain", [p.page_content for p in found]), ("given", [block] if block else [])):
                if any(text.strip() for text in texts):
                    yield case(f"{name} {kind}", row, queries[0].text, texts, block, embeddings)


def paragraph(corpus: Path, row: dict[str, Any]) -> str:
    """Return the paragraph that answers."""
    number = int(row["para_id"].rpartition("#p")[2])
    return re.split(r"\n\s*\n", (corpus / row["doc_id"]).read_text(encoding="utf-8"))[number - 1].strip()


def case(name: str, row: dict[str, Any], query: str, passages: list[str], block: str, embeddings: Embeddings) -> Case:
    """Return a question's case, its sentences being those of the passages."""
    found = [(rank, text[start:end]) for rank, text in enumerate(passages) for start, end in sentence_spans(text)]
    texts = [text for _, text in found]
    vectors, asked = np.array(embeddings.embed_documents(texts)), np.array(embeddings.embed_query(query))
    columns = features(query, Candidates(texts, [rank for rank, _ in found], vectors, asked))
    answers = [answer.casefold().strip(" .") for answer in row["answers"]] if row["answerable"] else []
    right = np.array([any(answer in text.casefold() for answer in answers) for text in texts], bool)
    taught = [here and text[:60] in block for here, text in zip(right, texts, strict=True)]
    return Case(name, row["doc_id"], columns, right, np.array(taught, bool))


def fit_order(cases: Sequence[Case]) -> np.ndarray:
    """Return the weights of the columns that order sentences, by Newton's method."""
    weights = np.zeros(ORDER)
    for _ in range(30):
        slope, curve = -PENALTY * weights, -PENALTY * np.eye(ORDER)
        for each in cases:
            rows, taught = each.columns[:, :ORDER], each.teaches
            if taught.all() or not taught.any():
                continue
            odds = np.exp(rows @ weights - (rows @ weights).max())
            for share, sign in ((odds * taught / (odds @ taught), 1), (odds / odds.sum(), -1)):
                mean = share @ rows
                slope += sign * mean
                curve += sign * ((rows * share[:, None]).T @ rows - np.outer(mean, mean))
        # the likelihood is not concave where several sentences are right: climb by its positive part only
        values, axes = np.linalg.eigh(-curve)
        step = axes @ ((axes.T @ slope) / np.maximum(values, PENALTY))
        weights += step
        if np.abs(step).max() < 1e-4:
            break
    return weights


def calibrate(cases: Sequence[Case], order: np.ndarray) -> np.ndarray:
    """Return scale, weight of the best cosine and bias of the probability that the first sentence is right."""
    rows, right = [], []
    for each in cases:
        scores = each.columns[:, :ORDER] @ order
        rows.append((scores.max(), each.columns[0, ORDER], 1))
        right.append(each.right[np.argmax(scores)])
    table, found = np.array(rows), np.zeros(3)
    for _ in range(50):
        chance = 1 / (1 + np.exp(-table @ found))
        curve = (table * (chance * (1 - chance))[:, None]).T @ table + 1e-6 * np.eye(3)
        found += np.linalg.solve(curve, table.T @ (np.array(right, float) - chance))
    return found


def hits(case: Case, weights: np.ndarray) -> tuple[bool, bool]:
    """Tell whether the best sentence is right, and whether one of the best two is."""
    best = np.argsort(-(case.columns[:, :ORDER] @ weights[:ORDER]), kind="stable")[:2]
    return bool(case.right[best[0]]), bool(case.right[best].any())


def by_folds(cases: Sequence[Case]) -> list[np.ndarray]:
    """Return for each case the weights fitted on the other folds of documents."""
    documents = sorted({each.document for each in cases})
    random.Random(0).shuffle(documents)
    fold = {document: at % FOLDS for at, document in enumerate(documents)}
    fitted = [fit_order([each for each in cases if fold[each.document] != k]) for k in range(FOLDS)]
    return [fitted[fold[each.document]] for each in cases]


def main() -> None:
    """Read the arguments and print the table, and the weights if they are to be fitted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--set", dest="sets", action="append", nargs="+", required=True, metavar="STORE QUESTIONS")
    parser.add_argument("--fit", action="store_true", help="fit new weights")
    options = parser.parse_args()
    cases: list[Case] = []
    both: list[Case] = []
    for number, (store, file, *more) in enumerate(options.sets, 1):
        found = list(read(str(number), store, Path(file), is_absent=False))
        cases += found
        if more:
            both += [each for each in found if each.name.endswith("chain")]
            both += read("absent", more[0], Path(more[1]), is_absent=True)
    shipped = np.array(list(WEIGHTS.values()))
    used = by_folds(cases) if options.fit else [shipped] * len(cases)
    print("| set | questions | words alone | the best | one of the best two |\n|---|---|---|---|---|")
    words = np.eye(len(WEIGHTS))[0]
    for name in dict.fromkeys(each.name for each in cases):
        some = [(each, weights) for each, weights in zip(cases, used, strict=True) if each.name == name]
        alone = np.mean([hits(each, words)[0] for each, _ in some])
        one, two = np.mean([hits(each, weights) for each, weights in some], axis=0)
        print(f"| {name} | {len(some)} | {alone:.1%} | {one:.1%} | {two:.1%} |")
    if options.fit:
        order = fit_order(cases)
        scale, nearest, bias = calibrate(both, order)
        for name, weight in zip([*WEIGHTS, "bias"], [*(scale * order), nearest, bias], strict=True):
            print(f"{name} {weight:.2f}")


if __name__ == "__main__":
    main()
