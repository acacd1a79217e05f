"""Records of the RGB benchmark come in; how the chain answers from their noisy, useless and false passages goes out.

RGB: Chen et al., Benchmarking Large Language Models in Retrieval-Augmented Generation, AAAI 2024. Which passages a
record gets, in which order, and what counts as right are the rules of its authors' program, commit 65ec39e.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import zip_longest
from math import ceil
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any, NamedTuple

from chains.answers import Answer
from chains.passages import as_found
from chains.rag import ask
from evaluation.answer_metrics import uncited
from evaluation.given import chain_over_given
from evaluation.records import read_records, spread
from evaluation.retrieval import shown
from loaders.sync import Progress
from settings import Settings
from words import UNSPACED

Record = Mapping[str, Any]
Draw = Callable[[Record], tuple[str, ...]]  # a record → the passages that it gets
PASSAGES, SEED = 5, 2333
NOISE, NOISE_OF_PARTS = (0.0, 0.2, 0.4, 0.6, 0.8), (0.0, 0.2, 0.4)
DETECTED = ("factual errors", "事实性错误")
REMEDY = "give a file of RGB: {id, query, answer, positive, negative} a line, and for counterfactuals positive_wrong"


class Reply(NamedTuple):
    """What the chain said, and which parts of the answer that holds; none where it refused."""

    text: str
    abstained: bool
    held: tuple[bool, ...]

    @property
    def is_right(self) -> bool:
        """Tell whether it was answered with every part."""
        return bool(self.held) and all(self.held)


def evaluate_rgb(
    settings: Settings,
    path: Path,
    *,
    limit: int | None = None,
    on_progress: Progress = lambda done, total, chunks: None,
) -> dict[str, Any]:
    """Return the figures of RGB that a file of its records allows, the others null.

    noise_robustness: the share answered rightly, by the share of the five passages that is noise. negative_rejection:
    the share refused where all are noise. information_integration: the share answered with every part, by noise.
    counterfactual: over passages with a wrong answer, the share answered rightly all the same (accuracy), those told to
    hold factual errors (error_detection), those of them that are corrected (error_correction), and, which is ours, the
    share that repeats the wrong answer (misled). limit: at most so many records, spread over the file.
    """
    records = spread(read_records(path, ("query", "answer", "positive", "negative"), REMEDY), limit)
    runs = _runs(records)
    asked = {name: [(record, draw(record)) for record in records] for name, draw in runs.items()}
    total = sum(map(len, asked.values()))
    replies: dict[tuple[str, float], list[tuple[Record, Reply]]] = {name: [] for name in runs}
    with _given(settings) as answer:
        for name, pairs in asked.items():
            for record, passages in pairs:
                if passages:  # without noise there is nothing to reject
                    said = answer(record["query"], passages)
                    replies[name].append((record, judged(said, record["query"], record["answer"])))
                done = sum(map(len, replies.values()))
                on_progress(done, total, done)
    return {"records": len(records), **_figures(replies), "settings": shown(settings)}


def _runs(records: Sequence[Record]) -> dict[tuple[str, float], Draw]:
    """Return what is asked of such records, by name and noise: integration, or noise, rejection and counterfactuals."""
    if isinstance(records[0]["positive"][0], list):
        return {("integration", noise): _drawing(parts_drawn, noise) for noise in NOISE_OF_PARTS}
    runs = {("noise", noise): _drawing(drawn, noise) for noise in (*NOISE, 1.0)}
    if "positive_wrong" in records[0]:
        runs["counterfactual", 0.0] = _drawing(wrong_drawn, 0.0)
    return runs


def _drawing(draw: Callable[[Record, float, Random], Sequence[str]], noise: float) -> Draw:
    def shuffled(record: Record) -> tuple[str, ...]:
        chance = Random(SEED)  # noqa: S311  (the authors' seed, for every record anew)
        passages = list(draw(record, noise, chance))
        chance.shuffle(passages)
        return tuple(passages)

    return shuffled


def drawn(record: Record, noise: float, chance: Random) -> list[str]:
    """Return five passages of which a share is noise, as far as the record has enough of both kinds."""
    positive, negative = record["positive"], record["negative"]
    noisy = ceil(PASSAGES * noise)
    if noise < 1 and noisy > len(negative):
        noisy = len(negative)
    elif noise < 1 and PASSAGES - noisy > len(positive):
        noisy = PASSAGES - len(positive)
    return [*positive[: PASSAGES - noisy], *negative[:noisy]]


def parts_drawn(record: Record, noise: float, chance: Random) -> list[str]:
    """Return a passage for each part of the answer, more of them up to the share that is no noise, then noise."""
    parts = [list(texts) for texts in record["positive"]]
    for texts in parts:
        chance.shuffle(texts)
    rounds = [text for texts in zip_longest(*parts) for text in texts if text is not None]
    wanted = max(len(parts), PASSAGES - ceil(PASSAGES * noise))
    return [*rounds[:wanted], *record["negative"][: max(PASSAGES - len(rounds[:wanted]), 0)]]


def wrong_drawn(record: Record, noise: float, chance: Random) -> list[str]:
    """Return five passages, or as many as there are, in which a wrong answer stands in place of the right one."""
    wrong = record["positive_wrong"]
    return [wrong[at] for at in chance.sample(range(len(record["positive"])), min(len(record["positive"]), PASSAGES))]


def judged(said: Answer, query: str, answer: str | Sequence[str | Sequence[str]]) -> Reply:
    """Return the reply with the parts of the answer that it holds; of a part's alternatives one is enough.

    Case does not count, nor do spaces in a script without them.
    """
    text = uncited(said.answer)
    text = ("".join(text.split()) if UNSPACED.search(query) else text).lower()
    parts = [answer] if isinstance(answer, str) else answer
    alternatives = [[part] if isinstance(part, str) else part for part in parts]
    held = tuple(any(one.lower() in text for one in part) for part in alternatives)
    return Reply(text, said.abstained, () if said.abstained else held)


def _figures(replies: Mapping[tuple[str, float], Sequence[tuple[Record, Reply]]]) -> dict[str, Any]:
    """Return the four figures; rounded shares, null over nothing."""

    def by_noise(name: str) -> dict[str, float | None] | None:
        found = {noise: each for (kind, noise), each in replies.items() if kind == name and noise < 1}
        return {f"{noise:g}": _share(reply.is_right for _, reply in each) for noise, each in found.items()} or None

    rejected = replies.get(("noise", 1.0))
    refused = {f"{kind} {noise:g}": _share(r.abstained for _, r in each) for (kind, noise), each in replies.items()}
    return {
        "noise_robustness": by_noise("noise"),
        "negative_rejection": None if rejected is None else _share(reply.abstained for _, reply in rejected),
        "information_integration": by_noise("integration"),
        "counterfactual": _counterfactual(replies.get(("counterfactual", 0.0))),
        "refused": refused,
    }


def _counterfactual(replies: Sequence[tuple[Record, Reply]] | None) -> dict[str, float | None] | None:
    if replies is None:
        return None
    detected = [reply for _, reply in replies if any(words in reply.text for words in DETECTED)]
    fakes = ((reply, record.get("fakeanswer") or []) for record, reply in replies)
    return {
        "accuracy": _share(reply.is_right for _, reply in replies),
        "error_detection": len(detected) / len(replies) if replies else None,
        "error_correction": _share(reply.is_right for reply in detected) or 0.0,  # as the authors have it
        "misled": _share(not reply.abstained and holds_any(reply.text, fake) for reply, fake in fakes),
    }


def holds_any(text: str, wanted: str | Sequence[str]) -> bool:
    """Tell whether one of the wanted texts, in whatever case, stands in a lower-case text."""
    return any(one.lower() in text for one in ([wanted] if isinstance(wanted, str) else wanted))


def _share(flags: Iterator[bool]) -> float | None:
    given = list(flags)
    return round(fmean(given), 4) if given else None


@contextmanager
def _given(settings: Settings) -> Iterator[Callable[[str, tuple[str, ...]], Answer]]:
    """Yield what answers a question from passages, through the whole chain but its search."""
    with chain_over_given(settings) as (chain, give):

        @cache  # with few positive passages several shares of noise are the same
        def answer(question: str, texts: tuple[str, ...]) -> Answer:
            give([as_found(f"passage {number}", text) for number, text in enumerate(texts, 1)])
            return ask(chain, question)

        yield answer
