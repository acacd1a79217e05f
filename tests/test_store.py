"""The index directory: its lock, its generations, and what it does when files are lost, damaged or can't be written."""

import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from errors import StoreError, StoreLocked, StoreMismatch
from loaders import keywords
from loaders.catalog import SourceState
from loaders.changes import Changes, replace_source, settle
from loaders.checkup import catalog_damage, examine, keyword_damage, vector_damage
from loaders.embeddings import EmbedderIdentity
from loaders.entries import Entry
from loaders.generations import forget_earlier, generations, open_new_generation, open_store, use_earlier
from loaders.pointer import current
from loaders.store import Store, Vectors

IDS = [f"id {n}" for n in range(40)]
VECTORS = np.random.default_rng(1).standard_normal((40, 8)).astype(np.float32)

HOLD = """
import sys
from pathlib import Path
from loaders.embeddings import EmbedderIdentity
from loaders.generations import open_store
with open_store(Path(sys.argv[1]), EmbedderIdentity("fake", "0" * 64, "", ""), write=sys.argv[2] == "write"):
    print("held", flush=True)
    sys.stdin.read()
"""

FULL_DISK = """
import os, resource, signal, sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
import numpy
from langchain_core.embeddings import DeterministicFakeEmbedding
from errors import StoreError
from loaders.embeddings import EmbedderIdentity
from loaders.generations import open_store
from loaders.parsing import Cutting, Parser
from loaders.sync import sync
from test_store import assert_sound, count_words

place, limit = Path(sys.argv[1]), sys.argv[2]
docs, directory, ballast = place / "docs", place / "store", place / "ballast"
docs.mkdir()
identity = EmbedderIdentity("fake", "0" * 64, "", "")

def ingest():
    with open_store(directory, identity, write=True) as store:
        return sync(store, [docs], embeddings=DeterministicFakeEmbedding(size=256), parser=parser)

def fill_chroma():
    with open_store(directory, identity, write=True) as store, store.changing() as change:
        change(lambda changes: {str(n): numpy.ones(256, dtype=numpy.float32) for n in range(2000)})

def content():
    with open_store(directory, identity) as store:
        assert_sound(store)
        return {chunk.id: chunk.page_content for chunk in store.chunks(store.catalog.chunk_ids())}

parser = Parser(Cutting(count_words, 32, 0))
(docs / "first.txt").write_text(" ".join(f"earlier{n}" for n in range(400)))
ingest()
before = content()
assert len(before) > 10
(docs / "second.txt").write_text(" ".join(f"later{n}" for n in range(9000)))
if limit in ("file", "chroma"):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    biggest = max(path.stat().st_size for path in directory.rglob("*"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (biggest + 50_000, resource.RLIM_INFINITY))
else:
    free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
    ballast.write_bytes(bytes(free - 100_000))
try:
    fill_chroma() if limit == "chroma" else ingest()
except StoreError as error:
    assert "\\n" not in str(error), error
    print("StoreError:", error)
else:
    raise SystemExit("no error: the disk was not full")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
ballast.unlink(missing_ok=True)
assert content() == before
assert ingest().read == 1
assert len(content()) > len(before) + 100
parser.close()
print("intact")
"""


def count_words(text: str) -> int:
    return len(text.split())


def assert_sound(store: Store) -> None:
    assert [*catalog_damage(store), *keyword_damage(store), *vector_damage(store)] == []


def fill(store: Store, source: str = "/docs/a.txt", ids: list[str] = IDS) -> None:
    vectors = dict(zip(ids, VECTORS, strict=False))

    def edit(changes: Changes) -> Vectors:
        entries = [Entry(id_, None, 1, "", 0, f"text of {id_}", id_, id_, ()) for id_ in ids]
        replace_source(store.catalog, SourceState(source, 1, 1, 1, "0"), entries, [], changes)
        settle(store.catalog, 0, changes)
        store.catalog.add_vectors(vectors)
        return {id_: vectors[id_] for id_ in changes.new}

    with store.changing() as change:
        change(edit)


