"""Claims with evidence come in; how well chains/groundedness.py tells the supported ones, and its weights, go out.

    python benchmarks/groundedness.py --wice claims.jsonl --scifact claims.jsonl --questions FOLDER…

A FOLDER holds qa.jsonl, rows {id, question, answers, answerable, doc_id, para_id[, plausible_answer]}, and corpus/,
whose paragraphs blank lines part. Its questions become claims: true ones from a sentence that holds the answer or from
the question with its answer put in; false ones by another number, name, answer or a negation. Weights are fitted to
wice and these, each half of the whole; every figure is of a model that was fitted without the claim's article.
Nothing is fitted to scifact, whose licence forbids it.
"""

import argparse
import json
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import GroupKFold

from chains.facts import names, numbers
from chains.groundedness import features
from sentences import sentence_spans

SUPPORTED = ("supported", "SUPPORT")
FOLDS = 5
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
