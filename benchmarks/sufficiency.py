"""Fit the probability that passages hold an answer, cross-validated by document, and measure it.

    python benchmarks/sufficiency.py FOLDER…

FOLDER holds corpus/ and qa.jsonl, rows {question, doc_id, answerable}; several folders may be one set of documents in
several languages. A quarter of the documents stays out of the index at a time: their questions have no answer then, and
those of the next quarter have one. Prints the weights for chains/sufficiency.py, with what they reach on documents that
they were not fitted on. A fifth of the questions counts as unanswerable, and each folder as much as another.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import ingestion
import pipeline
from chains.sufficiency import Signals, signals
from searching import build_evidence, build_rewriter
from settings import Settings, load_settings

PARTS = 4  # of the documents, one of which is left out
FOLDS = 8
UNANSWERABLE = 0.2125  # as 130 of 612
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)


class Remembering(Embeddings):
    """Embed each text once: the same sentences are read for many questions."""

    def __init__(self, embeddings: Embeddings) -> None:
        """Remember nothing yet."""
        self.embeddings, self.known = embeddings, dict[str, list[float]]()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the vectors of passages."""
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        self.known |= dict(zip(new, self.embeddings.embed_documents(new), strict=True)) if new else {}
        return [self.known[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a query."""
        return self.embeddings.embed_query(text)


def cases(settings: Settings, folder: Path) -> Iterator[tuple[str, bool, Signals]]:
    """Yield the document of each question, whether the index has its answer, and the signals of what is found."""
    rows: list[dict[str, Any]] = [json.loads(line) for line in (folder / "qa.jsonl").read_text().splitlines()]
    files = sorted((folder / "corpus").iterdir())
    part = {file.name: number % PARTS for number, file in enumerate(files)}
    remembering: Remembering | None = None
    for out in range(PARTS):
        with tempfile.TemporaryDirectory() as scratch:
            for file in files:
                if part[file.name] != out:
                    shutil.copy(file, scratch)
            ingestion.ingest(settings, [Path(scratch)])
            with pipeline.open_index(settings) as index:
                remembering = remembering or Remembering(index.embeddings)
                index = replace(index, embeddings=remembering)
                rewriter, search = build_rewriter(settings, index), build_evidence(settings, index)
                for row in rows:
                    if row["answerable"] and (part[row["doc_id"]] - out) % PARTS < 2:
                        queries = rewriter.invoke({"question": row["question"], "history": ()})
                        if passages := search.invoke(queries):
                            yield row["doc_id"], part[row["doc_id"]] != out, signals(queries[0].text, passages)
            ingestion.remove(settings, scratch)  # vectors are kept, and used again in the next round


def balanced(answerable: np.ndarray, folders: np.ndarray) -> np.ndarray:
    """Return weights by which a fifth of each folder's questions is unanswerable and all folders weigh the same."""
    weights = np.zeros(len(answerable))
    for folder in set(folders):
        for kind, share in ((False, UNANSWERABLE), (True, 1 - UNANSWERABLE)):
            those = (folders == folder) & (answerable == kind)
            weights[those] = share / those.sum()
    return weights * len(weights) / weights.sum()


def fit(vectors: np.ndarray, answerable: np.ndarray, weights: np.ndarray, documents: np.ndarray) -> np.ndarray:
    """Print the weights of a logistic model; return the probabilities of the documents it was not fitted on."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    parameters = {"logisticregression__sample_weight": weights}
    probabilities = cross_val_predict(
        model, vectors, answerable, groups=documents, cv=GroupKFold(FOLDS), method="predict_proba", params=parameters
    )[:, 1]
    scaler, logistic = model.fit(vectors, answerable, **parameters)
    slopes = logistic.coef_[0] / scaler.scale_
    constant = logistic.intercept_[0] - slopes @ scaler.mean_
    print(tuple(round(float(weight), 3) for weight in (constant, *slopes)), "\n")
    return np.asarray(probabilities)


def tell(probabilities: np.ndarray, answerable: np.ndarray, weights: np.ndarray, folders: np.ndarray) -> None:
    """Print precision and recall of refusals by threshold, the area under the curve, and a table of reliability."""
    print(f"| folder | AUC | {' | '.join(f'{least}: precision, recall' for least in THRESHOLDS)} |")
    for folder in dict.fromkeys(folders):
        those = folders == folder
        cells = [f"{roc_auc_score(answerable[those], probabilities[those], sample_weight=weights[those]):.3f}"]
        for least in THRESHOLDS:
            refused, absent = those & (probabilities < least), those & ~answerable
            hits = weights[refused & absent].sum()
            cells.append(f"{hits / max(weights[refused].sum(), 1e-9):.2f}, {hits / weights[absent].sum():.2f}")
        print(f"| {folder} | {' | '.join(cells)} |")
    print("\n| probability | questions | said | answerable |")
    error = 0.0
    for low in np.arange(10) / 10:
        those = (probabilities >= low) & (probabilities < low + 0.1)
        if size := weights[those].sum():
            said, right = (weights[those] @ values[those] / size for values in (probabilities, answerable))
            error += size / weights.sum() * abs(said - right)
            print(f"| {low:.1f} to {low + 0.1:.1f} | {size / weights.sum():.1%} | {said:.2f} | {right:.2f} |")
    print(f"\nExpected calibration error {error:.3f}\n")


def main() -> None:
    """Search, fit and print, with the search's outcome and without."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    found: list[tuple[str, str, bool, Signals]] = []
    for folder in parser.parse_args().folders:
        with tempfile.TemporaryDirectory() as scratch:
            found += [(folder.name, *case) for case in cases(load_settings(store=Path(scratch) / "store"), folder)]
    folders, documents = np.array([name for name, *_ in found]), np.array([document for _, document, *_ in found])
    answerable = np.array([is_there for *_, is_there, _ in found])
    weights = balanced(answerable, folders)
    for name in ("SEARCHED", "GIVEN"):
        told = [at if name == "SEARCHED" else at._replace(outcome=None) for *_, at in found]
        print(name, end=" = ")
        tell(fit(np.array([at.vector() for at in told]), answerable, weights, documents), answerable, weights, folders)


if __name__ == "__main__":
    main()