@pytest.fixture
def directory(tmp_path: Path, identity: EmbedderIdentity) -> Path:
    with open_store(tmp_path / "store", identity, write=True) as store:
        fill(store)
    return tmp_path / "store"


def assert_whole(directory: Path, identity: EmbedderIdentity) -> None:
    with open_store(directory, identity) as store:
        assert_sound(store)
        assert store.vectors.ids() == set(store.catalog.chunk_ids()) == set(IDS)
        for at in (0, 17, 39):
            assert store.dense(VECTORS[at].tolist(), 1) == [(IDS[at], pytest.approx(1, abs=1e-5))]
        assert len(store.keyword("text", 99)) == 40
        assert [chunk.page_content for chunk in store.chunks(["id 3"])] == ["text of id 3"]


def interrupt(generation: Path) -> None:
    """Leave the catalog as a writer does that is killed before Chroma has caught up."""
    with closing(sqlite3.connect(generation / "catalog.sqlite")) as connection, connection:
        connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'change'")


@contextmanager
def held_by_another_process(directory: Path, mode: str) -> Iterator[Callable[[], None]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(directory), mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == "held\n"
        yield process.stdin.close
        process.stdin.close()
        assert process.wait() == 0


def test_a_store_reopens_with_all_it_held(directory: Path, identity: EmbedderIdentity) -> None:
    assert_whole(directory, identity)
    assert current(directory) == "0001"
    assert directory.stat().st_mode & 0o077 == 0


def test_no_index_is_an_error_that_says_how_to_make_one(tmp_path: Path, identity: EmbedderIdentity) -> None:
    with pytest.raises(StoreError, match="there is no index here") as caught, open_store(tmp_path / "none", identity):
        pass
    assert "main.py ingest PATH" in caught.value.remedy
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "change", [{"name": "other"}, {"weights_sha256": "1" * 64}, {"query_prompt": "q: "}, {"passage_prompt": "p: "}]
)
@pytest.mark.parametrize("write", [False, True])
def test_another_embedder_is_refused_with_the_remedy(
    change: dict[str, str], write: bool, directory: Path, identity: EmbedderIdentity
) -> None:
    other = replace(identity, **change)
    with pytest.raises(StoreMismatch, match="another embedder") as caught, open_store(directory, other, write=write):
        pass
    assert "python main.py ingest --rebuild" in caught.value.remedy


def test_a_refused_embedder_changes_nothing(directory: Path, identity: EmbedderIdentity) -> None:
    with pytest.raises(StoreMismatch), open_store(directory, replace(identity, name="other"), write=True):
        pass
    assert_whole(directory, identity)


def test_while_another_process_writes_nobody_else_comes_in(directory: Path, identity: EmbedderIdentity) -> None:
    with held_by_another_process(directory, "write"):
        for write in (False, True):
            with (
                pytest.raises(StoreLocked, match="another process") as caught,
                open_store(directory, identity, write=write, wait=0),
            ):
                pass
            assert "try again" in caught.value.remedy
        with pytest.raises(StoreLocked), open_new_generation(directory, identity, wait=0):
            pass
    assert_whole(directory, identity)


def test_two_processes_can_read_but_not_write(directory: Path, identity: EmbedderIdentity) -> None:
    with held_by_another_process(directory, "read"):
        assert_whole(directory, identity)
        with pytest.raises(StoreLocked), open_store(directory, identity, write=True, wait=0):
            pass
    with open_store(directory, identity, write=True):
        pass


@pytest.mark.parametrize("spoil", ["empty", "stray", "gone"])
def test_chroma_is_rebuilt_after_an_interrupted_write(spoil: str, directory: Path, identity: EmbedderIdentity) -> None:
    generation = directory / "0001"
    with open_store(directory, identity, write=True) as store:
        if spoil == "empty":
            store.vectors.delete(IDS[:30])
        if spoil == "stray":
            store.vectors.upsert(["stray"], VECTORS[:1])
    if spoil == "gone":
        shutil.rmtree(generation / "chroma-0001")
    interrupt(generation)
    assert_whole(directory, identity)
    assert [path.name for path in generation.glob("chroma-*")] == ["chroma-0002"]
    assert_whole(directory, identity)


