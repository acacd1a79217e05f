"""The catalog: what SQLite keeps, whole or not at all."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from langchain_core.documents import Document

from errors import StoreError
from loaders.catalog import Catalog, SourceState
from loaders.changes import Changes, remove_source, replace_source, settle
from loaders.entries import Entry


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    catalog = Catalog(tmp_path / "catalog.sqlite")
    yield catalog
    catalog.close()


def entry(id_: str, key: str = "") -> Entry:
    return Entry(id_, None, 1, "", 0, f"words of {id_}", key or f"key {id_}", id_, ())


def state(source: str = "/docs/a.txt", failure: str = "") -> SourceState:
    return SourceState(source, 10, 20, 30, "0" * 64, failure)


def replace(catalog: Catalog, file: SourceState, *entries: Entry) -> set[str]:
    """Put a file's chunks in, inside a transaction, and return the ids that left."""
    changes = Changes()
    replace_source(catalog, file, entries, [], changes)
    settle(catalog, 0, changes)
    return changes.gone


def remove(catalog: Catalog, source: str) -> set[str]:
    changes = Changes()
    remove_source(catalog, source, changes)
    settle(catalog, 0, changes)
    return changes.gone


def put(catalog: Catalog, source: str, *ids: str) -> set[str]:
    with catalog.transaction():
        catalog.add_vectors({f"key {id_}": np.full(4, len(id_), dtype=np.float32) for id_ in ids})
        return replace(catalog, state(source), *map(entry, ids))


def held(catalog: Catalog) -> set[str]:
    return {id_ for ids, _ in catalog.stream_vectors() for id_ in ids}


def test_a_transaction_happens_at_once_or_not_at_all(catalog: Catalog) -> None:
    put(catalog, "/docs/a.txt", "one", "two")
    with pytest.raises(ZeroDivisionError), catalog.transaction():
        catalog.add_vectors({"new": np.ones(4, dtype=np.float32)})
        replace(catalog, state("/docs/a.txt"), entry("three", "new"))
        remove(catalog, "/docs/a.txt")
        catalog.write_meta("k", "v")
        raise ZeroDivisionError
    assert catalog.chunk_ids() == ["one", "two"]
    assert catalog.known_vectors(["new"]) == {}
    assert catalog.read_meta("k") == ""
    assert {id_ for id_, _ in catalog.search_keywords("words", 9)} == {"one", "two"}
    assert put(catalog, "/docs/b.txt", "four") == set()


def test_a_rejected_row_leaves_the_old_source_whole(catalog: Catalog) -> None:
    put(catalog, "/docs/a.txt", "one")
    with pytest.raises(sqlite3.IntegrityError):
        put(catalog, "/docs/b.txt", "two", "one")
    assert list(catalog.sources()) == ["/docs/a.txt"]
    assert catalog.chunk_ids() == ["one"]
    assert catalog.search_keywords("two", 9) == []


def test_another_connection_sees_nothing_before_the_end(catalog: Catalog, tmp_path: Path) -> None:
    other = Catalog(tmp_path / "catalog.sqlite")
    with catalog.transaction():
        catalog.add_vectors({"key": np.ones(4, dtype=np.float32)})
        replace(catalog, state(), entry("one", "key"))
        assert other.chunk_ids() == []
    assert other.chunk_ids() == ["one"]
    other.close()


def test_replacing_tells_the_ids_that_left_and_forgets_their_words(catalog: Catalog) -> None:
    put(catalog, "/docs/a.txt", "one", "two")
    assert put(catalog, "/docs/a.txt", "two", "three") == {"one"}
    assert catalog.chunk_ids() == ["two", "three"]
    assert catalog.search_keywords("one", 9) == []
    assert [id_ for id_, _ in catalog.search_keywords("three", 9)] == ["three"]
    assert catalog.chunk_counts() == {"/docs/a.txt": (2, 2)}


def test_removing_touches_one_source_only(catalog: Catalog) -> None:
    put(catalog, "/docs/a.txt", "one")
    put(catalog, "/docs/b.txt", "two", "three")
    with catalog.transaction():
        assert remove(catalog, "/docs/b.txt") == {"two", "three"}
        assert remove(catalog, "/docs/never.txt") == set()
    assert list(catalog.sources()) == ["/docs/a.txt"]
    assert catalog.chunk_counts() == {"/docs/a.txt": (1, 1)}


