"""The index follows the files: counted, embedded no more than needed, and equal to a fresh one whatever happens."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from keyword_rows import keyword_rows
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from pydantic import Field

from loaders.changes import Changes, replace_source, settle
from loaders.checkup import catalog_damage, keyword_damage, vector_damage
from loaders.embeddings import EmbedderIdentity
from loaders.generations import open_store
from loaders.parsing import Cutting, Parser
from loaders.store import Store, Vectors
from loaders.sync import Problem, SyncReport, remove_sources, sync

IDENTITY = EmbedderIdentity("fake", "0" * 64, "", "")
DUPLICATES = 0.9


def count_words(text: str) -> int:
    return len(text.split())


CUTTING = Cutting(count_words, chunk_tokens=40, overlap_tokens=8)
PARSER = Parser(CUTTING)  # its workers start with the first file and serve all tests here


@pytest.fixture(scope="module", autouse=True)
def stop_workers() -> Iterator[None]:
    yield
    PARSER.close()


class Recorder(DeterministicFakeEmbedding):
    """Embed as the fake does and remember which texts were asked for."""

    asked: list[str] = Field(default_factory=list)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.asked.extend(texts)
        return super().embed_documents(texts)


class Index:
    """A folder of documents beside an open store."""

    def __init__(self, place: Path) -> None:
        self.docs, self.directory, self.seconds = place / "docs", place / "store", 0
        self.docs.mkdir()
        self.recorder = Recorder(size=8)
        self.open()

    def open(self) -> None:
        self._opened = open_store(self.directory, IDENTITY, write=True)
        self.store: Store = self._opened.__enter__()

    def close(self) -> None:
        self._opened.__exit__(None, None, None)

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.touch(path)
        return path

    def touch(self, path: Path) -> None:
        """Give the file a time that no file here has had: the kernel's clock is too coarse for that."""
        self.seconds += 1
        os.utime(path, (self.seconds, self.seconds))

    def sync(self, parser: Parser = PARSER, **options: Any) -> SyncReport:
        self.recorder.asked.clear()
        options = {"duplicates": DUPLICATES, **options}
        report = sync(self.store, [self.docs], embeddings=self.recorder, parser=parser, **options)
        assert report.embedded == len(self.recorder.asked) == len(set(self.recorder.asked))
        found = sum(path.is_file() for path in self.docs.rglob("*"))
        assert report.read + report.unchanged + len(report.skipped) + len(report.failed) == found
        assert_sound(self.store)
        return report


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    index = Index(tmp_path)
    yield index
    index.close()


def assert_sound(store: Store) -> None:
    assert [*catalog_damage(store), *keyword_damage(store), *vector_damage(store)] == []


def section(topic: str) -> str:
    return f"# {topic}\n\n" + " ".join(f"The {topic} has a part with number {n}." for n in range(12)) + "\n\n"


def content(directory: Path, *, leftovers: bool = False) -> dict[str, tuple[Any, ...]]:
    """Return place, text, vector, words and keeper of each chunk by its id, straight from the catalog's file."""
    with closing(sqlite3.connect(next(directory.glob("*/catalog.sqlite")))) as connection:
        rows = connection.execute(
            "SELECT c.id, c.source || '|' || ifnull(c.page, '') || '|' || ifnull(c.line, '') || '|' || c.section"
            " || '|' || c.start || '|' || c.position, c.text, v.vector, c.rowid, keeper.id FROM chunks c"
            " LEFT JOIN vectors v ON v.key = c.vector_key AND c.kept_by IS NULL"
            " LEFT JOIN chunks keeper ON keeper.rowid = c.kept_by"
        ).fetchall()
        bands = connection.execute("SELECT c.id, b.band, b.kept FROM bands b JOIN chunks c ON c.rowid = b.chunk")
        marks: dict[str, set[tuple[int, int]]] = {}
        for id_, band, kept in bands:
            marks.setdefault(id_, set()).add((band, kept))
        words = keyword_rows(connection)
        vectors = connection.execute("SELECT count(*) FROM vectors").fetchone()[0]
        kept = [row for row in rows if row[5] is None]
        assert words.keys() == {row[4] for row in kept}
        assert leftovers or vectors == len({row[3] for row in kept})
    return {row[0]: (*row[1:4], words.get(row[4]), row[5], sorted(marks.get(row[0], ()))) for row in rows}


