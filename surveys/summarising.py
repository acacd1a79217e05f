"""Whole documents come in; a summary, every sentence verbatim or checked against what it was made from, goes out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableLambda

from chains.answers import Citation, Source, Statement
from surveys.central import Embed, central_sentences, unit, varied
from surveys.coverage import Coverage, WholeAnswer, count_words, read_once, sentences_once
from surveys.faithful import shown_quote, supported

Read = Callable[[str], tuple[list[Document], np.ndarray]]  # source → its passages in order, their unit vectors
STAND_IN = 40  # words of what stands in for unsupported sentences of a window
LEAST = 40  # words in which a window is summarised, at least
OVERLAP = 1  # passages that a window repeats of the one before it
RESERVED = 3  # tokens for each word of the summary so far, in a prompt to refine it
SLACK = 1.2  # times the words that were asked for are not too many


@dataclass(frozen=True)
class Writer:
    """A model that summarises, and what of its sentences is kept.

    write: passages, the summary so far ("" for none), how many words → sentences. fits: whether the same three fit the
    model's context. refine: go from window to window with the summary so far; otherwise each window is summarised for
    itself (map), then the summaries (reduce).
    """

    write: Callable[[Sequence[Document], str, int], list[str]]
    fits: Callable[[Sequence[Document], str, int], bool]
    least_support: float
    refine: bool = False

    def checked(
        self, passages: Sequence[Document], evidence: Sequence[Citation], before: str, most_words: int
    ) -> tuple[list[Statement], bool]:
        """Return what is supported of the sentences that it writes, and whether that is all."""
        drafts = self.write(passages, before, most_words)
        kept = [supported(sentence, evidence, least_support=self.least_support) for sentence in drafts]
        return [statement for statement in kept if statement], bool(kept) and all(kept)


def build_summary(
    *, read: Read, embed: Embed, most_words: int, writer: Writer | None = None
) -> Runnable[Sequence[str], WholeAnswer]:
    """Return a Runnable: sources → their summary in about `most_words` words; `stream` yields it after every window.

    Without a writer it is made of the most central sentences (chains/central.py).
    """

    def summarise(sources: Sequence[str]) -> Iterator[WholeAnswer]:
        texts = [read(source) for source in sources]
        passages, vectors = [p for text, _ in texts for p in text], np.concatenate([found for _, found in texts])
        if writer is None:
            chosen = central_sentences(passages, vectors, embed, most_words=most_words)
            yield _answer(sources, list(map(_verbatim, chosen)), _read(passages, passages))
            return
        reserved = "word " * RESERVED * most_words if writer.refine else ""
        windows = cut(
            len(passages), lambda part: writer.fits(read_once(passages[part]), reserved, most_words), overlap=OVERLAP
        )
        room = most_words if writer.refine else max(LEAST, 2 * most_words // (len(windows) + 1))
        statements: list[Statement] = []
        for done, part in enumerate(windows, 1):
            before = statements if writer.refine else []
            made = _written(writer, passages[part], vectors[part], embed, before, room)
            # what is carried on has to fit beside the next window
            refined = _most_central(made, embed, most_words) if writer.refine else []
            statements = refined or _distinct([*statements, *made])
            coverage = replace(_read(passages[: part.stop], passages), windows=done)
            yield _answer(sources, statements, coverage)
        yield _answer(sources, _shortened(writer, statements, embed, most_words), coverage)

    return RunnableLambda(summarise, name="summarise")


def cut(count: int, fits: Callable[[slice], bool], *, overlap: int) -> list[slice]:
    """Return windows, as long as fit, that cover so many items, each repeating the last `overlap` of the one before.

    An item that does not fit alone is a window of its own.
    """
    windows: list[slice] = []
    start = new = 0  # the first item of the window, the first that no window has
    while new < count:
        low, step = new + 1, 1
        while low < count and fits(slice(start, min(low + step, count))):
            low, step = min(low + step, count), 2 * step
        high = min(low + step, count) - 1
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if fits(slice(start, middle)) else (low, middle - 1)
        windows.append(slice(start, low))
        start, new = low - overlap, low
    return windows


def _written(
    writer: Writer,
    passages: Sequence[Document],
    vectors: np.ndarray,
    embed: Embed,
    before: Sequence[Statement],
    most_words: int,
) -> list[Statement]:
    """Return a window's summary; where not all of it is supported, its most central sentences stand in for the rest."""
    evidence = [*sentences_once(passages), *(cited for statement in before for cited in statement.citations)]
    told = " ".join(statement.text for statement in before)
    made, whole = writer.checked(read_once(passages), evidence, told, most_words)
    if not whole:
        central = central_sentences(passages, vectors, embed, most_words=STAND_IN)
        made = [*(made or before), *map(_verbatim, central)]
    return _distinct(made)


