"""The catalog: what SQLite keeps, whole or not at all."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from langchain_core.documents import Document

from loaders.catalog import Catalog, SourceState


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    catalog = Catalog(tmp_path / "catalog.sqlite")
    yield catalog
    catalog.close()


def chunk(id_: str, source: str = "/docs/a.txt", text: str = "") -> Document:
    place = {"source": source, "page": None, "line": 1, "section": "", "start": 0}
    return Document(id=id_, page_content=text or f"words of {id_}", metadata=place)


def state(source: str = "/docs/a.txt", failure: str = "") -> SourceState:
    return SourceState(source, 10, 20, "0" * 64, "v1 200/32", failure)


def put(catalog: Catalog, source: str, *ids: str) -> list[str]:
    with catalog.transaction():
        catalog.add_vectors({f"key {id_}": np.full(4, len(id_), dtype=np.float32) for id_ in ids})
        return catalog.replace_source(state(source), [chunk(id_, source) for id_ in ids], [f"key {id_}" for id_ in ids])


def held(catalog: Catalog) -> set[str]:
    return {id_ for ids, _ in catalog.stream_vectors() for id_ in ids}


def test_a_transaction_happens_at_once_or_not_at_all(catalog: Catalog) -> None:
    put(catalog, "/docs/a.txt", "one", "two")
    with pytest.raises(ZeroDivisionError), catalog.transaction():
        catalog.add_vectors({"new": np.ones(4, dtype=np.float32)})
        catalog.replace_source(state("/docs/a.txt"), [chunk("three")], ["new"])
        catalog.remove_source("/docs/a.txt")
        catalog.write_meta("k", "v")
        raise ZeroDivisionError
    assert catalog.chunk_ids() == ["one", "two"]
    assert catalog.known_vectors(["new"]) == {}
    assert catalog.read_meta("k") == ""
    assert {id_ for id_, _ in catalog.search_keywords("words", 9)} == {"one", "two"}
    assert put(catalog, "/docs/b.txt", "four") == []


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
        catalog.replace_source(state(), [chunk("one")], ["key"])
        assert other.chunk_ids() == []
    assert other.chunk_ids() == ["one"]
    other.close()


def test_replacing_returns_the_old_ids_and_forgets_their_words(catalog: Catalog) -> None:
    put(catalog, "/docs/a.txt", "one", "two")
    assert put(catalog, "/docs/a.txt", "two", "three") == ["one", "two"]
    assert catalog.chunk_ids() == ["two", "three"]
    assert catalog.search_keywords("one", 9) == []
    assert [id_ for id_, _ in catalog.search_keywords("three", 9)] == ["three"]
    assert catalog.chunk_counts() == {"/docs/a.txt": 2}


def test_removing_touches_one_source_only(catalog: Catalog) -> None:
    put(catalog, "/docs/a.txt", "one")
    put(catalog, "/docs/b.txt", "two", "three")
    with catalog.transaction():
        assert catalog.remove_source("/docs/b.txt") == ["two", "three"]
        assert catalog.remove_source("/docs/never.txt") == []
    assert list(catalog.sources()) == ["/docs/a.txt"]
    assert catalog.chunk_counts() == {"/docs/a.txt": 1}


def test_vectors_are_kept_until_no_chunk_uses_them(catalog: Catalog) -> None:
    put(catalog, "/docs/a.txt", "one")
    with catalog.transaction():
        catalog.replace_source(state("/docs/b.txt"), [chunk("two", "/docs/b.txt")], ["key one"])
        catalog.remove_source("/docs/a.txt")
    catalog.drop_unused_vectors()
    assert list(catalog.known_vectors(["key one"])) == ["key one"]
    assert held(catalog) == {"two"}
    with catalog.transaction():
        catalog.remove_source("/docs/b.txt")
    assert list(catalog.known_vectors(["key one"])) == ["key one"]
    catalog.drop_unused_vectors()
    assert catalog.known_vectors(["key one"]) == {}


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
        catalog.replace_source(state(), [chunk(f"id {n}") for n in range(1200)], keys)
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
    place = {"source": "/docs/ü.pdf", "page": 3, "line": None, "section": "A > B", "start": 17}
    put_in = Document(id="x", page_content=" verbatim\n\ttext \x00 東京 ﬁ", metadata=place)
    with catalog.transaction():
        catalog.add_vectors({"k": np.ones(2, dtype=np.float32)})
        catalog.replace_source(state("/docs/ü.pdf"), [put_in], ["k"])
    assert catalog.chunks(["x"]) == [put_in]


def test_states_and_meta_survive_reopening(catalog: Catalog, tmp_path: Path) -> None:
    put(catalog, "/docs/a.txt", "one")
    with catalog.transaction():
        catalog.replace_source(state("/docs/bad.pdf", "encrypted: save it anew"), [], [])
    moved = SourceState("/docs/a.txt", 11, 21, "0" * 64, "v1 200/32")
    catalog.touch_source(moved)
    catalog.write_meta("embedder", "x")
    catalog.write_meta("embedder", "y")
    catalog.close()
    again = Catalog(tmp_path / "catalog.sqlite")
    assert again.sources() == {"/docs/a.txt": moved, "/docs/bad.pdf": state("/docs/bad.pdf", "encrypted: save it anew")}
    assert again.chunk_counts() == {"/docs/a.txt": 1}
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