def assert_like_fresh(
    store: Store, docs: Path, embeddings: Embeddings, parser: Parser = PARSER, *, leftovers: bool = False
) -> None:
    """Compare an open store with one that is built from nothing for the same files."""
    with tempfile.TemporaryDirectory() as place:
        with open_store(Path(place), IDENTITY, write=True) as fresh:
            sync(fresh, [docs], embeddings=embeddings, parser=parser, duplicates=DUPLICATES)
            assert store.vectors.ids() == fresh.vectors.ids() == set(store.catalog.chunk_ids())
            for ids, vectors in fresh.catalog.stream_vectors():
                held = store.vectors._collection.get(ids=ids, include=["embeddings"])
                by_id = dict(zip(held["ids"], held["embeddings"], strict=True))
                assert np.allclose([by_id[id_] for id_ in ids], vectors, atol=1e-5)
            failures = {source: state.failure for source, state in store.catalog.sources().items()}
            assert failures == {source: state.failure for source, state in fresh.catalog.sources().items()}
        assert content(store.directory.parent, leftovers=leftovers) == content(Path(place))


def test_an_empty_folder_makes_an_empty_index(index: Index) -> None:
    report = index.sync()
    assert (report.read, report.unchanged, report.chunks, report.embedded, report.removed) == (0, 0, 0, 0, [])


def test_every_file_is_counted_once(index: Index) -> None:
    index.write("a.md", section("car"))
    index.write("b.txt", "boat")
    index.sync()
    index.write("b.txt", "ship")
    new = index.write("c.txt", "new")
    empty = index.write("empty.txt", "")
    broken = index.write("broken.json", "{")
    skipped = [index.write("tool.exe", b"MZ" + bytes(range(256)) * 8), index.write("sub/photo.png", b"\x89PNG")]
    report = index.sync()
    assert (report.read, report.unchanged, report.removed) == (2, 1, [])
    assert {problem.source for problem in report.failed} == {str(empty), str(broken)}
    assert {problem.source: problem.reason for problem in report.skipped} == {
        str(skipped[0]): "no reader for .exe: convert it to text, HTML or PDF",
        str(skipped[1]): "no reader for .png",
    }
    assert report.chunks == len(index.store.catalog.chunk_ids())
    assert index.store.catalog.chunk_counts()[str(new)] == (1, 1)
    assert report.seconds > 0


def test_a_second_run_embeds_and_changes_nothing(index: Index) -> None:
    for name in ("car", "boat"):
        index.write(f"{name}.md", section(name))
    first = index.sync()
    before = content(index.directory)
    second = index.sync()
    assert (first.read, second.read, second.unchanged, second.embedded) == (2, 0, 2, 0)
    assert first.embedded == first.chunks == second.chunks == len(before)
    assert content(index.directory) == before


def test_an_edited_section_alone_is_embedded(index: Index) -> None:
    index.write("guide.md", section("car") + section("boat") + section("sail"))
    index.sync()
    before = set(index.store.catalog.chunk_ids())
    index.write("guide.md", section("car") + section("yacht") + section("sail"))
    report = index.sync()
    assert 0 < report.embedded < report.chunks / 2
    assert all("yacht" in text for text in index.recorder.asked)
    assert len(set(index.store.catalog.chunk_ids()) - before) == report.embedded
    assert_like_fresh(index.store, index.docs, index.recorder)


def test_a_touched_file_is_unchanged_and_not_read_again_after(index: Index) -> None:
    path = index.write("a.txt", "words")
    index.sync()
    index.touch(path)
    assert index.sync().unchanged == 1
    assert index.store.catalog.sources()[str(path)].mtime_ns == path.stat().st_mtime_ns