@pytest.mark.parametrize("kind", ["exact", "pq"])
@pytest.mark.parametrize("spoil", ["empty", "stray", "gone"])
def test_another_kind_of_index_is_rebuilt_too(
    kind: str, spoil: str, directory: Path, identity: EmbedderIdentity
) -> None:
    with open_store(directory, identity, write=True, kind=kind) as store:
        fill(store, "/docs/b.txt", ["more"])
        store.vectors.delete(IDS[:30]) if spoil == "empty" else store.vectors.upsert(["stray"], VECTORS[:1])
        store.vectors.save()
    folder = directory / "0001" / f"{kind}-0002"
    assert [path.name for path in (directory / "0001").glob("*-00*")] == [folder.name]
    if spoil == "gone":
        shutil.rmtree(folder)
    else:
        assert len(examine(directory / "0001")) > 0
        interrupt(directory / "0001")
    with open_store(directory, identity) as store:
        assert_sound(store)
        assert store.vectors.ids() == {*IDS, "more"}
        assert store.dense(VECTORS[17].tolist(), 1) == [(IDS[17], pytest.approx(1, abs=1e-5))]
    assert [path.name for path in (directory / "0001").glob("*-00*")] == [f"{kind}-0003"]


def test_switching_the_kind_of_index_embeds_nothing_and_finds_the_same(
    directory: Path, identity: EmbedderIdentity
) -> None:
    for number, kind in enumerate(["exact", "pq", "hnsw", "hnsw"], 2):
        with open_store(directory, identity, kind=kind) as store:
            assert_sound(store)
            assert store.dense(VECTORS[3].tolist(), 1) == [(IDS[3], pytest.approx(1, abs=1e-5))]
            assert store.vectors.count() == 40
        with open_store(directory, identity):  # any will do
            assert len(list((directory / "0001").glob(f"*-{min(number, 4):04d}"))) == 1
    assert_whole(directory, identity)


def test_a_deleted_chroma_directory_is_rebuilt(directory: Path, identity: EmbedderIdentity) -> None:
    shutil.rmtree(directory / "0001" / "chroma-0001")
    assert_whole(directory, identity)


def test_an_edit_that_fails_changes_nothing(directory: Path, identity: EmbedderIdentity) -> None:
    def edit(changes: Changes) -> Vectors:
        replace_source(store.catalog, SourceState("/docs/a.txt", 2, 2, 2, "1"), [], [], changes)
        raise ZeroDivisionError

    with open_store(directory, identity, write=True) as store:
        with pytest.raises(ZeroDivisionError), store.changing() as change:
            change(edit)
        assert_sound(store)
    assert_whole(directory, identity)
    assert (directory / "0001" / "chroma-0001").is_dir()


def test_a_process_that_waits_comes_in_when_the_other_is_done(directory: Path, identity: EmbedderIdentity) -> None:
    with held_by_another_process(directory, "write") as let_go, ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(assert_whole, directory, identity)
        time.sleep(0.3)
        assert not waiting.done()
        let_go()
        waiting.result(timeout=9)


def test_a_new_generation_takes_the_old_one_s_place(directory: Path, identity: EmbedderIdentity) -> None:
    other = replace(identity, name="other")
    with open_new_generation(directory, other) as (store, old):
        assert store.catalog.chunk_ids() == []
        fill(store, ids=IDS[:3])
        assert current(directory) == "0001"
        assert old and old.chunk_ids() == IDS
        assert_whole(directory, identity)  # the one in use goes on answering
    assert current(directory) == "0002"
    with open_store(directory, other) as store:
        assert store.catalog.chunk_ids() == IDS[:3]
        assert_sound(store)
    with pytest.raises(StoreMismatch), open_store(directory, identity):
        pass


