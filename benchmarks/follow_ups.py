"""Turns of conversations with human rewrites come in; how well the rules rewrite them goes out.

    python benchmarks/follow_ups.py turns.jsonl

Rows: {history: [{role, content}], question, rewrite, needs_rewrite}, as in CAsT 2019 and 2020.
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path
from statistics import mean
from typing import Any

from chains.follow_ups import resolve
from chains.queries import Turn, normalise


def token_f1(one: str, two: str) -> float:
    """Return the harmonic mean of token precision and recall, as SQuAD defines it."""
    first, second = (re.findall(r"\w+", text.lower()) for text in (one, two))
    common = sum((Counter(first) & Counter(second)).values())
    return 2 * common / (len(first) + len(second)) if common else 0.0


def main() -> None:
    """Rewrite every turn by the rules and print four figures for each half of the topics, and for all."""
    rows = [json.loads(line) for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()]
    for name, part in (
        ("even topics (tuned on)", [row for row in rows if row["topic"] % 2 == 0]),
        ("odd topics", [row for row in rows if row["topic"] % 2]),
        ("all", rows),
    ):
        print(f"{name}: {figures(part)}")


def figures(rows: list[dict[str, Any]]) -> str:
    """Return how many turns are kept and changed as they should be, and the F1 of those that a human rewrote."""
    kept, changed, scores, unchanged_scores = [], [], [], []
    for row in rows:
        question = normalise(row["question"])
        query = resolve(question, turns(row["history"]))
        if row["needs_rewrite"]:
            changed.append(query != question)
            scores.append(token_f1(query, row["rewrite"]))
            unchanged_scores.append(token_f1(question, row["rewrite"]))
        else:
            kept.append(query == question)
    return (
        f"{mean(kept):.3f} of {len(kept)} that need no rewriting are kept, {mean(changed):.3f} of {len(changed)} others"
        f" changed; token F1 to the human rewrite {mean(scores):.3f}, as asked {mean(unchanged_scores):.3f}"
    )


def turns(messages: list[dict[str, str]]) -> list[Turn]:
    """Return the messages of a conversation as turns; those of 2019 have no answers."""
    found: list[Turn] = []
    for message in messages:
        if message["role"] == "user":
            found.append({"question": message["content"], "answer": ""})
        else:
            found[-1]["answer"] = message["content"]
    return found


if __name__ == "__main__":
    main()