def test_a_deleted_file_is_removed_with_its_vectors(index: Index) -> None:
    path = index.write("a.txt", "one")
    index.write("b.txt", "two")
    index.sync()
    path.unlink()
    report = index.sync()
    assert (report.removed, report.unchanged, report.chunks) == ([str(path)], 1, 1)
    assert index.store.keyword("one", 9) == []
    assert_like_fresh(index.store, index.docs, index.recorder)
    assert index.sync().removed == []


def test_missing_files_are_kept_on_request(index: Index) -> None:
    path = index.write("a.txt", "one")
    index.sync()
    path.unlink()
    assert index.sync(keep_missing=True).removed == []
    assert len(index.store.keyword("one", 9)) == 1


def test_an_emptied_folder_empties_its_part_of_the_index_only(index: Index, tmp_path: Path) -> None:
    path = index.write("a.txt", "one")
    other = tmp_path / "other" / "docs"
    other.mkdir(parents=True)
    (other / "b.txt").write_text("two")
    sync(index.store, [index.docs, other], embeddings=index.recorder, parser=PARSER, duplicates=DUPLICATES)
    path.unlink()
    assert index.sync().removed == [str(path)]
    assert list(index.store.catalog.sources()) == [str(other / "b.txt")]


def test_a_single_file_can_be_given_and_removes_nothing_else(index: Index) -> None:
    one, two = index.write("a.txt", "one"), index.write("b.txt", "two")
    index.sync()
    two.unlink()
    index.write("a.txt", "three")
    report = sync(index.store, [one, one], embeddings=index.recorder, parser=PARSER, duplicates=DUPLICATES)
    assert (report.read, report.removed, report.chunks) == (1, [], 1)
    assert len(index.store.catalog.sources()) == 2


def test_a_renamed_file_is_embedded_anew_only_where_its_name_says_more(index: Index) -> None:
    path = index.write("01.md", section("car"))
    index.sync()
    path.rename(index.docs / "02.md")
    report = index.sync()
    assert (report.read, report.removed, report.embedded) == (1, [str(path)], 0)
    (index.docs / "02.md").rename(index.docs / "sub.md")
    assert index.sync().embedded == report.chunks
    (index.docs / "moved").mkdir()
    (index.docs / "sub.md").rename(index.docs / "moved" / "sub.md")
    assert index.sync().embedded == 0
    assert_like_fresh(index.store, index.docs, index.recorder)


def test_equal_texts_are_embedded_once(index: Index) -> None:
    index.write("a/note.md", section("car"))
    index.write("b/note.md", section("car"))
    report = index.sync(duplicates=0)
    assert report.read == 2
    assert report.chunks == 2 * report.embedded
    shutil.rmtree(index.docs / "a")
    assert index.sync(duplicates=0).embedded == 0
    assert_like_fresh(index.store, index.docs, index.recorder)


def test_a_bad_file_stops_nothing_and_is_tried_again_when_it_changes(index: Index) -> None:
    index.write("a.txt", "one")
    bad = index.write("bad.json", "{")
    index.write("c.txt", "three")
    first = index.sync()
    assert (first.read, [problem.source for problem in first.failed]) == (2, [str(bad)])
    assert "invalid JSON" in first.failed[0].reason
    again = index.sync()
    assert (again.read, again.unchanged, again.failed) == (0, 2, first.failed)
    index.touch(bad)
    assert index.sync().failed == first.failed
    index.write("bad.json", '["good"]')
    mended = index.sync()
    assert (mended.read, mended.failed) == (1, [])
    index.write("bad.json", "{")
    assert [problem.source for problem in index.sync().failed] == [str(bad)]
    assert index.store.keyword("good", 9) == []
    assert_like_fresh(index.store, index.docs, index.recorder)