def _shortened(writer: Writer, statements: list[Statement], embed: Embed, most_words: int) -> list[Statement]:
    """Return the statements in fewer words: summarised as long as that helps, then the most central of them."""
    size = sum(map(_size, statements))
    while size > SLACK * most_words:
        made = _summarised(writer, statements, most_words)
        made_size = sum(map(_size, made))
        if not 0 < made_size < size:
            return _most_central(statements, embed, most_words)
        statements, size = made, made_size
    return statements


def _summarised(writer: Writer, statements: Sequence[Statement], most_words: int) -> list[Statement]:
    """Return what is supported of the model's summary of the statements, which rest on what these rest on."""

    def fits(part: slice) -> bool:
        return writer.fits([_as_passage(statements[part])], "", most_words)

    windows, made = cut(len(statements), fits, overlap=0), list[Statement]()
    for part in windows:
        evidence = [cited for statement in statements[part] for cited in statement.citations]
        made += writer.checked([_as_passage(statements[part])], evidence, "", most_words // len(windows))[0]
    return _distinct(made)


def _most_central(statements: list[Statement], embed: Embed, most_words: int) -> list[Statement]:
    """Return the statements if they are short enough, or the most central of them."""
    sizes = list(map(_size, statements))
    if sum(sizes) <= SLACK * most_words:
        return statements
    vectors = embed([statement.text for statement in statements])
    kept = varied(vectors, unit(vectors.mean(axis=0)), np.arange(len(vectors)), sizes, most_words)
    return [statements[at] for at in sorted(kept)]


def _as_passage(statements: Sequence[Statement]) -> Document:
    return Document(page_content=" ".join(statement.text for statement in statements), metadata={"section": ""})


def _size(statement: Statement) -> int:
    return count_words([statement.text])


def _distinct(statements: Sequence[Statement]) -> list[Statement]:
    return list({statement.text: statement for statement in statements}.values())


def _verbatim(sentence: Citation) -> Statement:
    return Statement(shown_quote(sentence.text), 1.0, (sentence,))


def _read(passages: Sequence[Document], every: Sequence[Document]) -> Coverage:
    documents, total = (len({passage.metadata["source"] for passage in part}) for part in (passages, every))
    words = count_words(stretch.page_content for stretch in read_once(passages))
    return Coverage(documents, total, len(passages), len(every), words)


def _answer(sources: Sequence[str], statements: Sequence[Statement], coverage: Coverage) -> WholeAnswer:
    """Return the summary, its sources numbered in the order in which they are cited."""
    number: dict[Citation, int] = {}
    numbered: list[Statement] = []
    support: dict[int, float] = {}
    for statement in statements:
        ns = [number.setdefault(cited, len(number) + 1) for cited in statement.citations]
        support |= {n: max(statement.support, support.get(n, 0.0)) for n in ns}
        cited = tuple(replace(cited, n=n) for cited, n in zip(statement.citations, ns, strict=True))
        numbered.append(replace(statement, citations=cited))
    return WholeAnswer(
        question=f"summarise {', '.join(sources)}",
        queries=(),
        answer=" ".join(f"{s.text} [{', '.join(str(c.n) for c in s.citations)}]" for s in numbered),
        sources=tuple(Source(n, c.source, c.page, c.line, "", c.start, c.text, support[n]) for c, n in number.items()),
        statements=tuple(numbered),
        cited=tuple(support),
        sufficiency=1.0,
        quoted=all(s.text in [shown_quote(c.text) for c in s.citations] for s in numbered),
        coverage=coverage,
    )
