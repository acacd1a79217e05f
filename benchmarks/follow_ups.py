"""Turns of conversations with human rewrites come in; how well the rules rewrite them goes out.

    python benchmarks/follow_ups.py turns.jsonl

Rows: {history: [{role, content}], question, rewrite, needs_rewrite}, as in CAsT 2019 and 2020.
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path

from chains.query_rewriting import Turn, build_query_rewriter, normalise


def token_f1(one: str, two: str) -> float:
    """Return the harmonic mean of token precision and recall, as SQuAD defines it."""
    first, second = (re.findall(r"\w+", text.lower()) for text in (one, two))
    common = sum((Counter(first) & Counter(second)).values())
    return 2 * common / (len(first) + len(second)) if common else 0.0


def main() -> None:
    """Rewrite every turn by the rules and print four figures."""
    rewriter = build_query_rewriter("rules")
    kept, changed, scores, unchanged_scores = [], [], [], []
    for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        history: list[Turn] = [{"question": t["content"], "answer": ""} for t in row["history"] if t["role"] == "user"]
        query = rewriter.invoke({"question": row["question"], "history": history})[0]
        same = query == normalise(row["question"])
        if row["needs_rewrite"]:
            changed.append(not same)
            scores.append(token_f1(query, row["rewrite"]))
            unchanged_scores.append(token_f1(row["question"], row["rewrite"]))
        else:
            kept.append(same)
    print(f"left as they are: {sum(kept) / len(kept):.3f} of {len(kept)} that need no rewriting")
    print(f"changed: {sum(changed) / len(changed):.3f} of {len(changed)} that need it")
    print(f"token F1 to the human rewrite: {sum(scores) / len(scores):.3f}")
    print(f"token F1 of the question as asked: {sum(unchanged_scores) / len(unchanged_scores):.3f}")


if __name__ == "__main__":
    main()
