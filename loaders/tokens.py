"""A text comes in; how many tokens it has, and where each of them begins, go out."""

import re
from array import array
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

LONGEST = 24  # characters of a token; a longer one is a word that the model does not know (WordPiece: over 100)
UNKNOWN = 4  # characters a token in such a word, so that text without spaces is cut at all
UNKNOWN_TOKENS = ("[UNK]", "<unk>")
REMEMBERED = 50_000  # words: those of a large English collection
WORD = re.compile(r"\S{1,5000}")


class TokenCounter:
    """Count a model's tokens, special ones left out."""

    def __init__(self, file: Path) -> None:
        """Load a tokenizer.json; what it raises where that is damaged, tokenizers 0.23 says no more exactly."""
        from tokenizers import Tokenizer

        self.file = file
        self.tokenizer = Tokenizer.from_file(str(file))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        # byte-level tokenizers have the space before a word in its first token
        self._lead = " " if "ByteLevel" in str(self.tokenizer.pre_tokenizer) else ""
        # a text word by word is ten times as fast as at once, and the same to a tokenizer
        self._known: Callable[[str], tuple[int, ...]] = lru_cache(REMEMBERED)(self._offsets)

    def __reduce__(self) -> tuple[type["TokenCounter"], tuple[Path]]:
        """Travel light to the workers that read files: they load it again, all at the same time."""
        return TokenCounter, (self.file,)

    def __call__(self, text: str) -> int:
        """Return the number of tokens in the text."""
        return len(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def starts(self, text: str) -> "array[int]":
        """Return the offset in characters at which each token begins; an unknown long word counts as several."""
        found = array("L")
        for match in WORD.finditer(text):
            word, at = match.group(), match.start()
            offsets = self._known(word) if len(word) <= LONGEST else self._offsets(word)
            if len(offsets) == 1:
                found.append(at)
            else:
                found.extend([at + offset for offset in offsets])
        return found

    def familiar(self, text: str) -> float:
        """Return how well the model knows the text's language: 1 less the tokens for each character, at least 0.

        That is 0 where it reads letter by letter, or doesn't know them; about 0.75 for English in a model of English.
        """
        found = self.tokenizer.encode(text, add_special_tokens=False)
        pieces = zip(found.tokens, found.offsets, strict=True)
        tokens = sum(last - first if token in UNKNOWN_TOKENS else 1 for token, (first, last) in pieces)
        return max(0.0, 1 - tokens / max(1, len("".join(text.split()))))

    def whole_words(self) -> frozenset[str]:
        """Return the words, in lower case, that are a token each: the commonest of the model's languages."""
        tokens = self.tokenizer.get_vocab()
        starts = ("\u0120", "\u2581")  # byte-level BPE and SentencePiece mark where a word begins, WordPiece where not
        marked = [token[1:] for token in tokens if token.startswith(starts)]
        words = marked or [token for token in tokens if not token.startswith("##")]
        return frozenset(word.casefold() for word in words if word.isalpha())

    def _offsets(self, word: str) -> tuple[int, ...]:
        found: list[int] = []
        for first, last in self.tokenizer.encode(self._lead + word, add_special_tokens=False).offsets:
            at = max(first - len(self._lead), 0)
            found.append(at)
            if last - first > LONGEST:
                found.extend(range(at + UNKNOWN, last - len(self._lead), UNKNOWN))
        return tuple(found)


def token_starts(count_tokens: Callable[[str], int], text: str) -> "array[int]":
    """Return where the text's tokens begin; those of a counter that can't tell are put at the start of their word."""
    if isinstance(count_tokens, TokenCounter):
        return count_tokens.starts(text)
    return array("L", (m.start() for m in WORD.finditer(text) for _ in range(count_tokens(m.group()))))
