"""Rows of graded answers come in; pairs of a better and a worse answer to the same prompt go out."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from langchain_core.documents import Document

from chains.fences import build_fence
from chains.post_filter import REFUSAL
from chains.retrieval_qa import show_passages
from errors import EvaluationError, one_line
from loaders.secret import read_secret
from prompts import load_prompt
from settings import Settings
from training.rewards import holding, points

MARGIN = 0.3  # points between the two answers of a pair
GOOD = 0.5  # points from which an answer needs no reference in its place
ROLES = {"system": "system", "human": "user", "ai": "assistant"}
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
    found: dict[tuple[str, str, str], Pair] = {}
    for number, row in _read(path, PAIRS):
        try:
            pair = _pair(row)
        except (ValueError, KeyError, TypeError) as error:
            raise EvaluationError(f"{path}, row {number}", f"not as expected ({one_line(error)})", PAIRS) from None
        found.setdefault((pair.prompt, pair.chosen, pair.rejected), pair)
    return list(found.values())


def write_pairs(path: Path, pairs: Iterable[Pair]) -> None:
    """Write them as JSON lines."""
    text = "".join(json.dumps(asdict(pair), ensure_ascii=False) + "\n" for pair in pairs)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EvaluationError(path, one_line(error), "name a file in a folder that exists") from None


def read_answers(paths: Sequence[Path]) -> list[Row]:
    """Return the rows of several evaluations of answers; raise EvaluationError that names the file and the row."""
    rows = []
    wanted = {"question": str, "answer": str, "answers": list, "answerable": bool, "abstained": bool, "contexts": list}
    for path in paths:
        for number, row in _read(path, ROWS):
            if wrong := [name for name, kind in wanted.items() if not isinstance(row.get(name), kind)]:
                reason = f"it lacks {', '.join(wrong)}, or has something else there"
                raise EvaluationError(f"{path}, row {number}", reason, ROWS)
            rows.append(row)
    return rows


def pairs_from_rows(
    rows: Iterable[Row],
    messages: Callable[[Row], Sequence[Message]],
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
    for row in rows:
        asked.setdefault((row["question"], *row["contexts"]), []).append(row)
    pairs = []
    for same in asked.values():
        graded = {_said(row): _points(row) for row in same}
        if references and max(graded.values()) < GOOD:
            graded |= dict.fromkeys(_reference(same[0]), 1.0)
        best = max(graded, key=lambda answer: graded[answer])
        worse = [answer for answer, found in graded.items() if graded[best] - found >= margin]
        prompt = tuple(messages(same[0])) if worse else ()
        pairs += [Pair(prompt, best, answer) for answer in worse]
    return pairs


def prompts_of(settings: Settings) -> Callable[[Row], list[Message]]:
    """Return what makes of a row the messages that a model is asked with: prompts/answer.txt and the row's passages."""
    prompt, fence = load_prompt("answer"), build_fence(read_secret(settings.store))

    def messages(row: Row) -> list[Message]:
        sections = [source["section"] for source in row.get("sources") or ()] or [""] * len(row["contexts"])
        passages = [
            Document(page_content=text, metadata={"section": section})
            for text, section in zip(row["contexts"], sections, strict=False)
        ]
        context = show_passages(passages, fence=fence, datamark=settings.datamark)
        rendered = prompt.format_messages(context=context, question=row["question"])
        return [{"role": ROLES[message.type], "content": message.text} for message in rendered]

    return messages


def _said(row: Row) -> str:
    return REFUSAL if row["abstained"] else str(row["answer"])


def _points(row: Row) -> float:
    references = row["answers"] if row["answerable"] else ()
    return points(_said(row), references, holding(row["contexts"], references))


def _reference(row: Row) -> list[str]:
    """Return the right answer as it is to be given, if the passages hold it."""
    if not row["answerable"]:
        return [REFUSAL]
    found = ((reference, holding(row["contexts"], [reference])) for reference in row["answers"])
    return [f"{reference} [{passages[0]}]" for reference, passages in found if passages][:1]


def _pair(row: Row) -> Pair:
    messages = tuple({"role": str(each["role"]), "content": str(each["content"])} for each in row["messages"])
    chosen, rejected = (row[name] for name in ("chosen", "rejected"))
    if not messages or messages[-1]["role"] != "user" or {each["role"] for each in messages} - set(ROLES.values()):
        raise ValueError("its messages are not of system, user and assistant with the user's last")
    if not all(isinstance(each, str) and each.strip() for each in (chosen, rejected)):
        raise ValueError("chosen and rejected are not two texts")
    if chosen.strip() == rejected.strip():
        raise ValueError("chosen and rejected are the same")
    return Pair(messages, chosen, rejected)


def _read(path: Path, remedy: str) -> Iterator[tuple[int, Row]]:
    """Yield the objects of a JSONL file with the numbers of their rows."""
    number, found = 0, False
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
            if line.strip():
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError("it is no object")
                found = True
                yield number, row
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(path, one_line(error), remedy) from None
    except ValueError as error:
        raise EvaluationError(f"{path}, row {number}", f"not as expected ({one_line(error)})", remedy) from None
    if not found:
        raise EvaluationError(path, "it is empty", remedy)
