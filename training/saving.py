"""A target that must be empty comes in; a draft beside it goes out, which becomes the target or vanishes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from errors import EvaluationError


@dataclass(frozen=True)
class Draft:
    """A folder to write to, and the place that it may take."""

    path: Path
    target: Path

    def keep(self) -> None:
        """Put the draft in the target's place."""
        if self.target.exists():
            self.target.rmdir()
        self.path.replace(self.target)


def refuse_full(target: Path) -> None:
    """Raise EvaluationError for a target that is not empty."""
    if target.exists() and (target.is_file() or any(target.iterdir())):
        raise EvaluationError(target, "there is something in it", "name a new folder")


@contextmanager
def draft_of(target: Path) -> Iterator[Draft]:
    """Yield a draft on the same disk, gone in the end unless it was kept: what breaks off leaves nothing behind."""
    refuse_full(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".draft-", dir=target.parent) as aside:
        yield Draft(Path(aside) / "model", target)
