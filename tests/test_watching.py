"""Watching: what changed is told once, when it has come to rest; what is ignored is not told at all."""

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from loaders.watching import watch

QUIET_MS = 100
PATIENCE = 10.0  # seconds after which a test gives up


class Watcher:
    """Collects, in a thread of its own, what `watch` yields."""

    def __init__(self, paths: list[Path], sweep_ms: int) -> None:
        self.stop = threading.Event()
        self.sets: list[set[Path]] = []
        changes = watch(paths, stop=self.stop, quiet_ms=QUIET_MS, sweep_ms=sweep_ms)
        self.thread = threading.Thread(target=lambda: self.sets.extend(changes))
        self.thread.start()

    @property
    def told(self) -> set[Path]:
        return set().union(*self.sets)

    def wait_for(self, *paths: Path) -> None:
        end = time.monotonic() + PATIENCE
        while not self.told >= set(paths):
            assert time.monotonic() < end, f"told only of {self.told}"
            time.sleep(0.02)


@pytest.fixture
def start() -> Iterator:
    watchers = []

    def start(*paths: Path, sweep_ms: int = 60_000) -> Watcher:
        watchers.append(Watcher(list(paths), sweep_ms))
        time.sleep(0.3)  # until the kernel watches: that is what most of these tests are about
        return watchers[-1]

    yield start
    for watcher in watchers:
        watcher.stop.set()
        watcher.thread.join(PATIENCE)
        assert not watcher.thread.is_alive()


def test_added_changed_and_deleted_files_are_told(tmp_path, start):
    old, gone, new = (tmp_path / name for name in ("old.txt", "gone.txt", "deep/er/new.txt"))
    old.write_text("one")
    gone.write_text("one")
    watcher = start(tmp_path)
    old.write_text("another")
    gone.unlink()
    new.parent.mkdir(parents=True)
    new.write_text("new")
    watcher.wait_for(old, gone, new)
    assert watcher.told == {old, gone, new}


def test_a_whole_folder_that_is_deleted_is_told_file_by_file(tmp_path, start):
    files = {tmp_path / "sub" / f"{number}.txt" for number in range(3)}
    (tmp_path / "sub").mkdir()
    for file in files:
        file.write_text("x")
    watcher = start(tmp_path)
    shutil.rmtree(tmp_path / "sub")
    watcher.wait_for(*files)


def test_a_file_is_told_only_when_it_is_at_rest(tmp_path, start):
    watcher = start(tmp_path)
    slow = tmp_path / "slow.txt"
    with slow.open("w") as file:
        for _ in range(20):
            file.write("half of it ")
            file.flush()
            assert slow not in watcher.told
            time.sleep(QUIET_MS / 1000 / 3)
    watcher.wait_for(slow)
    assert [slow in told for told in watcher.sets] == [True]


def test_one_file_that_keeps_growing_holds_no_other_up(tmp_path, start):
    watcher = start(tmp_path)
    log, note = tmp_path / "run.log", tmp_path / "note.txt"
    note.write_text("done")
    end = time.monotonic() + PATIENCE
    with log.open("w") as file:
        while note not in watcher.told and time.monotonic() < end:
            file.write("line\n")
            file.flush()
            time.sleep(0.02)
        assert watcher.told == {note}


def test_hidden_linked_and_ignored_files_are_not_told(tmp_path, start):
    (tmp_path / ".ragignore").write_text("*.tmp\nbuild/\n")
    (tmp_path / ".git").mkdir()
    (tmp_path / "build").mkdir()
    watcher = start(tmp_path)
    for name in (".hidden.txt", ".git/index.txt", "scratch.tmp", "build/page.txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / "link.txt").symlink_to(tmp_path / "scratch.tmp")
    (tmp_path / "told.txt").write_text("x")
    watcher.wait_for(tmp_path / "told.txt")
    assert watcher.told == {tmp_path / "told.txt"}


def test_a_new_line_in_ragignore_takes_files_out(tmp_path, start):
    (tmp_path / "draft.txt").write_text("x")
    watcher = start(tmp_path)
    (tmp_path / ".ragignore").write_text("draft*\n")
    watcher.wait_for(tmp_path / "draft.txt")


def test_a_single_file_is_watched_even_when_an_editor_replaces_it(tmp_path, start):
    file, beside = tmp_path / "one.txt", tmp_path / "beside.txt"
    file.write_text("one")
    watcher = start(file)
    for text in ("two, longer", "three, longer still"):
        count = len(watcher.sets)
        part = tmp_path / "one.txt~"
        part.write_text(text)
        part.replace(file)
        beside.write_text(text)
        end = time.monotonic() + PATIENCE
        while len(watcher.sets) == count and time.monotonic() < end:
            time.sleep(0.02)
        assert watcher.sets[count:] == [{file}]
        time.sleep(0.4)


def test_a_folder_that_goes_is_told_itself_and_its_files_are_not_taken_for_deleted(tmp_path, start):
    root, aside = tmp_path / "drive", tmp_path / "aside"
    root.mkdir()
    (root / "page.txt").write_text("x")
    watcher = start(root)
    root.rename(aside)
    watcher.wait_for(root)
    assert watcher.told == {root}
    watcher.sets.clear()
    aside.rename(root)
    watcher.wait_for(root)
    (root / "new.txt").write_text("x")
    watcher.wait_for(root / "new.txt")
    assert watcher.told == {root, root / "new.txt"}


def test_a_folder_that_is_not_there_yet_is_watched_when_it_comes(tmp_path, start):
    root = tmp_path / "later"
    watcher = start(root)
    root.mkdir()
    (root / "page.txt").write_text("x")
    watcher.wait_for(root, root / "page.txt")
    (root / "second.txt").write_text("x")
    watcher.wait_for(root / "second.txt")


def test_what_changes_between_the_call_and_the_first_set_is_not_missed(tmp_path):
    changes = watch([tmp_path], quiet_ms=QUIET_MS)
    (tmp_path / "page.txt").write_text("x")
    assert next(changes) == {tmp_path / "page.txt"}


def test_a_sweep_finds_what_the_kernel_does_not_tell(tmp_path, start, monkeypatch):
    # watchfiles' own polling looks every minute here, so that only our sweep can find the file in time
    monkeypatch.setenv("WATCHFILES_FORCE_POLLING", "true")
    monkeypatch.setenv("WATCHFILES_POLL_DELAY_MS", "60000")
    watcher = start(tmp_path, sweep_ms=200)
    (tmp_path / "page.txt").write_text("x")
    watcher.wait_for(tmp_path / "page.txt")


def test_stop_ends_it_at_once(tmp_path):
    stop = threading.Event()
    stop.set()
    assert list(watch([tmp_path], stop=stop)) == []