def test_vectors_are_kept_until_no_chunk_uses_them(catalog: Catalog) -> None:
    put(catalog, "/docs/a.txt", "one")
    with catalog.transaction():
        replace(catalog, state("/docs/b.txt"), entry("two", "key one"))
        remove(catalog, "/docs/a.txt")
    catalog.mark_unused_vectors()
    catalog.forget_vectors(0)
    assert list(catalog.known_vectors(["key one"])) == ["key one"]
    assert held(catalog) == {"two"}
    with catalog.transaction():
        remove(catalog, "/docs/b.txt")
    catalog.mark_unused_vectors()
    catalog.forget_vectors(1)
    assert list(catalog.known_vectors(["key one"])) == ["key one"]
    put(catalog, "/docs/c.txt", "one")
    catalog.mark_unused_vectors()
    catalog.forget_vectors(0)
    assert list(catalog.known_vectors(["key one"])) == ["key one"]


def test_vectors_come_back_as_they_were(catalog: Catalog) -> None:
    made = {"a": np.array([0.1, -2, 3e-9], dtype=np.float32), "b": np.array([1, 2, 3], dtype=np.float64)}
    with catalog.transaction():
        catalog.add_vectors(made)
        catalog.add_vectors({"a": np.zeros(3, dtype=np.float32)})
    found = catalog.known_vectors(["b", "a", "a", "c"])
    assert {key: vector.tolist() for key, vector in found.items()} == {
        key: vector.astype(np.float32).tolist() for key, vector in made.items()
    }
    assert all(vector.dtype == np.float32 for vector in found.values())


def test_more_keys_and_ids_than_sqlite_takes_variables(catalog: Catalog) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        limit = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
    keys = [f"key {n}" for n in range(1200)]
    with catalog.transaction():
        catalog.add_vectors({key: np.array([n], dtype=np.float32) for n, key in enumerate(keys)})
        replace(catalog, state(), *(entry(f"id {n}", key) for n, key in enumerate(keys)))
    found = catalog.known_vectors([*keys, *(f"unknown {n}" for n in range(limit))])
    assert {key: float(vector[0]) for key, vector in found.items()} == {key: n for n, key in enumerate(keys)}
    wanted = [f"id {n}" for n in range(1199, -1, -1)]
    assert [c.id for c in catalog.chunks([*(f"unknown {n}" for n in range(limit)), *wanted])] == wanted
    batches = list(catalog.stream_vectors())
    assert [id_ for ids, _ in batches for id_ in ids] == [f"id {n}" for n in range(1200)]
    assert np.concatenate([matrix for _, matrix in batches]).ravel().tolist() == list(range(1200))


def test_chunks_keep_the_asked_order_and_leave_out_the_unknown(catalog: Catalog) -> None:
    put(catalog, "/docs/a.txt", "one", "two", "three")
    assert [c.id for c in catalog.chunks(["three", "nine", "one"])] == ["three", "one"]
    assert catalog.chunks([]) == []


def test_a_chunk_comes_back_whole(catalog: Catalog) -> None:
    text = " verbatim\n\ttext \x00 東京 ﬁ"
    with catalog.transaction():
        catalog.add_vectors({"k": np.ones(2, dtype=np.float32)})
        replace(catalog, state("/docs/ü.pdf"), Entry("x", 3, None, "A > B", 17, text, "k", "x", ()))
    place = {"source": "/docs/ü.pdf", "page": 3, "line": None, "section": "A > B", "start": 17, "also_in": []}
    assert catalog.chunks(["x"]) == [Document(id="x", page_content=text, metadata=place)]


def test_states_and_meta_survive_reopening(catalog: Catalog, tmp_path: Path) -> None:
    put(catalog, "/docs/a.txt", "one")
    with catalog.transaction():
        replace(catalog, state("/docs/bad.pdf", "encrypted: save it anew"))
    moved = SourceState("/docs/a.txt", 11, 21, 31, "0" * 64)
    catalog.write_source(moved)
    catalog.write_meta("embedder", "x")
    catalog.write_meta("embedder", "y")
    catalog.close()
    again = Catalog(tmp_path / "catalog.sqlite")
    assert again.sources() == {"/docs/a.txt": moved, "/docs/bad.pdf": state("/docs/bad.pdf", "encrypted: save it anew")}
    assert again.chunk_counts() == {"/docs/a.txt": (1, 1)}
    assert again.read_meta("embedder") == "y"
    assert again.read_meta("nothing") == ""
    again.close()


def test_threads_can_read_while_one_writes(catalog: Catalog) -> None:
    def work(number: int) -> int:
        put(catalog, f"/docs/{number}.txt", f"a{number}", f"b{number}")
        return len(catalog.search_keywords("words", 99)) % 2

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(work, range(24))) == {0}
    assert len(catalog.chunk_ids()) == 48


def test_a_catalog_of_another_version_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.sqlite")) as connection:
        connection.execute("CREATE TABLE chunks (id TEXT)")
    with pytest.raises(StoreError, match=r"another version.*--rebuild"):
        Catalog(tmp_path / "old.sqlite")
