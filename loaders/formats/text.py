"""A plain text file comes in; its text goes out as it stands."""

from collections.abc import Iterator
from pathlib import Path

from loaders.formats.encoding import text_of
from loaders.formats.reading import Reading, Stretch

PROSE = frozenset(
    ".md .markdown .mdx .qmd .rmd .txt .text .log .rst .org .adoc .asciidoc .tex .bib .diff .patch".split()  # noqa: SIM905
)
CODE = frozenset(
    ".bash .bat .c .cc .cfg .clj .cmake .conf .cpp .cs .css .cxx .dart .dockerfile .elm .erl .ex .exs .f90 "  # noqa: SIM905
    ".fish .go .gradle .graphql .groovy .h .hh .hpp .hs .ini .java .jl .js .jsx .kt .kts .less .lua .m .mjs .ml .nim "
    ".nix .php .pl .pm .properties .proto .ps1 .py .pyi .r .rb .rs .sass .scala .scss .sh .sql .svelte .swift .tcl .tf "
    ".toml .ts .tsx .v .vb .vhd .vue .yaml .yml .zig .zsh".split()
)


def plain_text(path: Path, reading: Reading) -> Iterator[Stretch]:
    """Yield the whole file as one stretch."""
    yield Stretch(text_of(path), line=1)
