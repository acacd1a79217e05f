"""Texts come in; how many near-duplicates are found, made ones and natural ones, and at what cost, go out.

    python benchmarks/duplicates.py corpus.jsonl reports/ [--show 10]

Takes JSON lines with a field `text`, and files and folders of any format that can be indexed. Two thirds of the made
pairs say the same and should be found; the others do not, and should stay apart.
"""

import argparse
import json
import random
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path

from errors import DocumentError
from loaders.documents import load_documents
from loaders.duplicates import exact_key, is_near, signature, similarity
from loaders.files import find_files
from loaders.furniture import drop_furniture

WORDS, STEP = 150, 126  # a chunk of about 200 tokens, and its overlap
THRESHOLDS = (0.8, 0.85, 0.9, 0.95)
RANDOM = random.Random(1)
PRINT = {"c": "e", "e": "c", "l": "i", "i": "l", "t": "f", "f": "t", "n": "u", "u": "n", "h": "b", "b": "h"}
BOILERPLATE = "\n\nPlease read this page with care and keep it with the papers of your house for later use."


def chunks(text: str) -> list[str]:
    """Return windows of a text that are as long as chunks are."""
    words = re.findall(r"\s*\S+", text)
    return ["".join(words[at : at + WORDS]) for at in range(0, len(words), STEP)]


def read(path: Path) -> Iterator[str]:
    """Yield the chunks of a file of JSON lines, or of documents."""
    if path.suffix == ".jsonl":
        for line in path.read_text(encoding="utf-8").splitlines():
            yield from chunks(json.loads(line)["text"])
        return
    for file in find_files(path):
        try:
            documents, _ = drop_furniture(load_documents(file))
        except DocumentError:
            continue
        for document in documents:
            yield from chunks(document.page_content)


def at_words(text: str, share: float, edit: Callable[[str], str], which: str = r"\w+") -> str:
    """Return the text with a share of its words edited, one at least."""
    places = list(re.finditer(which, text))
    for match in sorted(
        RANDOM.sample(places, min(len(places), max(1, round(share * len(places))))), reverse=True, key=re.Match.start
    ):
        text = text[: match.start()] + edit(match.group()) + text[match.end() :]
    return text


def misprint(word: str) -> str:
    """Return a word with one letter, not its first, read as one that looks like it."""
    places = [at for at in range(1, len(word)) if word[at] in PRINT] if len(word) > 3 else []
    at = RANDOM.choice(places) if places else len(word)
    return word[:at] + PRINT[word[at]] + word[at + 1 :] if places else word


SAME: dict[str, Callable[[str], str]] = {
    "blanks and case": lambda text: text.upper().replace(" ", "\t "),
    "punctuation": lambda text: text.replace(", ", " ").replace("; ", ", "),
    "misprints, 1 % of the words": lambda text: at_words(text, 0.01, misprint, r"\b[a-z]{5,}\b"),
    "misprints, 3 % of the words": lambda text: at_words(text, 0.03, misprint, r"\b[a-z]{5,}\b"),
    "articles, 1 % of the words": lambda text: at_words(text, 0.1, lambda _: "", r" (?:the|an?)\b(?= )"),
    "a sentence of 16 words more": lambda text: text + BOILERPLATE,
    "3 words less at the end": lambda text: " ".join(text.split()[:-3]),
}
OTHER: dict[str, Callable[[str], str]] = {
    "a number": lambda text: at_words(text, 0, lambda number: f"{number}7", r"\d+"),
    "a name": lambda text: at_words(text, 0, lambda _: "Ferrara", r"(?<=[a-z] )[A-Z][a-z]+"),
    "a negation": lambda text: at_words(
        text, 0, lambda verb: f"{verb} not", r"\b(?:is|are|was|were|can|may|has|have)\b"
    ),
    "one word for another": lambda text: at_words(text, 0, lambda _: "marble", r"\b[a-z]{5,}\b"),
    "one word more": lambda text: at_words(text, 0, lambda word: f"{word} hardly", r"\b[a-z]{5,}\b"),
    "two words exchanged": lambda text: re.sub(r"\b([a-z]{6,})\b(.{5,60}?)\b([a-z]{6,})\b", r"\3\2\1", text, count=1),
    "3 % of the words": lambda text: at_words(text, 0.03, lambda word: word[::-1] + "a", r"\b[a-z]{4,}\b"),
}


