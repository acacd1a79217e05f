"""Claims with evidence come in; how well chains/groundedness.py tells the supported ones, and its weights, go out.

    python benchmarks/groundedness.py --wice claims.jsonl --scifact claims.jsonl --questions FOLDER

FOLDER holds qa.jsonl, rows {id, question, answers, answerable, doc_id, para_id[, plausible_answer]}, and corpus/, whose
paragraphs blank lines part. Its questions become claims: true ones from a sentence that holds the answer, or from the
question with its answer put in; false ones by another number, name or answer, a negation, or another sentence. Weights
are fitted to wice and to these, each half of the whole, true and false alike. Their figures are of models that were
fitted without the claim's article; nothing is fitted to scifact, whose licence forbids it. `--held-out` are more claims
that nothing is fitted to: files like that of wice, or FOLDERs.
"""

import argparse
import json
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
from langchain_core.documents import Document
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import GroupKFold

from chains.citing import spans, supporting
from chains.evidence import Sentence
from chains.facts import names
from chains.groundedness import WEIGHTS, features, support
from sentences import sentence_spans

SUPPORTED = ("supported", "SUPPORT")
FOLDS = 5
LEAST_SUPPORT = 0.7
ELSEWHERE = 4.0  # as much as all the kinds that differ in one word
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
NEGATED = re.compile(r"\b(is|was|were|are|has|had|can|could|will|would|did|does)\b(?! not)")


class Claim(NamedTuple):
    """A claim, the sentences that may support it, whether they do, and what must not be in two folds."""

    text: str
    evidence: list[str]
    is_true: bool
    group: str
    kind: str


def sentences(text: str) -> list[str]:
    """Return the sentences of a text."""
    return [text[start:end] for start, end in sentence_spans(text)]


def wice(path: Path) -> list[Claim]:
    """Return its claims; those supported in part count as not supported, as in the dataset's own binary task."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Claim(r["claim"], r["evidence"], r["label"] in SUPPORTED, r["evidence"][0], r["label"]) for r in rows]


def scifact(path: Path) -> list[Claim]:
    """Return its claims, each with the whole abstract."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Claim(r["claim"], sentences(r["context"]), r["label"] in SUPPORTED, r["doc_id"], r["label"]) for r in rows]


def made(folder: Path, draw: random.Random, limit: int = 700) -> list[Claim]:
    """Return claims made from questions, the evidence being the paragraph and the next two of its article."""
    rows = [json.loads(line) for line in (folder / "qa.jsonl").read_text(encoding="utf-8").splitlines()]
    draw.shuffle(rows)
    answers = defaultdict(list)
    for row in rows:
        answers[row["para_id"]] += row["answers"][:1]
    found: list[Claim] = []
    for row in rows[:limit]:
        blocks = (folder / "corpus" / row["doc_id"]).read_text(encoding="utf-8").split("\n\n")
        at = int(row["para_id"].rpartition("#p")[2])
        wanted = row["answers"] or [row.get("plausible_answer", "")]
        at = next((n for n in (at, at - 1) if 0 <= n < len(blocks) and all(a in blocks[n] for a in wanted)), -1)
        if at < 0:
            continue
        evidence = [s for block in blocks[at : at + 3] for s in sentences(block)]
        for text, is_true, kind in claims_of(row, evidence, answers[row["para_id"]], blocks, draw):
            found.append(Claim(text, evidence, is_true, row["doc_id"], kind))
    return found


def claims_of(
    row: dict, evidence: list[str], others: list[str], blocks: list[str], draw: random.Random
) -> Iterator[tuple[str, bool, str]]:
    """Yield the claims that a question gives, each with whether it is true and how it was made."""
    answer = row["answers"][0] if row["answers"] else row.get("plausible_answer", "")
    if not answer:
        return
    if row["answerable"]:
        said = next((s for s in evidence if answer in s), "")
        if said:
            short = re.sub(r"\s*\([^)]*\)", "", said)
            parts = [p for p in re.split(r"(?<=\w), |; ", short) if answer in p]
            short = parts[0] if parts and len(parts[0].split()) > 4 and draw.random() < 0.5 else short
            yield short, True, "quote"
            swapped = swap(short, evidence, draw)
            if swapped:
                yield swapped, False, "swap"
            if NEGATED.search(short):
                yield NEGATED.sub(r"\1 not", short, count=1), False, "negated"
        other = sentences(draw.choice(blocks))
        if other and (text := draw.choice(other)) not in evidence:
            yield text, False, "elsewhere"
    if stated := state(row["question"], answer):
        yield stated, row["answerable"], "stated"
        wrong = [o for o in others if bool(NUMBER.search(o)) == bool(NUMBER.search(answer)) and o not in answer]
        if row["answerable"] and wrong and answer not in (other := draw.choice(wrong)):
            yield str(state(row["question"], other)), False, "other answer"


