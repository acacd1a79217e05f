"""An answer is given again exactly where the same would be answered, and nowhere else."""

import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chains.answers import Answer, Citation, Source, Statement
from loaders import kept_answers
from loaders.catalog import SourceState
from loaders.changes import Changes, replace_source, settle
from loaders.embeddings import EmbedderIdentity
from loaders.entries import Entry
from loaders.filters import Filter
from loaders.generations import open_new_generation, open_store, use_earlier
from loaders.kept_answers import FILE, MOST, keep, read_kept
from loaders.store import Store, Vectors
from remembering import key_of, recall, remember
from settings import Settings, load_settings

WORDS = "The kettle Orion holds 3 litres of water."
CITED = Citation(1, "/a.md", None, 3, 10, 51, WORDS)
ANSWER = Answer(
    question="How much?",
    queries=("How much does Orion hold?", "How much?"),
    answer=f"{WORDS} [1]",
    sources=(Source(1, "/a.md", None, 3, "Orion", 10, WORDS, 0.1 + 0.2, ("/b.md",)),),
    statements=(Statement(WORDS, 1.0, (CITED, CITED)), Statement("»Ä«", 0.71)),
    cited=(1,),
    sufficiency=0.9123,
    quoted=True,
    finish_reason="stop",
    timings={"total_ms": 1234.5},
    usage={"input_tokens": 7},
)


def add(store: Store, source: str) -> None:
    """Put a source of one chunk into the store."""

    def edit(changes: Changes) -> Vectors:
        entry = Entry(source, None, 1, "", 0, f"text of {source}", source, source, ())
        replace_source(store.catalog, SourceState(source, 1, 1, 1, "0"), [entry], [], changes)
        settle(store.catalog, 0, changes)
        vectors = {source: np.ones(4, dtype=np.float32)}
        store.catalog.add_vectors(vectors)
        return vectors

    with store.changing() as change:
        change(edit)


@pytest.fixture
def settings(tmp_path: Path, identity: EmbedderIdentity) -> Settings:
    """Return settings with a small index."""
    with open_store(tmp_path / "store", identity, write=True, kind="exact") as store:
        add(store, "a")
    return load_settings(store=tmp_path / "store", cache=tmp_path / "cache")


def keep_answer(settings: Settings, key: str) -> Path:
    """Remember ANSWER as `ask` does; return the file that holds it."""
    with open_store(settings.store) as store:
        remember(store.directory, key, ANSWER)
        return store.directory / FILE


def test_an_answer_comes_back_exactly(settings: Settings) -> None:
    key = key_of(settings, "How much?")
    assert recall(settings, key) is None
    file = keep_answer(settings, key)
    found = recall(settings, key)
    assert found is not None
    assert found.cached and found.timings["total_ms"] < 1000
    assert found == Answer(**{**vars(ANSWER), "cached": True, "timings": found.timings})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_an_answer_hangs_on_is_in_its_key(settings: Settings, tmp_path: Path, monkeypatch: Any) -> None:
    rules = tmp_path / "rules.txt"
    rules.write_text("a -> b\n")
    ruled = settings.model_copy(update={"corrections": str(rules)})
    turn = {"question": "What is Orion?", "answer": "A kettle."}
    keys = [
        key_of(settings, "How much?"),
        key_of(settings, "How  much?"),
        key_of(settings, "How much?", [turn]),  # type: ignore[list-item]
        key_of(settings, "How much?", (), Filter(sources=("a",))),
        key_of(settings.model_copy(update={"top_k": 5}), "How much?"),
        key_of(ruled, "How much?"),
    ]
    os.utime(rules, ns=(1, 1))
    keys.append(key_of(ruled, "How much?"))
    (settings.cache / "hub").mkdir(parents=True)
    (settings.cache / "hub" / "model.json").write_text("{}")
    keys.append(key_of(settings, "How much?"))
    monkeypatch.chdir(tmp_path)
    keys.append(key_of(settings, "How much?", (), Filter(sources=("a",))))
    assert len(set(keys)) == len(keys)
    assert key_of(settings, "How much?") == key_of(load_settings(**settings.model_dump()), "How much?")


def test_what_a_server_wrote_is_not_remembered(settings: Settings) -> None:
    served = settings.model_copy(update={"model_url": "http://127.0.0.1:9/v1"})
    assert key_of(served, "How much?") == ""
    assert key_of(served.model_copy(update={"answer_style": "quote"}), "How much?")


def changed(settings: Settings, identity: EmbedderIdentity) -> None:
    with open_store(settings.store, identity, write=True, kind="exact") as store:
        add(store, "b")


def rebuilt(settings: Settings, identity: EmbedderIdentity) -> None:
    with open_store(settings.store, write=True, kind="exact", rebuild=True):
        pass


def switched(settings: Settings, identity: EmbedderIdentity) -> None:
    with open_new_generation(settings.store, identity, kind="exact"):
        pass


@pytest.mark.parametrize("change", [changed, rebuilt, switched])
def test_another_index_has_other_answers(
    settings: Settings, identity: EmbedderIdentity, change: Callable[..., None]
) -> None:
    key = key_of(settings, "How much?")
    keep_answer(settings, key)
    change(settings, identity)
    assert recall(settings, key) is None
    if change is switched:
        use_earlier(settings.store)
        assert recall(settings, key)


def test_nothing_of_an_answer_stays_on_the_disk_when_the_index_changes(
    settings: Settings, identity: EmbedderIdentity
) -> None:
    file = keep_answer(settings, key_of(settings, "How much?"))
    assert WORDS.encode() in file.read_bytes()
    changed(settings, identity)
    left = [path for path in settings.store.rglob("*") if path.is_file() and WORDS.encode() in path.read_bytes()]
    assert left == []
    keep_answer(settings, key_of(settings, "How much?"))
    recall(settings.model_copy(update={"answer_cache": False}), "")
    assert WORDS.encode() not in file.read_bytes(), "switched off"


def test_a_damaged_file_remembers_nothing_and_goes_with_the_next_change(
    settings: Settings, identity: EmbedderIdentity
) -> None:
    key = key_of(settings, "How much?")
    file = keep_answer(settings, key)
    file.write_bytes(b"no database" * 1000)
    assert recall(settings, key) is None
    keep_answer(settings, key)
    changed(settings, identity)
    keep_answer(settings, key)
    assert recall(settings, key)


def test_the_oldest_answers_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_answers, "MOST", 3)
    for n in (1, 2, 3, 1, 4):
        keep(tmp_path, str(n), f"answer {n}")
    assert [read_kept(tmp_path, str(n)) for n in (1, 2, 3, 4)] == ["answer 1", "", "answer 3", "answer 4"]
    assert MOST >= 100
    with sqlite3.connect(tmp_path / FILE) as answers:
        assert answers.execute("SELECT count(*) FROM answers").fetchone() == (3,)
    answers.close()
