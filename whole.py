"""The commands that read whole documents: a question about all of them, or a source, comes in; the answer is shown."""

import contextlib
from typing import TYPE_CHECKING, Annotated

import typer

from evaluations import leaf
from options import Json
from terminal import log, print_json, print_sources, show_reading

if TYPE_CHECKING:
    from loaders.filters import Filter
    from settings import Settings


def tell_of_all(question: str) -> None:
    """Say, of a question about all documents, how to have all of them read."""
    with contextlib.suppress(ModuleNotFoundError):  # the folder surveys/ may be deleted
        from surveys.whole_questions import is_about_all

        if is_about_all(question):
            log.print("(this reads the best passages only: --all reads every document)", markup=False)


def ask_all(settings: "Settings", question: str, where: "Filter | None", *, as_json: bool) -> None:
    """Answer from every document."""
    import pipeline

    with leaf("surveys"):
        from surveys import wiring
    with pipeline.open_index(settings) as index:
        chain = wiring.build_whole_search(settings, index, where)
        answer = show_reading(chain, {"question": question, "history": []}, quiet=as_json)
    (print_json if as_json else print_sources)(answer)


def summarise(
    source: Annotated[str, typer.Argument(help="The path, the name or a glob of indexed documents.")],
    words: Annotated[int, typer.Option(min=20, max=2000, help="Length of the summary, about.")] = 150,
    method: Annotated[
        str, typer.Option(metavar="map-reduce|refine", help="How a model goes through a long text.")
    ] = "map-reduce",
    as_json: Json = False,
) -> None:
    """Summarise whole documents, each sentence with its source; say how much was read."""
    import pipeline

    with leaf("surveys"):
        from surveys import wiring
    from settings import load_settings

    settings = load_settings()
    if method not in wiring.METHODS:
        raise typer.BadParameter(f"--method {method}: there are {' and '.join(wiring.METHODS)}")
    with pipeline.open_index(settings) as index:
        sources = wiring.matching_sources(index, source)
        with wiring.open_summary(settings, index, most_words=words, method=method) as chain:
            answer = show_reading(chain, sources, quiet=as_json)
    (print_json if as_json else print_sources)(answer)
