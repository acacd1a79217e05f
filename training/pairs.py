"""Rows of graded answers come in; pairs of a better and a worse answer to the same prompt go out."""

import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from langchain_core.messages import convert_to_openai_messages
from langchain_core.runnables import RunnableLambda

from chains.passages import as_found
from chains.post_filter import REFUSAL
from chat_models import ChatModel
from errors import EvaluationError
from pipeline import build_chain, open_empty_index
from searching import Search
from settings import Settings
from training.examples import Listener, style_to_train
from training.jsonl import parse_rows, read_rows, write_rows
from training.rewards import holding, points

MARGIN = 0.3  # points between the two answers of a pair
FEWEST = 20  # prompts
KEPT_APART = 10  # one prompt of so many is held back
GOOD = 0.5  # points from which an answer needs no reference in its place
ROLES = {"system", "user", "assistant"}
ROWS = "give what `evaluate answers --rows FILE` wrote"
PAIRS = 'write one {"messages": [{"role", "content"}, …], "chosen": …, "rejected": …} a line'
Row = dict[str, Any]  # a line of `evaluate answers --rows`
Message = dict[str, str]  # role and content


@dataclass(frozen=True)
class Pair:
    """A prompt as chat messages, before any template, and two answers to it, the first of which is better."""

    messages: tuple[Message, ...]
    chosen: str
    rejected: str

    @property
    def prompt(self) -> str:
        """Return the messages as one text: pairs with the same belong together."""
        return json.dumps(self.messages, ensure_ascii=False)


def read_pairs(path: Path) -> list[Pair]:
    """Return the pairs of a JSONL file, each once; raise EvaluationError that names the row."""
    found = {(pair.prompt, pair.chosen, pair.rejected): pair for pair in parse_rows(path, PAIRS, _pair)}
    if not found:
        raise EvaluationError(path, "it is empty", PAIRS)
    return list(found.values())


def held_back(pairs: Sequence[Pair], seed: int, *, of: Path) -> tuple[list[Pair], list[Pair]]:
    """Return the pairs to learn from and those of a tenth of the prompts, drawn by the seed.

    Raise EvaluationError where there are fewer than FEWEST prompts.
    """
    prompts = sorted({pair.prompt for pair in pairs})
    if len(prompts) < FEWEST:
        reason = f"{len(prompts)} prompts with pairs that fit the length; {FEWEST} are needed"
        raise EvaluationError(of, reason, "give more pairs, or raise --length")
    kept = set(random.Random(seed).sample(prompts, -(-len(prompts) // KEPT_APART)))  # noqa: S311  (no secret)
    return [pair for pair in pairs if pair.prompt not in kept], [pair for pair in pairs if pair.prompt in kept]


def write_pairs(path: Path, pairs: Iterable[Pair]) -> None:
    """Write them as JSON lines."""
    write_rows(path, map(asdict, pairs))


def read_answers(paths: Sequence[Path]) -> list[Row]:
    """Return the rows of several evaluations of answers; raise EvaluationError that names the file and the row."""
    rows: list[Row] = []
    wanted: dict[str, type] = {
        "question": str,
        "answer": str,
        "answers": list,
        "answerable": bool,
        "abstained": bool,
        "contexts": list,
    }
    for path in paths:
        before = len(rows)
        for number, row in read_rows(path, ROWS):
            if wrong := [name for name, kind in wanted.items() if not isinstance(row.get(name), kind)]:
                reason = f"it lacks {', '.join(wrong)}, or has something else there"
                raise EvaluationError(f"{path}, row {number}", reason, ROWS)
            rows.append(row)
        if len(rows) == before:
            raise EvaluationError(path, "it is empty", ROWS)
    return rows


def pairs_from_rows(
    rows: Iterable[Row],
    messages: Callable[[Row], tuple[Message, ...]],
    *,
    margin: float = MARGIN,
    references: bool = False,
) -> list[Pair]:
    """Return, for each question that was answered from the same passages more than once, its best answer over others.

    rows: of several models, settings or seeds. messages: what a row's answer was asked with. margin: the points
    (training.rewards.points) that another answer has to have less. references: where no answer has GOOD points, the
    reference with the number of its passage is the best one, or the refusal.
    """
    asked: dict[tuple[str, ...], list[Row]] = {}
    for row in (row for row in rows if row["contexts"]):  # without, no model was asked
        asked.setdefault((row["question"], *row["contexts"]), []).append(row)
    pairs: list[Pair] = []
    for same in asked.values():
        graded = {_said(row): _points(row) for row in same}
        prompt: tuple[Message, ...] = ()
        if references and max(graded.values()) < GOOD:
            prompt = messages(same[0])
            graded |= dict.fromkeys(_reference(same[0], prompt), 1.0)
        best = max(graded, key=lambda answer: graded[answer])
        worse = [answer for answer, found in graded.items() if graded[best] - found >= margin]
        prompt = prompt or (messages(same[0]) if worse else ())
        pairs += [Pair(prompt, best, answer) for answer in worse]
    return pairs


@contextmanager
def open_prompts(settings: Settings) -> Iterator[Callable[[Row], tuple[Message, ...]]]:
    """Yield what makes of a row the messages with which the chain asks a model, the row's passages being found.

    They fitted the model then; so nothing is counted.
    """
    given: Any = {"answer_style": style_to_train(settings), "least_evidence": 0.0, "rewrite": "rules"}
    listener = Listener()
    model = ChatModel(listener, settings.context_tokens, count_tokens=lambda messages: 0, is_small=True)
    with open_empty_index(settings.model_copy(update=given)) as (empty, index):

        def messages(row: Row) -> tuple[Message, ...]:
            passages = [as_found(str(n), text) for n, text in enumerate(row["contexts"])]
            search: Search = RunnableLambda(lambda queries: passages)
            build_chain(empty, index, model, search=search).invoke({"question": row["question"], "history": []})
            heard = convert_to_openai_messages(listener.heard.pop())
            return tuple({"role": message["role"], "content": message["content"]} for message in heard)

        yield messages


def _said(row: Row) -> str:
    return REFUSAL if row["abstained"] else str(row["answer"])


def _points(row: Row) -> float:
    references = row["answers"] if row["answerable"] else ()
    return points(_said(row), references, holding(row["contexts"], references))


def _reference(row: Row, prompt: Sequence[Message]) -> list[str]:
    """Return the right answer as it is to be given, if the model reads it; style brief shows it less than was found."""
    if not row["answerable"]:
        return [REFUSAL]
    read = prompt[-1]["content"]
    found = ((each, holding(row["contexts"], [each])) for each in row["answers"] if holding([read], [each]))
    return [f"{reference} [{passages[0]}]" for reference, passages in found if passages][:1]


def _pair(row: Row) -> Pair:
    messages = tuple({"role": str(each["role"]), "content": str(each["content"])} for each in row["messages"])
    chosen, rejected = (row[name] for name in ("chosen", "rejected"))
    if not messages or messages[-1]["role"] != "user" or {each["role"] for each in messages} - ROLES:
        raise ValueError("its messages are not of system, user and assistant with the user's last")
    if not all(isinstance(each, str) and each.strip() for each in (chosen, rejected)):
        raise ValueError("chosen and rejected are not two texts")
    if chosen.strip() == rejected.strip():
        raise ValueError("chosen and rejected are the same")
    return Pair(messages, chosen, rejected)
