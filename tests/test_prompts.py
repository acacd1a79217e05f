"""Prompts: their placeholders are those that the chains fill in, and a wrong file says what is wrong with it."""

from pathlib import Path

import pytest

import prompts
from errors import SettingsError
from prompts import VARIABLES, load_prompt


@pytest.mark.parametrize("name", sorted(VARIABLES))
def test_each_prompt_file_loads_with_exactly_its_placeholders(name: str) -> None:
    prompt = load_prompt(name)
    assert set(prompt.input_variables) == VARIABLES[name]
    rendered = prompt.format_messages(**dict.fromkeys(VARIABLES[name], "{VALUE} }{"))
    assert [message.type for message in rendered] in (["system", "human"], ["human"])
    assert sum(message.text.count("{VALUE} }{") for message in rendered) == len(VARIABLES[name])
    assert all(message.text.strip() == message.text for message in rendered)


def test_every_prompt_file_is_known_and_every_known_prompt_has_a_file() -> None:
    assert {path.stem for path in prompts.FOLDER.glob("*.txt")} == set(VARIABLES)


def test_the_part_that_never_changes_comes_first_so_that_the_models_cache_is_reused() -> None:
    system, *_ = load_prompt("answer").format_messages(context="CONTEXT", question="QUESTION")
    assert "CONTEXT" not in system.text
    assert "QUESTION" not in system.text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("--- system ---\nAnswer.\n--- human ---\n{context}", "{question}"),
        ("--- human ---\n{context} {question} {mood}", "{mood}"),
        ("--- human ---\n{context} {questoin}", "{question}"),
        ("{context} {question}", "{context}, {question}"),
        ("", "{context}"),
        ("--- human ---\n{context} {question} {", "brace"),
        ("--- human ---\n{context} {question} }", "brace"),
        ("--- human ---\n{context} {question} {}", "{}"),
    ],
)
def test_a_wrong_prompt_file_is_refused_with_its_path_and_what_to_do(
    text: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompts, "FOLDER", tmp_path)  # data, not a function
    (tmp_path / "answer.txt").write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_prompt("answer")
    assert str(tmp_path / "answer.txt") in str(caught.value)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_doubled_braces_are_literal_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "FOLDER", tmp_path)
    (tmp_path / "answer.txt").write_text('--- human ---\n{{"n": 1}} {context} {question}\n')
    assert load_prompt("answer").format_messages(context="c", question="q")[0].text == '{"n": 1} c q'


@pytest.mark.parametrize("data", [None, b"--- human ---\n\xff {context} {question}"])
def test_a_prompt_file_that_is_missing_or_not_utf_8_is_refused_in_one_line(
    data: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompts, "FOLDER", tmp_path)
    if data is not None:
        (tmp_path / "answer.txt").write_bytes(data)
    with pytest.raises(SettingsError, match=r"answer\.txt"):
        load_prompt("answer")