def test_a_remembered_failure_is_not_read_again_unless_asked(index: Index) -> None:
    bad = index.write("bad.txt", "words")
    state = index.store.catalog.sources
    index.sync()
    failed = replace(state()[str(bad)], failure="a parser's bug")

    def fail(changes: Changes) -> Vectors:
        replace_source(index.store.catalog, failed, [], [], changes)
        settle(index.store.catalog, DUPLICATES, changes)
        return {}

    with index.store.changing() as change:
        change(fail)
    assert index.sync().failed == [Problem(str(bad), "a parser's bug")]
    retried = index.sync(retry_failed=True)
    assert (retried.read, retried.failed) == (1, [])
    assert state()[str(bad)].failure == ""


def test_a_repeated_passage_is_indexed_once_and_named_with_all_its_sources(index: Index) -> None:
    one, two = index.write("a.txt", section("car")), index.write("b.txt", section("car") + "and more")
    report = index.sync()
    assert report.searched < report.chunks
    kept = index.store.chunks(index.store.catalog.chunk_ids())
    assert next(chunk.metadata["also_in"] for chunk in kept if chunk.metadata["source"] == str(one)) == [str(two)]
    reasons = {drop.reason for source, drop in index.store.catalog.drops() if source == str(two)}
    assert f"the same as in {one}, character 0" in reasons
    assert_like_fresh(index.store, index.docs, index.recorder)


def test_what_stood_for_others_leaves_its_place_to_the_next(index: Index) -> None:
    one, two = index.write("a.txt", section("car")), index.write("b.txt", section("car"))
    index.sync()
    one.unlink()
    report = index.sync()
    assert report.chunks == report.searched == len(index.store.keyword("car", 99))
    assert {chunk.metadata["source"] for chunk in index.store.chunks(index.store.catalog.chunk_ids())} == {str(two)}
    index.write("a.txt", section("car"))
    index.sync()
    assert_like_fresh(index.store, index.docs, index.recorder)


def test_passages_that_differ_in_a_number_are_both_kept(index: Index) -> None:
    text = "The notice period of this contract is {} months, and it begins with the end of the month in which " * 3
    index.write("a.txt", text.format(*"333"))
    index.write("b.txt", text.format(*"343"))
    report = index.sync()
    assert report.searched == report.chunks


def test_equality_can_be_asked_for_and_switched_off(index: Index) -> None:
    for name in ("a.txt", "b.txt"):
        index.write(name, section("car"))
    report = index.sync(duplicates=0.0)
    assert report.searched == report.chunks > 1


def test_a_vector_survives_its_text_for_as_long_as_is_wanted(index: Index) -> None:
    path = index.write("a.txt", "words to return")
    index.sync()
    path.unlink()
    assert index.sync(keep_vectors_days=1).removed
    index.write("a.txt", "words to return")
    assert index.sync().embedded == 0
    path.unlink()
    index.sync(keep_vectors_days=0)
    index.write("a.txt", "words to return")
    assert index.sync().embedded == 1


def test_an_edit_that_changes_neither_size_nor_time_is_seen(index: Index) -> None:
    path = index.write("a.txt", "one words")
    index.sync()
    before = path.stat()
    path.write_text("two words")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert index.sync().read == 1
    assert len(index.store.keyword("two", 9)) == 1


def test_a_clock_that_goes_backwards_changes_nothing(index: Index) -> None:
    path = index.write("a.txt", "one")
    index.sync()
    path.write_text("two")
    os.utime(path, (1, 1))
    assert index.sync(keep_vectors_days=1).read == 1
    with index.store.catalog.transaction():
        index.store.catalog.rows("UPDATE vectors SET unused_since = unused_since + 1e9")
    index.write("b.txt", "three")
    assert index.sync(keep_vectors_days=1).read == 1
    assert_sound(index.store)


def test_a_file_of_no_known_kind_is_skipped_and_remembered(index: Index) -> None:
    index.write("tool.exe", b"MZ" + bytes(range(256)) * 8)
    index.write("photo.jpg", b"\xff\xd8\xff\xe0")
    first, second = index.sync(), index.sync()
    assert len(first.skipped) == 2
    assert (first.failed, first.skipped) == (second.failed, second.skipped)


