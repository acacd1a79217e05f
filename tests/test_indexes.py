"""Every kind of vector index keeps one contract, on a temporary directory."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from errors import SettingsError, StoreError
from loaders.indexes import FOLDERS, VectorIndex, open_vectors
from loaders.quantised import LEAST

MANY = LEAST + 500
Held = dict[str, np.ndarray]


class Opened:
    """An index with the vectors that a catalog would hold beside it, and a way to open it again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.held: Held = {}
        self.index: VectorIndex = open_vectors(directory, self.originals)

    def originals(self, ids: Sequence[str]) -> Held:
        return {id_: self.held[id_] for id_ in ids if id_ in self.held}

    def upsert(self, ids: Sequence[str], made: np.ndarray) -> None:
        self.held |= zip(ids, made, strict=True)
        self.index.upsert(ids, made)

    def delete(self, ids: Sequence[str]) -> None:
        for id_ in ids:
            self.held.pop(id_, None)
        self.index.delete(ids)

    def reopen(self) -> VectorIndex:
        self.index.save()
        self.index.close()
        self.index = open_vectors(self.directory, self.originals)
        return self.index

    def before_and_after(self) -> Iterator[VectorIndex]:
        yield self.index
        yield self.reopen()

    def assert_whole(self) -> None:
        assert self.index.count() == len(self.held)
        assert self.index.ids() == set(self.held)


@pytest.fixture(params=FOLDERS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    opened = Opened(tmp_path / f"{FOLDERS[request.param]}-0001")
    yield opened
    opened.index.close()


def vectors(count: int, size: int = 8, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def test_an_empty_index_finds_nothing(opened: Opened) -> None:
    for index in opened.before_and_after():
        assert index.count() == 0
        assert index.ids() == set()
        assert index.nearest([1.0, 0.0], 3) == []
        index.delete(["no such id"])
        index.delete([])
        index.upsert([], np.empty((0, 2), dtype=np.float32))
        assert index.count() == 0


def test_the_nearest_come_first_with_their_cosine(opened: Opened) -> None:
    opened.upsert(["east", "north", "west", "northeast"], np.array([[1, 0], [0, 9], [-1, 0], [2, 2]], dtype=np.float32))
    for index in opened.before_and_after():
        found = index.nearest([3.0, 0.0], 4)
        assert [id_ for id_, _ in found] == ["east", "northeast", "north", "west"]
        assert [score for _, score in found] == pytest.approx([1, 0.5**0.5, 0, -1], abs=1e-6)
        assert index.nearest([3.0, 0.0], 1) == found[:1]
        assert index.nearest([3.0, 0.0], 99) == found
        assert index.nearest([3.0, 0.0], 0) == []


def test_upsert_replaces(opened: Opened) -> None:
    opened.upsert(["a", "b"], np.eye(2, dtype=np.float32))
    opened.upsert(["b", "c"], np.array([[1, 0], [0, 1]], dtype=np.float32))
    for index in opened.before_and_after():
        assert index.count() == 3
        assert dict(index.nearest([1.0, 0.0], 3)) == pytest.approx({"a": 1, "b": 1, "c": 0}, abs=1e-6)


def test_many_vectors_are_added_found_removed_and_kept(opened: Opened) -> None:
    made = vectors(MANY)
    ids = [f"chunk {n}" for n in range(MANY)]
    for at in range(0, MANY, 1500):
        opened.upsert(ids[at : at + 1500], made[at : at + 1500])
    exact = np.sort(made @ made[7])[::-1]
    for index in opened.before_and_after():
        opened.assert_whole()
        for at in (0, 249, 250, 5460, MANY - 1):
            found = index.nearest(made[at].tolist(), 5)
            assert found[0] == (ids[at], pytest.approx(1, abs=1e-5))
            assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
        scores = [score for _, score in index.nearest(made[7].tolist(), 100)]
        assert sum(score > exact[100] for score in scores) > 90
    opened.delete(ids[: MANY - 50])
    opened.assert_whole()
    assert {id_ for id_, _ in opened.index.nearest(made[0].tolist(), 6000)} == set(ids[MANY - 50 :])
    opened.upsert(["new", ids[-1]], made[:2])
    opened.reopen()
    opened.assert_whole()
    assert opened.index.nearest(made[0].tolist(), 1)[0][0] == "new"
    assert opened.index.nearest(made[1].tolist(), 1)[0][0] == ids[-1]


@pytest.mark.parametrize("kind", ["exact", "pq"])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(
        st.tuples(st.sampled_from(["upsert", "delete", "reopen"]), st.sets(st.integers(0, 9)), st.integers(0, 99)),
        max_size=8,
    )
)
def test_any_edits_equal_what_they_leave(
    kind: str, edits: list[tuple[str, set[int], int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    opened = Opened(tmp_path_factory.mktemp("index") / f"{FOLDERS[kind]}-0001")
    for what, numbers, seed in edits:
        ids = [str(number) for number in sorted(numbers)]
        if what == "upsert":
            opened.upsert(ids, vectors(len(ids), seed=seed))
        elif what == "delete":
            opened.delete(ids)
        else:
            opened.reopen()
        query = vectors(1, seed=seed)[0]
        wanted = {id_: float(vector @ query) for id_, vector in opened.held.items()}
        assert dict(opened.index.nearest(query.tolist(), 99)) == pytest.approx(wanted, abs=1e-5)
        opened.assert_whole()
    opened.index.close()


def test_without_faiss_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(SettingsError, match="RAG_INDEX=pq: faiss is not installed") as caught:
        Opened(tmp_path / "pq-0001")
    assert "pip install" in caught.value.remedy


@pytest.mark.parametrize(
    ("kind", "count", "damage"),
    [
        ("exact", 10, lambda folder: (folder / "vectors.npy").write_bytes(b"junk")),
        ("exact", 10, lambda folder: (folder / "vectors.npy").write_bytes((folder / "vectors.npy").read_bytes()[:200])),
        ("exact", 10, lambda folder: (folder / "vectors.npy").unlink()),
        ("exact", 10, lambda folder: (folder / "ids.json").write_text('["one"]')),
        ("exact", 10, lambda folder: (folder / "ids.json").write_text("[")),
        ("pq", 10, lambda folder: (folder / "vectors.npy").unlink()),
        ("pq", MANY, lambda folder: (folder / "index.faiss").write_bytes(b"junk")),
        ("pq", MANY, lambda folder: (folder / "index.faiss").unlink()),
        ("pq", MANY, lambda folder: (folder / "names.json").write_text('{"numbers": {}}')),
    ],
)
def test_damaged_files_are_one_line(kind: str, count: int, damage: Callable[[Path], object], tmp_path: Path) -> None:
    opened = Opened(tmp_path / f"{FOLDERS[kind]}-0001")
    opened.upsert([str(n) for n in range(count)], vectors(count))
    opened.index.save()
    opened.index.close()
    damage(opened.directory)
    with pytest.raises(StoreError, match="can't be opened") as caught:
        open_vectors(opened.directory, opened.originals)
    assert "doctor --repair" in caught.value.remedy