def swap(text: str, evidence: Sequence[str], draw: random.Random) -> str:
    """Return the sentence with a number or a name of it exchanged for another of the evidence, "" if it has none."""
    mine = [*NUMBER.findall(text)] or [w for w in re.findall(r"\b[A-Z]\w+", text[1:]) if w.casefold() in names(text)]
    pool = NUMBER if NUMBER.search(text) else re.compile(r"(?<=\w )[A-Z]\w+")
    theirs = [other for s in evidence for other in pool.findall(s) if other not in text]
    if not mine:
        return ""
    old = draw.choice(mine)
    new = draw.choice(theirs) if theirs else str(int(float(old.replace(",", ""))) + 3) if NUMBER.match(old) else ""
    return re.sub(rf"\b{re.escape(old)}\b", new, text, count=1) if new else ""


def state(question: str, answer: str) -> str:
    """Return the question as a statement with this answer in it, "" for the forms that simple rules don't turn."""
    asked = question.strip().rstrip("?").strip()
    rules: list[tuple[str, Callable[[re.Match[str]], str]]] = [
        (r"(?i)who ((?!did|do|does|is|was|are|were)\w+ .+)", lambda m: f"{answer} {m[1]}"),
        (r"(?i)(?:who|what) (is|was|are|were) (.+)", lambda m: f"{m[2]} {m[1]} {answer}"),
        (r"(?i)(?:what|which) (\w+) (is|was|are|were|has|had) (.+)", lambda m: f"The {m[1]} {answer} {m[2]} {m[3]}"),
        (r"(?i)how (?:many|much) (\w+) (?:did|do|does) (.+)", lambda m: f"{m[2]} {answer} {m[1]}"),
        (r"(?i)(?:when|where|in what year|in which year) (?:did|does|do) (.+)", lambda m: f"{m[1]} in {answer}"),
        (r"(?i)(?:when|where) (was|were|is|are) (.+) (\w+)", lambda m: f"{m[2]} {m[1]} {m[3]} in {answer}"),
        (r"(?i)(?:what|who) (?:did|does|do) (.+)", lambda m: f"{m[1]} {answer}"),
    ]
    for pattern, turn in rules:
        if match := re.fullmatch(pattern, asked):
            text = turn(match)
            return f"{text[0].upper()}{text[1:]}."
    return ""


Fitted = tuple[np.ndarray, float]  # weights, bias


def fit(x: np.ndarray, y: np.ndarray, share: np.ndarray) -> Fitted:
    """Return the logistic regression of scaled features, weights as of the unscaled ones."""
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-9
    model = LogisticRegression(max_iter=1000).fit((x - mean) / spread, y, sample_weight=share * 1000 / share.sum())
    weights = model.coef_[0] / spread
    return weights, float(model.intercept_[0] - weights @ mean)


def shares(claims: Sequence[Claim]) -> np.ndarray:
    """Return how much each claim counts: true and false ones half each, of a false one's kinds other sentences most."""
    share = np.array([ELSEWHERE if claim.kind == "elsewhere" else 1.0 for claim in claims])
    true = np.array([claim.is_true for claim in claims])
    for side in (true, ~true):
        share[side] /= share[side].sum()
    return share