def test_more_chunks_than_one_group_holds(index: Index) -> None:
    progress: list[tuple[int, int, int]] = []
    for number in range(30):
        index.write(f"{number}.md", "".join(section(f"part {number} {n}") for n in range(12)))
    report = index.sync(on_progress=lambda *at: progress.append(at))
    assert report.chunks > 3 * 512
    files = [done for done, _, _ in progress]
    assert (files[0], files[-1]) == (0, 30)
    assert files == sorted(files)
    assert {total for _, total, _ in progress} == {30}
    embedded = [chunks for _, _, chunks in progress]
    assert embedded == sorted(embedded)
    assert len(set(embedded)) > 3
    assert embedded[-1] == report.embedded


def test_an_embedder_that_fails_leaves_the_index_as_it_was(index: Index) -> None:
    index.write("a.txt", "one")
    index.sync()
    before = content(index.directory)

    class Broken(Recorder):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            raise MemoryError

    index.write("a.txt", "two")
    index.write("b.txt", "three")
    with pytest.raises(MemoryError):
        sync(index.store, [index.docs], embeddings=Broken(size=8), parser=PARSER, duplicates=DUPLICATES)
    assert content(index.directory) == before
    assert index.sync().read == 2
    assert_like_fresh(index.store, index.docs, index.recorder)


