"""A text comes in; how many tokens it has, and where each of them begins, go out."""

import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PIECE = 20_000  # characters tokenised at once: a book in one go would take hundreds of megabytes
LONGEST = 24  # characters of a token; a longer one is a word that the model does not know (WordPiece: over 100)
UNKNOWN = 4  # characters a token in such a word, so that text without spaces is cut at all
WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class TokenCounter:
    """Count a model's tokens, special ones left out."""

    tokenizer: "Tokenizer"

    def __call__(self, text: str) -> int:
        """Return the number of tokens in the text."""
        return len(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def starts(self, text: str) -> "array[int]":
        """Return the offset in characters at which each token begins; an unknown long word counts as several."""
        found = array("L")
        for start, end in _pieces(text):
            encoded = self.tokenizer.encode(text[start:end], add_special_tokens=False)
            for first, last in encoded.offsets:
                found.append(start + first)
                if last - first > LONGEST:
                    found.extend(range(start + first + UNKNOWN, start + last, UNKNOWN))
        return found


def token_starts(count_tokens: Callable[[str], int], text: str) -> "array[int]":
    """Return where the text's tokens begin; those of a counter that can't tell are put at the start of their word."""
    if isinstance(count_tokens, TokenCounter):
        return count_tokens.starts(text)
    return array("L", (m.start() for m in WORD.finditer(text) for _ in range(count_tokens(m.group()))))


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Yield the text's span in pieces that end with a line, or else wherever they are full."""
    start = 0
    while len(text) - start > PIECE:
        end = text.rfind("\n", start, start + PIECE) + 1 or start + PIECE
        yield start, end
        start = end
    yield start, len(text)
