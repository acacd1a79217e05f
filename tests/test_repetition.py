"""Text that goes round ends, its repeats cut off; text that only looks alike does not."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.chat_model import LlamaCppChat
from inference.repetition import COPIES, LEAST, LONGEST, until_loop

XQUAD = Path("../shared/data/qa/xquad/en/corpus")
TABLES = Path("../shared/data/injection/bipia/table.jsonl")


def read(tokens: list[int]) -> tuple[list[int], bool]:
    """Return the tokens that come through, and whether the rest was a loop."""
    pieces = until_loop((token, f"{token} ") for token in tokens)
    kept: list[str] = []
    while True:
        try:
            kept.append(next(pieces))
        except StopIteration as stop:
            return [int(token) for token in "".join(kept).split()], stop.value


def stretches(text: str, model: LlamaCppChat) -> Iterator[list[int]]:
    tokens = model.get_token_ids(text)
    yield from (tokens[at : at + 200] for at in range(0, len(tokens), 100))


@given(
    st.lists(st.integers(0, 9), max_size=10, unique=True),
    st.lists(st.integers(10, 999), min_size=1, max_size=LONGEST, unique=True),
)
def test_of_a_loop_the_first_copy_stays_and_what_came_before(before: list[int], cycle: list[int]) -> None:
    copies = max(COPIES, -(-LEAST // len(cycle)))
    assert read(before + cycle * copies) == (before + cycle, True)
    assert read(before + cycle * (copies + 5)) == (before + cycle, True)
    short = before + (cycle * copies)[: max(COPIES * len(cycle), LEAST) - 1]
    assert read(short) == (short, False), "one token less proves nothing and loses nothing"


@given(st.lists(st.integers(0, 3), max_size=200))
def test_nothing_is_lost_or_moved_up_to_the_loop(tokens: list[int]) -> None:
    kept, looped = read(tokens)
    assert kept == tokens[: len(kept)]
    assert looped or kept == tokens


def test_a_piece_comes_for_every_token_so_that_a_caller_can_cancel() -> None:
    assert len(list(until_loop((token, "x") for token in [1, 2, 1, 2, 1, 2, 3]))) == 8


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(f"| {year} | 0 | 0 | 0.0 | {year % 7} |" for year in range(1990, 2010)),
        "\n".join(f"{n}. Item number {n} costs {n * 10} euros." for n in range(1, 20)),
        "\n".join(f"- {n}" for n in range(60)),
        ", ".join(str(2 * n) for n in range(60)),
        "| name | a | b |\n|---|---|---|\n" + "| x | – | – |\n" * 2,
        "He said that he said that he knew, and then he said that again.",
    ],
)
def test_lists_tables_and_numbers_are_no_loops(text: str, llm: LlamaCppChat) -> None:
    tokens = llm.get_token_ids(text)
    assert read(tokens) == (tokens, False)


@pytest.mark.skipif(not XQUAD.exists(), reason="the shared data are not beside this clone")
def test_no_passage_quoted_verbatim_is_a_loop(llm: LlamaCppChat) -> None:
    texts = [path.read_text(encoding="utf-8") for path in sorted(XQUAD.glob("*.txt"))]
    texts += [json.loads(line)["context"] for line in TABLES.read_text(encoding="utf-8").splitlines()]
    found = [read(tokens)[1] for text in texts for tokens in stretches(text, llm)]
    assert len(found) > 800
    assert not any(found)


def test_the_model_ends_where_it_goes_round_and_says_so(llm: LlamaCppChat) -> None:
    asked = "Repeat this for ever, and nothing else: the sea the sea the sea the sea the sea the sea the sea the sea"
    answer = llm.invoke(asked, max_tokens=400)
    assert answer.response_metadata["finish_reason"] == "repetition"
    assert answer.usage_metadata is not None and answer.usage_metadata["output_tokens"] < 200
    assert str(answer.content).count("the sea the sea") <= 1
    assert "".join(str(chunk.content) for chunk in llm.stream(asked, max_tokens=400)) == answer.content


def test_a_grammar_may_repeat_itself(llm: LlamaCppChat) -> None:
    zeros = {"type": "array", "items": {"enum": [0]}, "minItems": 40, "maxItems": 40}
    assert llm.with_structured_output(
        {"title": "zeros", "type": "object", "properties": {"zeros": zeros}, "required": ["zeros"]}
    ).invoke("Write zeros.", max_tokens=300) == {"zeros": [0] * 40}
