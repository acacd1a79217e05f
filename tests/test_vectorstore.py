"""Chroma itself, on a temporary directory."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from errors import StoreError
from loaders.vectorstore import ChromaIndex


@pytest.fixture
def index(tmp_path: Path) -> Iterator[ChromaIndex]:
    index = ChromaIndex(tmp_path / "chroma")
    yield index
    index.close()


def vectors(count: int, size: int = 16, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def test_more_rows_than_chroma_takes_at_once(index: ChromaIndex) -> None:
    made = vectors(6000)
    ids = [f"chunk {n}" for n in range(6000)]
    index.upsert(ids, made)
    assert index.count() == 6000
    assert index.ids() == set(ids)
    for at in (0, 249, 250, 5460, 5999):
        found = index.nearest(made[at].tolist(), 5)
        assert found[0] == (ids[at], pytest.approx(1, abs=1e-5))
        assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    exact = np.sort(made @ made[7])[::-1]
    assert [score for _, score in index.nearest(made[7].tolist(), 1000)[:100]] == pytest.approx(exact[:100], abs=1e-4)
    index.delete(ids[:5600])
    assert index.ids() == set(ids[5600:])
    assert {id_ for id_, _ in index.nearest(made[0].tolist(), 6000)} == set(ids[5600:])


def test_a_damaged_database_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "chroma").mkdir()
    (tmp_path / "chroma" / "chroma.sqlite3").write_bytes(b"junk" * 5000)
    with pytest.raises(StoreError, match="Chroma can't open it") as caught:
        ChromaIndex(tmp_path / "chroma")
    assert "doctor --repair" in caught.value.remedy
