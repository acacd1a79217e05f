"""Every error that a user can cause or mend: each says what was wrong, why, and what to do.

RagError
├── SettingsError     a RAG_* value, in the environment or in .env
├── DocumentError     a file or folder that can't be read
│   └── FormatError     a file of a kind that is not read here
├── StoreError        the index directory
│   ├── StoreLocked     another process holds it
│   └── StoreMismatch   it was built with other settings
├── ModelError        a model that can't be found, trusted, loaded or asked
│   └── ModelBusy       as many requests wait for it as may
├── QuestionError     a question that can't be answered as it stands
└── EvaluationError   a test set that can't be used
    └── ScoreError      a score that is under its bound, or worse than before
"""

from typing import Any


class RagError(Exception):
    """Say in one line what was wrong (value), why (reason) and what to do (remedy)."""

    def __init__(self, value: object, reason: str, remedy: str) -> None:
        """Keep the three parts; line breaks inside them become spaces."""
        self.value, self.reason, self.remedy = (" ".join(str(p).split()) for p in (value, reason, remedy))
        super().__init__(f"{self.value}: {self.reason}. {self.remedy}.")

    def __reduce__(self) -> tuple[type["RagError"], tuple[Any, ...]]:
        """Survive the trip between processes, which pickles exceptions."""
        return type(self), (self.value, self.reason, self.remedy)


class SettingsError(RagError):
    """A RAG_* value is unknown or out of bounds."""


class DocumentError(RagError):
    """A file or folder can't be read."""


class FormatError(DocumentError):
    """A file is of a kind that is not read here, such as a picture."""


class StoreError(RagError):
    """The index directory can't be used."""


class StoreLocked(StoreError):
    """Another process holds the index directory."""


class StoreMismatch(StoreError):
    """The index was built with other settings than the present ones."""


class ModelError(RagError):
    """A model can't be found, trusted, loaded or asked."""


class ModelBusy(ModelError):
    """As many requests wait for the model as may; retry_after_s says when these will have had their turn."""

    def __init__(self, value: object, reason: str, remedy: str, retry_after_s: float) -> None:
        """Keep the seconds too."""
        super().__init__(value, reason, remedy)
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[type["RagError"], tuple[Any, ...]]:
        """Keep the seconds on the trip between processes."""
        return type(self), (self.value, self.reason, self.remedy, self.retry_after_s)


class QuestionError(RagError):
    """A question can't be answered as it stands."""


class EvaluationError(RagError):
    """A test set can't be used."""


class ScoreError(EvaluationError):
    """A score is under the bound that it was to keep, or worse than it was."""


def one_line(error: BaseException) -> str:
    """Return the first cause of a chain of errors in one short line, to be the reason of a RagError."""
    while error.__cause__:
        error = error.__cause__
    reason = error.strerror if isinstance(error, OSError) else None
    return " ".join((reason or str(error) or type(error).__name__).split())[:200].rstrip(".")
