"""Settings: what is read from where, what is refused and how, and that .env.example is what the code says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from dotenv import dotenv_values
from pydantic import ValidationError

from errors import SettingsError
from settings import ROOT, Settings, env_example, load_settings


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in [key for key in os.environ if key.upper().startswith("RAG_")]:
        monkeypatch.delenv(key)


def load_in_a_copy(folder: Path, env_file: str, show: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Load the settings of a clone in `folder` that has this .env; print `show`, or the error."""
    for name in ("settings.py", "errors.py", "privacy.py"):
        (folder / name).write_text((ROOT / name).read_text())
    (folder / ".env").write_text(env_file)
    code = (
        "import settings, errors\n"
        f"try:\n    s = settings.load_settings(); print({show or 'None'})\n"
        "except errors.SettingsError as error: print(error)"
    )
    environment = {"PATH": os.environ["PATH"]} | environment
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def test_env_example_is_what_the_settings_say() -> None:
    path = ROOT / ".env.example"
    assert path.is_file(), "run: make env-example"
    assert path.read_text(encoding="utf-8") == env_example()


def test_env_example_shows_every_setting_with_its_default_and_its_bounds() -> None:
    text = env_example()
    for name, field in Settings.model_fields.items():
        shown = re.search(rf"^# (.+)\n# RAG_{name.upper()}=(.*)$", text, re.MULTILINE)
        assert shown, name
        assert field.description and field.description in shown[1]
        default = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
        assert shown[2] == default
    assert "(at least 1, at most 50)\n# RAG_TOP_K=4" in text


def test_env_example_with_its_comment_signs_removed_gives_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults = load_settings()
    file = tmp_path / "env"
    file.write_text(re.sub(r"^# (?=RAG_)", "", env_example(), flags=re.MULTILINE))
    values = dotenv_values(file)
    assert len(values) == len(Settings.model_fields)
    for key, value in values.items():
        monkeypatch.setenv(key, value or "")
    assert load_settings() == defaults


@pytest.mark.parametrize(
    ("key", "near"),
    [("RAG_TOPK", "RAG_TOP_K"), ("RAG_MODEL_SHA", "RAG_MODEL_SHA256"), ("rag_temprature", "RAG_TEMPERATURE")],
)
def test_an_unknown_key_in_the_environment_is_refused_with_the_nearest_name(
    key: str, near: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(key, "1")
    with pytest.raises(SettingsError, match=rf"^{key}: unknown setting in the environment\. did you mean {near}\.$"):
        load_settings()


def test_an_unknown_key_far_from_all_names_still_gets_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_ZZZZ", "1")
    with pytest.raises(SettingsError, match="did you mean RAG_"):
        load_settings()


def test_an_unknown_key_in_the_env_file_is_refused_and_the_file_named(tmp_path: Path) -> None:
    done = load_in_a_copy(tmp_path, "RAG_TOPK=3\n")
    assert done.stdout == "RAG_TOPK: unknown setting in .env. did you mean RAG_TOP_K.\n"


def test_the_environment_beats_the_env_file_which_beats_the_default(tmp_path: Path) -> None:
    file = "RAG_TOP_K=7\nRAG_SEED=5\nOTHER=1\n"
    done = load_in_a_copy(tmp_path, file, "s.top_k, s.seed, s.embed_batch", RAG_TOP_K="9")
    assert done.stdout == "9 5 32\n"


def test_a_relative_store_starts_at_the_clone_wherever_the_program_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings().store == ROOT / "store"
    monkeypatch.setenv("RAG_STORE", "other/place")
    assert load_settings().store == ROOT / "other/place"
    monkeypatch.setenv("RAG_STORE", str(tmp_path / "elsewhere"))
    assert load_settings().store == tmp_path / "elsewhere"
    monkeypatch.setenv("RAG_STORE", "~/index")
    assert load_settings().store == Path.home() / "index"


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("RAG_TOP_K", "0", "greater than or equal to 1"),
        ("RAG_TOP_K", "51", "less than or equal to 50"),
        ("RAG_TOP_K", "many", "valid integer"),
        ("RAG_KEYWORD_WEIGHT", "1.1", "less than or equal to 1"),
        ("RAG_TEMPERATURE", "-0.1", "greater than or equal to 0"),
        ("RAG_GPU_LAYERS", "-2", "greater than or equal to -1"),
        ("RAG_CONTEXT_TOKENS", "511", "greater than or equal to 512"),
        ("RAG_ANSWER_STYLE", "sing", "pattern"),
        ("RAG_REWRITE", "guess", "pattern"),
        ("RAG_MODEL_SHA256", "abc", "pattern"),
        ("RAG_OFFLINE", "perhaps", "boolean"),
    ],
)
def test_a_value_out_of_bounds_is_refused_with_key_value_and_reason(
    key: str, value: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(key, value)
    with pytest.raises(SettingsError, match=re.escape(f"{key}={value}")) as caught:
        load_settings()
    assert reason in str(caught.value)
    assert ".env.example" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("chunk", "overlap", "fits"), [("200", "99", True), ("200", "100", False), ("64", "31", True), ("64", "32", False)]
)
def test_overlap_must_stay_under_half_of_a_chunk(
    chunk: str, overlap: str, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_CHUNK_TOKENS", chunk)
    monkeypatch.setenv("RAG_OVERLAP_TOKENS", overlap)
    if fits:
        assert load_settings().overlap_tokens == int(overlap)
    else:
        with pytest.raises(SettingsError, match=f"(?i)RAG_OVERLAP_TOKENS={overlap} must be under half"):
            load_settings()


def test_settings_are_frozen() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.top_k = 3  # type: ignore[misc]


def test_keyword_arguments_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_TOP_K", "9")
    assert load_settings(top_k=2).top_k == 2


def test_an_unknown_keyword_argument_is_refused() -> None:
    with pytest.raises(SettingsError, match="topk"):
        load_settings(topk=2)


def test_every_setting_has_a_description() -> None:
    assert all(field.description for field in Settings.model_fields.values())