@pytest.mark.parametrize("pages", range(0, 30, 3))
def test_a_disk_that_is_full_at_any_page_loses_nothing(index: Index, pages: int) -> None:
    """SQLite refuses to grow by more than so many pages: at one of them each write of a sync fails in turn."""
    index.write("a.md", section("car"))
    index.sync()
    before = content(index.directory)
    index.write("a.md", section("boat") * 3)
    index.write("b.md", section("sail") + section("sun"))
    connection = index.store.catalog.connection
    (size,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {size + pages}")
    try:
        index.sync()
    except sqlite3.OperationalError as error:
        assert "full" in str(error)
        assert content(index.directory) == before
    connection.execute("PRAGMA max_page_count = 1073741823")
    index.close()
    index.open()
    index.sync()
    assert_like_fresh(index.store, index.docs, index.recorder)


@pytest.mark.parametrize("calls", range(3))
def test_an_embedder_that_fails_at_any_group_leaves_whole_files(index: Index, calls: int) -> None:
    class Failing(Recorder):
        calls: int = 0

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            self.calls += 1
            if self.calls > calls:
                raise OSError(5, "the device is gone")
            return super().embed_documents(texts)

    for number in range(24):
        index.write(f"{number:02d}.md", "".join(section(f"part {number} {n}") for n in range(12)))
    with pytest.raises(OSError, match="the device is gone"):
        sync(index.store, [index.docs], embeddings=Failing(size=8), parser=PARSER, duplicates=DUPLICATES)
    held = index.store.catalog.chunk_counts()
    assert held or calls < 2  # a group may take two calls
    assert_sound(index.store)
    assert index.sync().unchanged == len(held)
    assert_like_fresh(index.store, index.docs, index.recorder)


def test_an_interruption_before_the_end_leaves_no_vectors_for_ever(index: Index) -> None:
    def interrupt(done: int, total: int, chunks: int) -> None:
        if done == total:
            raise KeyboardInterrupt

    index.write("a.txt", "a secret")
    index.sync()
    index.write("a.txt", "nothing")
    with pytest.raises(KeyboardInterrupt):
        index.sync(on_progress=interrupt)
    index.sync()
    assert_like_fresh(index.store, index.docs, index.recorder)


def test_removed_sources_are_gone_from_every_part(index: Index) -> None:
    one, two = index.write("a.txt", "one"), index.write("b.txt", "two")
    index.sync()
    remove_sources(index.store, [str(one), "/never"], embeddings=index.recorder, duplicates=DUPLICATES)
    remove_sources(index.store, [], embeddings=index.recorder, duplicates=DUPLICATES)
    assert list(index.store.catalog.sources()) == [str(two)]
    assert len(content(index.directory)) == index.store.vectors.count() == 1
    assert_sound(index.store)


def test_the_real_embedder_fills_an_index_that_finds_the_right_file(
    index: Index, embeddings: Embeddings, parser: Parser
) -> None:
    index.write("cats.txt", "Cats sleep most of the day and hunt at dusk.")
    index.write("bonds.txt", "The yield of government bonds rose as inflation went up.")
    index.write("bread.txt", "Knead the dough, let it rise and bake it in a hot oven.")
    with tempfile.TemporaryDirectory() as place, open_store(Path(place), IDENTITY, write=True) as store:
        sync(store, [index.docs], embeddings=embeddings, parser=parser)
        for question, name in (("pets that are awake at night", "cats"), ("interest rates", "bonds")):
            ((id_, _), *_) = store.dense(embeddings.embed_query(question), 3)
            assert Path(store.chunks([id_])[0].metadata["source"]).stem == name


def test_half_a_surrogate_pair_in_json_stops_nothing(index: Index) -> None:
    index.write("a.txt", "one")
    index.write("b.json", '["half a \\ud83d pair"]')
    report = index.sync()
    assert report.read + len(report.failed) == 2
    assert len(index.store.keyword("one", 9)) == 1


def test_a_file_name_that_is_not_utf8_stops_nothing(index: Index) -> None:
    index.write("a.txt", "one")
    Path(os.fsdecode(os.fsencode(index.docs) + b"/caf\xe9.txt")).write_text("two")
    report = index.sync()
    assert report.read + len(report.failed) == 2
    assert len(index.store.keyword("one", 9)) == 1


def test_one_file_by_two_paths_is_one_source(index: Index) -> None:
    path = index.write("a.txt", "one")
    index.sync()
    report = sync(
        index.store, [index.docs / ".." / "docs"], embeddings=index.recorder, parser=PARSER, duplicates=DUPLICATES
    )
    assert report.unchanged == 1
    assert list(index.store.catalog.sources()) == [str(path)]


NAMES = st.sampled_from(["a.md", "b.md", "sub/a.md", "c.txt", "d.csv", "e.json", "f.bin"])
TOPICS = st.sampled_from(["car", "boat", "sail", "sun", "中文"])
CONTENTS = st.one_of(
    st.lists(TOPICS, min_size=1, max_size=4).map(lambda topics: "".join(map(section, topics))),
    st.just(""),
    st.just("{"),
    st.just("name,price\ncar,3\nboat,4\nsail,5\n"),
    st.text(alphabet="ab 中\n#`.", max_size=60),
)


class AnyHistory(RuleBasedStateMachine):
    """Whatever is done to the files, and however often the index is synchronised or reopened, it is as a fresh one."""

    @initialize()
    def start(self) -> None:
        self.place = tempfile.TemporaryDirectory()
        self.index = Index(Path(self.place.name))
        self.current = True

    def files(self) -> list[Path]:
        return sorted(path for path in self.index.docs.rglob("*") if path.is_file())

    @rule(name=NAMES, text=CONTENTS)
    def write(self, name: str, text: str) -> None:
        self.index.write(name, text)
        self.current = False

    @precondition(lambda self: self.files())
    @rule(data=st.data())
    def append(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(self.files()))
        self.index.write(str(path.relative_to(self.index.docs)), path.read_text() + section("tail"))
        self.current = False

    @precondition(lambda self: self.files())
    @rule(data=st.data(), name=NAMES)
    def rename(self, data: st.DataObject, name: str) -> None:
        target = self.index.docs / name
        target.parent.mkdir(exist_ok=True)
        data.draw(st.sampled_from(self.files())).rename(target)
        self.current = False

    @precondition(lambda self: self.files())
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.files())).unlink()
        self.current = False

    @rule()
    def reopen(self) -> None:
        self.index.close()
        self.index.open()

    @rule()
    def lose_chroma(self) -> None:
        self.index.close()
        for chroma in self.index.directory.glob("0001/chroma-*"):
            shutil.rmtree(chroma)
        self.index.open()

    @rule(retry_failed=st.booleans())
    def sync(self, retry_failed: bool) -> None:
        self.index.sync(retry_failed=retry_failed)
        self.current = True
        assert_like_fresh(self.index.store, self.index.docs, DeterministicFakeEmbedding(size=8))

    @invariant()
    def nothing_is_done_twice(self) -> None:
        if self.current and hasattr(self, "index"):
            report = self.index.sync()
            assert (report.read, report.embedded, report.removed) == (0, 0, [])

    def teardown(self) -> None:
        if hasattr(self, "index"):
            self.index.close()
            self.place.cleanup()


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=6, stateful_step_count=14)

