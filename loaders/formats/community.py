"""LangChain's community loaders go out, kept off the network; this is the one file that imports the package."""

import functools
import warnings
from pathlib import Path
from typing import Any

from langchain_core.documents import Document


def community_loaders() -> Any:
    """Return the module `langchain_community.document_loaders`."""
    with warnings.catch_warnings():
        # 0.4.2 warns that the package is sunset: known, and the reason for its pin
        warnings.simplefilter("ignore", DeprecationWarning)
        from langchain_community import document_loaders
    return document_loaders


@functools.cache
def _unstructured() -> Any:
    """Return LangChain's loaders with unstructured kept off the network.

    Version 0.27 downloads a spaCy model into site-packages at first use, to tell narration from the rest.
    Nothing here asks for that: a blank pipeline gives the same sections on every machine, and sooner.
    """
    import spacy
    from unstructured.nlp import tokenize

    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    tokenize._get_nlp = lambda: nlp  # type: ignore[assignment]
    return community_loaders()


def elements(path: Path, loader: str, **options: object) -> list[Document]:
    """Return what one of LangChain's unstructured loaders finds; languages=[""] spares it guessing each one's."""
    build = getattr(_unstructured(), loader)
    found: list[Document] = build(str(path), mode="elements", languages=[""], **options).load()
    return found
