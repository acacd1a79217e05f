"""What an answer consists of: the text, its statements with what supports them, and the sources behind it."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Citation:
    """A verbatim stretch of a source that supports a statement.

    n: the source's number. start, end: its characters in the document's text, `text` being what stands there.
    """

    n: int
    source: str
    page: int | None
    line: int | None
    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Statement:
    """A sentence of an answer, without its numbers, how strongly the sources support it, from 0 to 1, and which do.

    A verbatim one has a support of 1; two sentences quoted from one passage are one statement, with `…` between them
    where the passage has more there.
    """

    text: str
    support: float
    citations: tuple[Citation, ...] = ()


@dataclass(frozen=True)
class Source:
    """A passage behind an answer: where it is, and its sentence that fits the question best, verbatim.

    also_in: other documents that hold the same passage.
    """

    n: int
    source: str
    page: int | None
    line: int | None
    section: str
    start: int
    text: str
    score: float
    also_in: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """An answer with all that it rests on.

    abstained: the passages don't hold an answer. quoted: the model's draft was not supported, or none was wanted, and a
    passage's own sentence stands in its place. statements: the answer's sentences, none of a refusal. cited: the
    numbers of the sources that these cite. sufficiency: how likely the passages hold an answer, from 0 to 1. dropped:
    passages that did not fit the model's context. finish_reason: why the model stopped writing: stop, length
    (RAG_MAX_ANSWER_TOKENS) or repetition; "" where none wrote. forgotten: earlier turns that were shortened or left out
    for the model that made the question stand alone. cached: it is one that was given before; its timings are those of
    the look-up, its usage that of then.
    """

    question: str
    queries: tuple[str, ...]
    answer: str
    sources: tuple[Source, ...] = ()
    statements: tuple[Statement, ...] = ()
    cited: tuple[int, ...] = ()
    sufficiency: float = 0.0
    abstained: bool = False
    quoted: bool = False
    dropped: int = 0
    finish_reason: str = ""
    forgotten: int = 0
    timings: dict[str, float] = field(default_factory=dict)
    usage: dict[str, int] = field(default_factory=dict)
    cached: bool = False