KILLS = """
import os, random, signal, sys, time
from pathlib import Path
from langchain_core.embeddings import DeterministicFakeEmbedding
import chromadb, numpy  # imported once: each round is a fork, and Chroma is opened in forks only
from loaders.generations import open_store
from loaders.parsing import Parser
from loaders.sync import sync
sys.path.insert(0, sys.argv[1])
from test_sync import CUTTING, DUPLICATES, IDENTITY, assert_like_fresh, assert_sound, section

place, rounds, draw = Path(sys.argv[2]), int(sys.argv[3]), random.Random()
docs, directory = place / "docs", place / "store"
docs.mkdir()
FAKE = DeterministicFakeEmbedding(size=16)

def forked(work):
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
        os._exit(0)
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)

def edit(number):
    for name in range(40):
        path = docs / f"{name}.md"
        what = draw.random()
        if number and what < 0.1:
            path.unlink(missing_ok=True)
        elif not number or what < 0.6:
            path.write_text("".join(section(f"{name} {draw.randrange(99)}") for _ in range(draw.randrange(3, 7))))

def ingest(say=lambda chunks: None):
    with open_store(directory, IDENTITY, write=True) as store:
        say(0)
        with Parser(CUTTING) as parser:
            told = lambda done, total, chunks: say(chunks)
            sync(store, [docs], embeddings=FAKE, parser=parser, duplicates=DUPLICATES, on_progress=told)

def check():
    with open_store(directory, IDENTITY, write=True) as store:
        assert_sound(store)  # before the next sync as well
        with Parser(CUTTING) as parser:
            sync(store, [docs], embeddings=FAKE, parser=parser, duplicates=DUPLICATES)
            assert_sound(store)
            assert_like_fresh(store, docs, FAKE, parser)

killed, span = 0, 1.0
for number in range(rounds):
    edit(number)
    known = []
    read, write = os.pipe()
    child = forked(lambda: ingest(lambda chunks: os.write(write, f"{chunks}\\n".encode())))
    os.close(write)
    os.read(read, 1)  # the store is open
    began = time.perf_counter()
    time.sleep((number + draw.random()) / rounds * span)  # early, in the middle, late
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    killed += os.WIFSIGNALED(status)
    if not os.WIFSIGNALED(status):
        span = max(span * 0.7, 0.1)
        assert status == 0
    acknowledged = b""
    while more := os.read(read, 65536):
        acknowledged += more
    os.close(read)
    count = max(map(int, acknowledged.split()), default=0)

    def acknowledged_is_there():
        with open_store(directory, IDENTITY) as store:
            held = {chunk.page_content for chunk in store.chunks(store.catalog.chunk_ids())}
            assert len(held) >= count or number, (len(held), count)
            assert_sound(store)

    for work in (acknowledged_is_there, check):
        _, status = os.waitpid(forked(work), 0)
        assert status == 0, (number, work.__name__)
print("killed", killed)
"""


def test_kill_9_at_any_moment_leaves_an_index_that_can_be_finished(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLS, str(Path(__file__).parent), str(tmp_path), "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[-1]) >= 2