def test_a_failed_new_generation_leaves_the_old_one(directory: Path, identity: EmbedderIdentity) -> None:
    for _ in range(2):
        with (
            pytest.raises(ZeroDivisionError),
            open_new_generation(directory, replace(identity, name="other")) as (store, _),
        ):
            fill(store, ids=IDS[:3])
            raise ZeroDivisionError
        assert_whole(directory, identity)
    with open_new_generation(directory, identity) as (store, _):
        fill(store, "/docs/again.txt")
    assert_whole(directory, identity)


def test_a_new_generation_can_be_the_first(tmp_path: Path, identity: EmbedderIdentity) -> None:
    with open_new_generation(tmp_path / "store", identity) as (store, _):
        fill(store)
    assert_whole(tmp_path / "store", identity)


def test_one_can_go_back_to_the_generation_before(directory: Path, identity: EmbedderIdentity) -> None:
    for _ in range(2):
        with open_new_generation(directory, identity) as (store, _):
            fill(store, ids=IDS[:3])
    assert generations(directory) == ["0002", "0003"]
    assert use_earlier(directory) == current(directory) == "0002"
    with pytest.raises(StoreError, match="no earlier index"):
        use_earlier(directory)
    forget_earlier(directory)
    assert generations(directory) == ["0002"]


def test_a_generation_that_is_being_read_is_not_deleted(directory: Path, identity: EmbedderIdentity) -> None:
    with open_store(directory, identity) as reading:
        for _ in range(2):
            with open_new_generation(directory, identity) as (store, _):
                fill(store)
        assert len(reading.keyword("text", 99)) == 40
        assert reading.dense(VECTORS[3].tolist(), 1)[0][0] == "id 3"
    assert_whole(directory, identity)


def test_damage_is_found_and_counted(directory: Path, identity: EmbedderIdentity) -> None:
    with open_store(directory, identity, write=True) as store:
        assert_sound(store)
        store.vectors.delete(["id 3", "id 4"])
        assert "2 of 40 chunks are missing from Chroma" in vector_damage(store)
        store.vectors.upsert(["stray"], np.ones((1, 8), dtype=np.float32))
        assert "1 vectors in Chroma belong to no chunk" in vector_damage(store)
        store.vectors.upsert(["id 3", "id 4"], VECTORS[3:5])
        store.vectors.delete(["stray"])
        assert_sound(store)
        store.vectors.upsert(IDS[:2], -VECTORS[:2])
        assert vector_damage(store) == ["2 of 40 stored vectors do not find themselves"]
        ((text,),) = store.catalog.rows("SELECT text FROM chunks WHERE rowid = 7")
        keywords.update(store.catalog.connection, {7: text}, {99: text})
        assert keyword_damage(store) == [
            "1 chunks are missing from the keyword index",
            "1 rows of the keyword index belong to no chunk",
        ]
        store.catalog.rows("DELETE FROM postings WHERE place IN (SELECT id FROM terms WHERE term = 'en:text')")
        assert "1 terms of the keyword index have lost chunks" in keyword_damage(store)
    with open_store(directory, identity, write=True, rebuild=True) as store:
        assert_sound(store)
        store.catalog.rows("DELETE FROM vectors WHERE key = 'id 9'")
        assert catalog_damage(store) == ["the catalog itself is inconsistent: 1 chunks have no vector"]


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory, identity: EmbedderIdentity) -> Path:
    """Fill an index of which Chroma has written all its files; tests change copies of it."""
    directory = tmp_path_factory.mktemp("larger") / "store"
    ids = [f"id {n}" for n in range(1100)]  # more than Chroma keeps in its log
    vectors = np.random.default_rng(2).standard_normal((1100, 8)).astype(np.float32)
    with open_store(directory, identity, write=True) as store, store.changing() as change:

        def edit(changes: Changes) -> Vectors:
            entries = [Entry(id_, None, 1, "", 0, f"text of {id_}", id_, id_, ()) for id_ in ids]
            replace_source(store.catalog, SourceState("/docs/a.txt", 1, 1, 1, "0"), entries, [], changes)
            settle(store.catalog, 0, changes)
            store.catalog.add_vectors(dict(zip(ids, vectors, strict=True)))
            return dict(zip(ids, vectors, strict=True))

        change(edit)
    assert examine(directory / "0001") == []
    return directory