def cross_validated(parts: dict[str, list[Claim]], columns: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the log-odds of each part's claims, by models that were fitted without the claim's article."""
    data = {name: table(claims, columns) for name, claims in parts.items()}
    odds = {name: np.zeros(len(claims)) for name, claims in parts.items()}
    folds = {
        name: [*GroupKFold(FOLDS, shuffle=True, random_state=0).split(data[name][0], groups=[c.group for c in claims])]
        for name, claims in parts.items()
    }
    for fold in range(FOLDS):
        kept = [tuple(array[folds[name][fold][0]] for array in data[name]) for name in parts]
        weights, bias = fit(*(np.concatenate(arrays) for arrays in zip(*kept, strict=True)))
        for name in parts:
            away = folds[name][fold][1]
            odds[name][away] = data[name][0][away] @ weights + bias
    return odds


def table(claims: Sequence[Claim], columns: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the claims' features, labels and shares."""
    found = [_features(claim.text, tuple(claim.evidence)) for claim in claims]
    rows = np.array([[each[column] for column in columns] for each in found])
    return rows, np.array([claim.is_true for claim in claims]), shares(claims)


@cache
def _features(claim: str, evidence: tuple[str, ...]) -> dict[str, float]:
    return features(claim, evidence) | {"length": -len(claim)}


def row(name: str, what: str, true: np.ndarray, odds: np.ndarray) -> str:
    """Return a row of the table; balanced accuracy at even odds, and of sentences kept at RAG_LEAST_SUPPORT."""
    is_kept = odds >= np.log(LEAST_SUPPORT / (1 - LEAST_SUPPORT))
    figures = (
        balanced_accuracy_score(true, odds > 0),
        roc_auc_score(true, odds),
        is_kept[true].mean(),
        is_kept[~true].mean(),
    )
    return f"| {name} ({true.sum()} of {len(true)}) | {what} | " + " | ".join(f"{each:.3f}" for each in figures) + " |"


def kept(claim: Claim) -> bool:
    """Tell whether the post-filter keeps a sentence of a draft that says this, `evidence` being a passage."""
    text = "\n".join(claim.evidence)
    starts = accumulate((len(sentence) + 1 for sentence in claim.evidence), initial=0)
    sentences = [Sentence(at, None, said, 0.0) for at, said in zip(starts, claim.evidence, strict=False)]
    place = {"source": "", "page": None, "start": 0, "sentences": sentences}
    found = supporting(claim.text, "", [*spans([Document(page_content=text, metadata=place)])])
    return bool(found) and support(claim.text, claim.evidence) >= LEAST_SUPPORT


def main() -> None:
    """Read the arguments, fit, and print a Markdown table and the weights."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--wice", type=Path, required=True)
    parser.add_argument("--scifact", type=Path, required=True)
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, nargs="*", default=[])
    arguments = parser.parse_args()
    draw = random.Random(5)
    fitted = {"wice": wice(arguments.wice), "made": made(arguments.questions, draw)}
    apart = {"scifact": scifact(arguments.scifact)}
    apart |= {str(path): made(path, draw) if path.is_dir() else wice(path) for path in arguments.held_out}
    print("| claims (supported) | by | balanced accuracy | AUROC | kept, supported | kept, others |")
    print("|---|---|---|---|---|---|", flush=True)
    for what, columns in (("length", ["length"]), ("words", ["words"]), ("all", [*WEIGHTS])):
        odds = cross_validated(fitted, columns)
        data = [table(claims, columns) for claims in fitted.values()]
        weights, bias = fit(*(np.concatenate(arrays) for arrays in zip(*data, strict=True)))
        odds |= {name: table(claims, columns)[0] @ weights + bias for name, claims in apart.items()}
        for name, claims in (fitted | apart).items():
            print(row(name, what, np.array([claim.is_true for claim in claims]), odds[name]), flush=True)
    for name, claims in (fitted | apart).items():
        given = np.array([support(claim.text, claim.evidence) for claim in claims]).clip(1e-6, 1 - 1e-6)
        print(row(name, "support()", np.array([claim.is_true for claim in claims]), np.log(given / (1 - given))))
        cut = np.array([kept(claim) for claim in claims])
        print(row(name, "post-filter", np.array([claim.is_true for claim in claims]), np.where(cut, 9.0, -9.0)))
    print({column: round(float(weight), 2) for column, weight in zip(columns, weights, strict=True)}, round(bias, 2))


if __name__ == "__main__":
    main()
