"""Passages of whole documents come in; their text, nothing twice, and how much of it was read go out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from langchain_core.documents import Document

from chains.answers import Answer, Citation
from sentences import sentence_spans
from words import words


@dataclass(frozen=True)
class Coverage:
    """How many of all the documents and their passages were read, their words, and in how many windows, if in any."""

    documents: int = 0
    of_documents: int = 0
    passages: int = 0
    of_passages: int = 0
    words: int = 0
    windows: int = 0

    @property
    def told(self) -> str:
        """Say it in one line."""
        documents = f"{self.documents} of {self.of_documents} documents, " if self.of_documents > 1 else ""
        windows = f", {self.windows} window{'s' * (self.windows > 1)}" if self.windows else ""
        return f"read {documents}{self.passages} of {self.of_passages} passages, {self.words:,} words{windows}"


@dataclass(frozen=True)
class WholeAnswer(Answer):
    """An answer for which documents were read from beginning to end, or as far as `coverage` says."""

    coverage: Coverage = Coverage()


def count_words(texts: Iterable[str]) -> int:
    """Return the number of words, in scripts without spaces that of the pairs of characters."""
    return sum(len(words(text)) for text in texts)


def read_once(passages: Sequence[Document]) -> list[Document]:
    """Return the text of passages in its order, nothing twice: those that overlap or touch are one Document.

    passages: in the order of their documents. Metadata: the place of the first.
    """
    stretches: list[Document] = []
    for passage in passages:
        last, at, text = stretches[-1] if stretches else None, passage.metadata, passage.page_content
        if last and (at["source"], at["page"]) == (last.metadata["source"], last.metadata["page"]):
            begin = at["start"] - last.metadata["start"]
            shared = last.page_content[max(begin, 0) : begin + len(text)]
            if 0 <= begin <= len(last.page_content) and text.startswith(shared):
                last.page_content += text[len(shared) :]
                continue
        stretches.append(Document(page_content=text, metadata=dict(at)))
    return stretches


def sentences_once(passages: Sequence[Document]) -> Iterator[Citation]:
    """Yield every sentence of the passages once, in order, verbatim and with its place; their number is 0."""
    for stretch in read_once(passages):
        at, text = stretch.metadata, stretch.page_content
        for start, end in sentence_spans(text):
            line = at["line"] and at["line"] + text.count("\n", 0, start)
            place = (at["source"], at["page"], line, at["start"] + start, at["start"] + end)
            yield Citation(0, *place, text[start:end])
