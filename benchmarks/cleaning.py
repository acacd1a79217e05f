"""Documents come in; what is cut from their pages at each share of pages, and which chunks are noise, go out.

    python benchmarks/cleaning.py reports/ [--evidence qa.jsonl] [--show]

Rows of the evidence: {"evidence": [{"doc_id", "page", "text"}]}: the words of it that the cuts cost are counted.
"""

import argparse
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from langchain_core.documents import Document

from errors import DocumentError
from loaders import furniture
from loaders.documents import load_documents
from loaders.files import find_files
from loaders.noise import is_noise

SHARES = (0.2, 0.3, 0.4, 0.6)
CHARACTERS = 900  # about 200 tokens
Files = dict[str, list[Document]]


def read(folder: Path) -> Files:
    """Return the Documents of each file that can be read."""
    files = {}
    for path in find_files(folder):
        try:
            files[path.name] = load_documents(path)
        except DocumentError:
            continue
    return files


def words(text: str) -> Counter[str]:
    """Return how often each word occurs."""
    return Counter(re.findall(r"\w+", text.casefold()))


def lost(files: Files, cut: Files, evidence: Sequence[dict[str, object]]) -> int:
    """Count the words of the evidence that its page held before the cut and does not after."""
    count = 0
    for piece in evidence:
        wanted = words(str(piece["text"]))
        pages = [
            sum(
                (
                    words(d.page_content)
                    for d in found.get(str(piece["doc_id"]), [])
                    if d.metadata["page"] == piece["page"]
                ),
                Counter[str](),
            )
            for found in (files, cut)
        ]
        count += sum((wanted & pages[0]).values()) - sum((wanted & pages[1]).values())
    return count


def main() -> None:
    """Read the arguments, measure and print Markdown tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--evidence", type=Path)
    parser.add_argument("--show", action="store_true", help="print what is cut at the default share, and the noise")
    options = parser.parse_args()
    files = read(options.folder)
    lines = options.evidence.read_text(encoding="utf-8").splitlines() if options.evidence else []
    evidence = [piece for line in lines for piece in json.loads(line).get("evidence", [])]
    default = furniture.LEAST_SHARE
    print("| share of pages | lines cut | different ones | words of the evidence lost |\n|---|---|---|---|")
    for share in SHARES:
        furniture.LEAST_SHARE = share
        results = {name: furniture.drop_furniture(documents) for name, documents in files.items()}
        dropped = Counter(re.sub(r"\d+", "#", d.text.strip()) for _, found in results.values() for d in found)
        cost = lost(files, {name: kept for name, (kept, _) in results.items()}, evidence)
        print(f"| {share:.0%} | {dropped.total()} | {len(dropped)} | {cost} |")
        if options.show and share == default:
            print(*(f"  {count} {text!r}" for text, count in dropped.most_common()), sep="\n")
    pieces = [
        document.page_content[at : at + CHARACTERS]
        for documents in files.values()
        for document in documents
        for at in range(0, len(document.page_content), CHARACTERS)
    ]
    noise = [(reason, piece) for piece in pieces if (reason := is_noise(piece))]
    print(f"\n{len(noise)} of {len(pieces)} pieces are noise: {dict(Counter(reason for reason, _ in noise))}")
    if options.show:
        print(*(f"  {reason}: {piece[:100]!r}" for reason, piece in noise), sep="\n")


if __name__ == "__main__":
    main()
