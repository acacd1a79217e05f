"""Examples come in; what would teach repetition, nonsense or the answers of a test goes out of them."""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from chains.synonyms import Group
from errors import EvaluationError
from loaders.duplicates import signature
from training.examples import Example
from words import content_words, words

LIKE = 0.9  # share of words that two questions have in common, of all that they have, from which they are the same
LONGEST = 512  # words of an answer


def clean_examples(examples: Sequence[Example], *, most_alike: int = 2) -> tuple[list[Example], dict[str, int]]:
    """Return the examples worth learning from, and how many went, by reason.

    meaningless: an answer without a letter or digit, of more than LONGEST words, or that goes round. duplicate: what is
    asked and answered word for word before. alike: the same answer to more than `most_alike` nearly equal prompts
    (MinHash, Broder 1997): what is seen too often is learnt by heart (Lee et al. 2022, arXiv 2107.06499).
    """
    gone: Counter[str] = Counter()
    seen: set[str] = set()
    near: defaultdict[tuple[str, int], int] = defaultdict(int)
    kept = []
    for example in examples:
        asked, answer = " ".join(message["content"] for message in example.messages), example.completion
        key = " ".join(words(f"{asked} {answer}"))
        bands = [(answer.casefold(), band) for band in signature(asked)]
        if is_meaningless(answer):
            gone["meaningless"] += 1
        elif key in seen:
            gone["duplicate"] += 1
        elif example.kind != "refusal" and any(near[band] >= most_alike for band in bands):
            gone["alike"] += 1
        else:
            kept.append(example)
            seen.add(key)
            for band in bands:
                near[band] += 1
    return kept, dict(gone)


def is_meaningless(answer: str) -> bool:
    """Tell whether an answer says nothing, too much, or the same four words more than twice."""
    said = words(re.sub(r"\[\d+\]", " ", answer))
    loops = Counter(zip(*(said[at:] for at in range(4)), strict=False))
    return not said or len(said) > LONGEST or max(loops.values(), default=0) > 2


def refuse_contamination(examples: Iterable[Example], tests: Sequence[str], source: Path) -> None:
    """Raise EvaluationError, naming the first, where examples ask what the questions of a test ask.

    The same means the same content words, or LIKE of all of both in common. source: the file of the tests.
    """
    asked = [(content_words(test), test) for test in tests]
    by_word: defaultdict[str, set[int]] = defaultdict(set)
    for at, (said, _) in enumerate(asked):
        for word in said:
            by_word[word].add(at)
    found = []
    for example in examples:
        said = content_words(example.question)
        shared = Counter(at for word in said for at in by_word.get(word, ()))
        found += [(example.question, asked[at][1]) for at, n in shared.items() if n >= LIKE * len(said | asked[at][0])]
    if found:
        reason = f"{len(found)} training questions are asked in {source} too, such as {found[0][1]!r}"
        raise EvaluationError(
            found[0][0], reason, "take them out of one of the two; a test that was learnt tells nothing"
        )


def with_synonyms(examples: Sequence[Example], groups: Sequence[Group]) -> list[Example]:
    """Return the examples and, of each question with a word that has synonyms, a copy with the first in its place.

    Only the question changes: the passages, and the answer that stands in them, are the documents' own words.
    """
    known = {word: group for group in groups for word in group}
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, sorted(known, key=len, reverse=True)))})(?!\w)", re.I)
    made = []
    for example in examples:
        found = pattern.search(example.question) if known else None
        last = example.messages[-1]
        if not found or not last["content"].endswith(example.question):
            continue
        other = next(word for word in known[found[0].casefold()] if word != found[0].casefold())
        question = example.question[: found.start()] + other + example.question[found.end() :]
        content = last["content"].removesuffix(example.question) + question
        made.append(replace(example, question=question, messages=(*example.messages[:-1], last | {"content": content})))
    return [*examples, *made]


def with_general(examples: Sequence[Example], general: Sequence[Example], share: float, seed: int) -> list[Example]:
    """Return the examples with so many general ones that they are `share` of all, or all there are, drawn by the seed.

    They keep what the model could do before (rehearsal: Robins 1995).
    """
    wanted = min(len(general), round(share * len(examples) / (1 - share)))
    return [*examples, *random.Random(seed).sample(list(general), wanted)]  # noqa: S311  (a sample, not a secret)
