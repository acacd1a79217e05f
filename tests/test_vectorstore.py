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


def test_an_empty_index_finds_nothing(index: ChromaIndex) -> None:
    assert index.count() == 0
    assert index.ids() == set()
    assert index.nearest([1.0, 0.0], 3) == []
    index.delete(["no such id"])
    index.delete([])
    index.upsert([], np.empty((0, 2), dtype=np.float32))
    assert index.count() == 0


def test_the_nearest_come_first_with_their_cosine(index: ChromaIndex) -> None:
    index.upsert(["east", "north", "west", "northeast"], np.array([[1, 0], [0, 9], [-1, 0], [2, 2]], dtype=np.float32))
    found = index.nearest([3.0, 0.0], 4)
    assert [id_ for id_, _ in found] == ["east", "northeast", "north", "west"]
    assert [score for _, score in found] == pytest.approx([1, 0.5**0.5, 0, -1], abs=1e-6)
    assert index.nearest([3.0, 0.0], 1) == found[:1]
    assert index.nearest([3.0, 0.0], 99) == found


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


def test_upsert_replaces(index: ChromaIndex) -> None:
    index.upsert(["a", "b"], np.eye(2, dtype=np.float32))
    index.upsert(["b", "c"], np.array([[1, 0], [0, 1]], dtype=np.float32))
    assert index.count() == 3
    assert dict(index.nearest([1.0, 0.0], 3)) == pytest.approx({"a": 1, "b": 1, "c": 0}, abs=1e-6)


def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    made = vectors(300)
    first = ChromaIndex(tmp_path / "chroma")
    first.upsert([str(n) for n in range(300)], made)
    first.delete(["7"])
    first.close()
    again = ChromaIndex(tmp_path / "chroma")
    assert again.count() == 299
    assert again.nearest(made[9].tolist(), 1) == [("9", pytest.approx(1, abs=1e-5))]
    assert "7" not in again.ids()
    again.close()


def test_a_damaged_database_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "chroma").mkdir()
    (tmp_path / "chroma" / "chroma.sqlite3").write_bytes(b"junk" * 5000)
    with pytest.raises(StoreError, match="Chroma can't open it") as caught:
        ChromaIndex(tmp_path / "chroma")
    assert "doctor --repair" in caught.value.remedy