@pytest.mark.parametrize(
    ("file", "size"),
    [("data_level0.bin", 0), ("header.bin", 10), ("index_metadata.pickle", 10), ("chroma.sqlite3", 99)],
)
def test_files_of_chroma_that_are_cut_short_are_damage_or_harmless(
    file: str, size: int, larger: Path, tmp_path: Path, identity: EmbedderIdentity
) -> None:
    directory = Path(shutil.copytree(larger, tmp_path / "store"))
    for path in directory.rglob(file):
        with path.open("r+b") as stream:
            stream.truncate(size)
    found = examine(directory / "0001")
    assert found, "cut short, and nobody noticed"
    assert not [line for line in found if line.startswith("the catalog")]
    with open_store(directory, identity, write=True, rebuild=True) as store:
        assert_sound(store)


@pytest.mark.parametrize("write", [False, True])
def test_a_junk_catalog_is_one_line(write: bool, directory: Path, identity: EmbedderIdentity) -> None:
    for path in (directory / "0001").glob("catalog.sqlite*"):
        path.write_bytes(b"\x00junk" * 4000)
    with pytest.raises(StoreError, match="can't be used") as caught, open_store(directory, identity, write=write):
        pass
    assert "\n" not in str(caught.value)


def test_after_a_junk_catalog_a_rebuild_helps(directory: Path, identity: EmbedderIdentity) -> None:
    (directory / "0001" / "catalog.sqlite").write_bytes(b"\x00junk" * 4000)
    with open_new_generation(directory, identity) as (store, _):
        fill(store)
    assert_whole(directory, identity)


def test_a_junk_catalog_s_remedy_is_a_rebuild(directory: Path, identity: EmbedderIdentity) -> None:
    (directory / "0001" / "catalog.sqlite").write_bytes(b"\x00junk" * 4000)
    with pytest.raises(StoreError) as caught, open_store(directory, identity):
        pass
    assert "--rebuild" in caught.value.remedy


def test_a_lost_catalog_is_an_error(directory: Path, identity: EmbedderIdentity) -> None:
    for path in (directory / "0001").glob("catalog.sqlite*"):
        path.unlink()
    with pytest.raises(StoreError), open_store(directory, identity):
        pass


def test_a_file_in_the_directory_s_place_is_a_store_error(tmp_path: Path, identity: EmbedderIdentity) -> None:
    (tmp_path / "store").write_text("not a folder")
    with pytest.raises(StoreError), open_store(tmp_path / "store", identity, write=True):
        pass


@pytest.mark.parametrize("pointer", ["", "junk", "../elsewhere"])
def test_a_damaged_pointer_is_a_store_error(pointer: str, directory: Path, identity: EmbedderIdentity) -> None:
    (directory / "CURRENT").write_text(pointer)
    with pytest.raises(StoreError), open_store(directory, identity, write=True):
        pass


@pytest.mark.parametrize("limit", ["disk", "chroma"])
def test_a_full_disk_is_one_line_and_loses_nothing(limit: str, tmp_path: Path) -> None:
    first: list[str] = []
    if limit == "disk":  # a small file system in a mount namespace of its own; where that can't be had, small files
        unshare, mount = (
            ["unshare", "--mount", "--map-root-user", "sh", "-c"],
            f"mount -t tmpfs -o size=12m t {tmp_path}",
        )
        may = shutil.which("unshare") and not subprocess.run([*unshare, mount], capture_output=True).returncode
        first, limit = ([*unshare, f'{mount} && exec "$@"', "sh"], "disk") if may else ([], "file")
    python = [*first, sys.executable, "-c", FULL_DISK, str(tmp_path), limit, str(Path(__file__).parent)]
    done = subprocess.run(python, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "can't" in done.stdout
    assert done.stdout.endswith("intact\n")
