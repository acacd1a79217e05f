"""A file's Documents come in; they go out cut at their headings, where their language has any."""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePath
from typing import NamedTuple

from langchain_core.documents import Document

# a heading with marks; one with a line under it; or a fence, in which no heading is one
MARKDOWN = re.compile(
    r"^(#{1,6})[ \t]+(.+?)(?:[ \t]+#+)?[ \t]*$"
    r"|(?:(?<=\n\n)|\A)(?![-*+>|#] )(\S[^\n]*)\n(={3,}|-{3,})[ \t]*$"
    r"|^[ \t]*(`{3,}(?=[^`\n]*$)|~{3,})[ \t]*(\S?)",
    re.MULTILINE,
)
ORG = re.compile(r"^(\*+)[ \t]+(.+?)[ \t]*$", re.MULTILINE)
ASCIIDOC = re.compile(r"^(={1,6})[ \t]+(.+?)[ \t]*$", re.MULTILINE)
RST = re.compile(
    r"^(?:([=\-`:.'\"~^_*+#])\1{2,}[ \t]*\n)?[ \t]?(\S[^\n]*)\n([=\-`:.'\"~^_*+#])\3{2,}[ \t]*$", re.MULTILINE
)
LATEX = re.compile(r"^[ \t]*\\((?:sub)*section|chapter|part)\*?(?:\[[^\]\n]*\])?\{([^\n]+)\}", re.MULTILINE)
LATEX_LEVELS = ("part", "chapter", "section", "subsection", "subsubsection")
DEEPEST = 6


class Heading(NamedTuple):
    """Where a heading's line begins, how deep it is (from 1), and its words."""

    start: int
    level: int
    title: str


def sections(documents: Iterable[Document]) -> Iterator[Document]:
    """Yield the Documents cut at the headings of their language, the heading path as section."""
    for document in documents:
        find = LANGUAGES.get(PurePath(document.metadata["source"]).suffix.lower())
        if find is None or document.metadata["section"]:
            yield document
        else:
            yield from _cut(document, find(document.page_content))


def _cut(document: Document, headings: Iterable[Heading]) -> Iterator[Document]:
    text, before = document.page_content, document.metadata
    path, start, line, section = [""] * DEEPEST, 0, before["line"] or 0, ""
    for heading in (*headings, Heading(len(text), 1, "")):
        where = {"start_index": before["start_index"] + start, "section": section}
        part = text[start : heading.start]
        yield Document(page_content=part, metadata=before | where | {"line": before["line"] and line})
        start, line = heading.start, line + part.count("\n")
        level = min(heading.level, DEEPEST)
        path[level - 1 :] = [heading.title, *[""] * (DEEPEST - level)]
        section = " > ".join(filter(None, path))


def _markdown(text: str) -> Iterator[Heading]:
    fenced = ""
    for match in MARKDOWN.finditer(text):
        marks, title, underlined, line, fence, info = match.groups()
        if fence:
            if not fenced:
                fenced = fence
            elif fence.startswith(fenced) and not info:
                fenced = ""
        elif not fenced:
            level = len(marks) if marks else 1 if line.startswith("=") else 2
            yield Heading(match.start(), level, (title or underlined).strip())


def _marked(pattern: re.Pattern[str]) -> Callable[[str], Iterator[Heading]]:
    return lambda text: (Heading(m.start(), len(m[1]), m[2]) for m in pattern.finditer(text))


def _rst(text: str) -> Iterator[Heading]:
    """Yield the titles; how deep one is shows in the order in which the adornments first appear."""
    seen: list[tuple[str, str]] = []
    for match in RST.finditer(text):
        over, title, under = match.groups()
        if (over and over != under) or len(match[0].rstrip().rpartition("\n")[2]) < len(title.rstrip()):
            continue  # a table's border, or a line shorter than what stands above it
        if (over or "", under) not in seen:
            seen.append((over or "", under))
        yield Heading(match.start(), seen.index((over or "", under)) + 1, title.strip())


def _latex(text: str) -> Iterator[Heading]:
    for match in LATEX.finditer(text):
        yield Heading(match.start(), LATEX_LEVELS.index(match[1]) + 1 if match[1] in LATEX_LEVELS else 5, match[2])


LANGUAGES: dict[str, Callable[[str], Iterator[Heading]]] = {
    **dict.fromkeys((".md", ".markdown", ".mdx", ".qmd", ".rmd"), _markdown),
    ".org": _marked(ORG),
    **dict.fromkeys((".adoc", ".asciidoc"), _marked(ASCIIDOC)),
    ".rst": _rst,
    ".tex": _latex,
}
