"""Examples come in; rows of tokens, and batches of them, go out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from training.examples import Example

if TYPE_CHECKING:
    import torch

Row = dict[str, list[int]]
IGNORED = -100  # the label of a token whose loss does not count


def rows_of(tokenizer: Any, examples: Sequence[Example], longest: int) -> list[Row]:
    """Return the tokens of each example, its prompt's labels ignored; those of more than `longest` are left out."""
    rows = []
    for example in examples:
        prompt = tokenizer.apply_chat_template(list(example.messages), add_generation_prompt=True)["input_ids"]
        answer = [*tokenizer(example.completion, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        if len(prompt) + len(answer) <= longest:
            rows.append({"input_ids": [*prompt, *answer], "labels": [IGNORED] * len(prompt) + answer})
    return rows


def packed(rows: Sequence[Row], longest: int) -> list[Row]:
    """Join rows in their order to sequences of at most `longest` tokens, positions beginning anew with each row.

    transformers keeps rows apart by these positions where a batch has one sequence; so a batch of several is one.
    """
    packs: list[Row] = []
    for row in rows:
        if not packs or len(packs[-1]["input_ids"]) + len(row["input_ids"]) > longest:
            packs.append({"input_ids": [], "labels": [], "position_ids": []})
        # the first label of a row is never asked for: what stands before it is another row's
        for name, values in (*row.items(), ("position_ids", list(range(len(row["input_ids"]))))):
            packs[-1][name].extend(values)
    return packs


@dataclass(frozen=True)
class Collator:
    """Make a batch of rows: packed ones joined, others padded on the right, where causal attention never looks.

    masked: whether a mask is given all the same, as methods want that put something before a sequence.
    """

    pad: int
    masked: bool = False

    def __call__(self, rows: Sequence[Row]) -> dict[str, "torch.Tensor"]:
        """Return input_ids and labels, and attention_mask or position_ids, each of (rows, tokens)."""
        import torch

        if "position_ids" in rows[0]:
            return {name: torch.tensor([[value for row in rows for value in row[name]]]) for name in rows[0]}
        longest = max(len(row["input_ids"]) for row in rows)
        fill = {"input_ids": self.pad, "labels": IGNORED}
        batch = {
            name: torch.tensor([row[name] + [value] * (longest - len(row[name])) for row in rows])
            for name, value in fill.items()
        }
        if not self.masked:
            return batch
        mask = [[1] * len(row["input_ids"]) + [0] * (longest - len(row["input_ids"])) for row in rows]
        return batch | {"attention_mask": torch.tensor(mask)}
