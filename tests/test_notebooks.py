import asyncio
import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from settings import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
os.environ["MINUTES"] = "0.2"  # of training in 05_fine_tune
AT_ONCE = 2  # importing, reading and splitting keep one core busy each


async def execute(path: Path, turn: asyncio.Semaphore) -> None:
    async with turn:
        notebook = nbformat.read(path, as_version=4)
        await NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(path.parent)}}).async_execute()


@pytest.fixture(scope="module")
def ends(request: pytest.FixtureRequest) -> dict[str, BaseException | None]:
    """Run the notebooks that were chosen, and return with what error each ended."""
    wanted = {item.name for item in request.session.items}
    chosen = [path for path in NOTEBOOKS if f"test_notebook_runs_as_in_jupyter[{path.stem}]" in wanted]

    async def execute_all() -> list[BaseException | None]:
        turn = asyncio.Semaphore(AT_ONCE)
        return await asyncio.gather(*(execute(path, turn) for path in chosen), return_exceptions=True)

    return dict(zip((path.stem for path in chosen), asyncio.run(execute_all()), strict=True))


# the kernel is another process on a loopback port, which pytest-socket's host list allows
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_as_in_jupyter(path: Path, ends: dict[str, BaseException | None]):
    if error := ends[path.stem]:
        raise error


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_committed_without_outputs(path: Path):
    cells = nbformat.read(path, as_version=4).cells
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in cells)