def found(one: str, other: str, threshold: float) -> bool:
    """Tell whether a pair is found: as exact, or as a candidate that is confirmed."""
    if exact_key(one) == exact_key(other):
        return True
    return bool(set(signature(one)) & set(signature(other))) and is_near(one, other, threshold)


def made(texts: Sequence[str]) -> Iterator[str]:
    """Yield a row of the table for each kind of edit: the share of the edited texts that is found."""
    for title, kinds in (("same", SAME), ("other", OTHER)):
        for name, edit in kinds.items():
            pairs = [(text, changed) for text in texts if (changed := edit(text)) != text]
            shares = [sum(found(*pair, threshold) for pair in pairs) / len(pairs) for threshold in THRESHOLDS]
            yield f"| {title}: {name} | {len(pairs)} | {' | '.join(f'{share:.1%}' for share in shares)} |"


def natural(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs that share a band, whatever their numbers, and are not equal."""
    bands = defaultdict(list)
    for number, text in enumerate({exact_key(text): text for text in texts}.values()):
        for band in signature(re.sub(r"\d+", "", text)):
            bands[band].append((number, text))
    pairs = {pair for members in bands.values() for pair in combinations(members[:50], 2)}
    return [(one, other) for (_, one), (_, other) in sorted(pairs)]


def microseconds(work: Callable[[str], object], texts: Sequence[str], rounds: int = 9) -> float:
    """Return the least CPU time of a text over some rounds."""
    least = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        for text in texts:
            work(text)
        least = min(least, time.process_time() - start)
    return least / len(texts) * 1e6


def main() -> None:
    """Read the arguments, measure and print Markdown tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("paths", type=Path, nargs="+")
    parser.add_argument("--sample", type=int, default=400, help="texts that are edited")
    parser.add_argument("--show", type=int, default=0, help="natural pairs to print at each threshold")
    options = parser.parse_args()
    texts = [text for path in options.paths for text in read(path)]
    whole = [text for text in texts if len(text.split()) == WORDS]
    sample = RANDOM.sample(whole, min(options.sample, len(whole)))
    print(f"{len(texts)} texts, {len(texts) - len({exact_key(text) for text in texts})} of them exact duplicates\n")
    for name, chosen in (("ASCII", True), ("other", False)):
        some = [text for text in whole if text.isascii() == chosen][:1000] or [""]
        print(f"signature: {microseconds(signature, some):.0f} microseconds a text of {name} characters")
    print("\n| edit | pairs |", " | ".join(map(str, THRESHOLDS)), "|\n|---|---|" + "---|" * len(THRESHOLDS))
    print("\n".join(made(sample)))
    pairs = natural(texts)
    alike = [sum(similarity(*pair) >= threshold for pair in pairs) for threshold in THRESHOLDS]
    print(f"| natural: alike | {len(pairs)} | {' | '.join(map(str, alike))} |")
    start = time.process_time()
    near = [[pair for pair in pairs if is_near(*pair, threshold)] for threshold in THRESHOLDS]
    cost = (time.process_time() - start) / max(1, len(pairs) * len(THRESHOLDS)) * 1e6
    print(f"| natural: found | {len(pairs)} | {' | '.join(str(len(found)) for found in near)} |")
    print(f"\nis_near: {cost:.0f} microseconds a pair")
    for threshold, confirmed in zip(THRESHOLDS, near, strict=True):
        for one, other in RANDOM.sample(confirmed, min(options.show, len(confirmed))):
            print(f"\n{threshold}\n  {one!r}\n  {other!r}")


if __name__ == "__main__":
    main()
