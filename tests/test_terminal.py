"""What the terminal shows of an answer: what it cites under each source, the nearest passages of a refusal, no more."""

import pytest

from chains.answers import Answer, Citation, Source, Statement
from terminal import print_sources

SOURCES = tuple(
    Source(n, f"/docs/{n}.md", None, n, "", 0, text, 0.5)
    for n, text in enumerate(["Orion holds water.", "The \x1b[31mDanube\u202e\nflows."], 1)
)


def answer(*statements: Statement, cited: tuple[int, ...] = (), abstained: bool = False) -> Answer:
    return Answer("?", ("?",), "", SOURCES, statements=statements, cited=cited, abstained=abstained)


def test_under_a_cited_source_stands_what_is_cited_once(capsys: pytest.CaptureFixture[str]) -> None:
    span = Citation(1, "/docs/1.md", None, 1, 0, 12, "It was built\nin 1912.")
    print_sources(answer(Statement("Built in 1912.", 0.9, (span,)), Statement("In 1912.", 0.9, (span,)), cited=(1,)))
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "", "[1] /docs/1.md, line 1  0.500", "It was built in 1912.",
        "", "[2] /docs/2.md, line 2  0.500", "The Danube flows.",
    ]  # fmt: skip


def test_a_refusal_shows_the_nearest_passages_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    print_sources(answer(abstained=True))
    assert capsys.readouterr().out.startswith("\nThe nearest passages:\n\n[1] /docs/1.md, line 1  0.500\nOrion holds")


def test_nothing_is_shown_of_no_answer(capsys: pytest.CaptureFixture[str]) -> None:
    print_sources(None)
    assert capsys.readouterr().out == ""
