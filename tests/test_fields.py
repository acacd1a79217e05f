"""What filters choose by, read from the files themselves: front matter and language."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import DocumentError
from loaders.fields import front_matter, given_fields
from loaders.languages import language_of
from loaders.parsing import Cutting, parse

MARKDOWN = Path("a.md")
TEXTS = {
    "en": "The committee met on Thursday and decided that the bridge should be closed for repairs until the spring.",
    "de": "Der Ausschuss trat am Donnerstag zusammen und beschloss, die Brücke bis zum Frühjahr zu sperren.",
    "es": "El comité se reunió el jueves y decidió que el puente debía cerrarse por reparaciones hasta la primavera.",
    "fr": "Le comité s'est réuni jeudi et a décidé que le pont devait être fermé pour travaux jusqu'au printemps.",
    "zh": "委员会星期四开会，决定大桥关闭维修直到明年春天，期间车辆须绕行，行人可以乘坐渡轮过河。",
    "ar": "اجتمعت اللجنة يوم الخميس وقررت إغلاق الجسر لإجراء الإصلاحات حتى حلول الربيع القادم.",
    "ru": "Комитет собрался в четверг и решил закрыть мост на ремонт до весны следующего года.",
}


def test_front_matter_gives_words_numbers_dates_and_lists() -> None:
    text = (
        "---\nTitle: The  Bridge\nyear: 2026\ndate: 2026-11-25\ndraft: true\ntags: [Steel, river,]\n"
        "nested: {a: 1}\nnothing:\n---\n# Text\n"
    )
    assert front_matter(MARKDOWN, text) == {
        "title": ("the bridge",),
        "year": ("2026",),
        "date": ("2026-11-25",),
        "draft": ("true",),
        "tags": ("steel", "river"),
    }


@pytest.mark.parametrize(
    "text",
    [
        "no header",
        "---\nno: end\n",
        "\n---\nlate: 1\n---\n",
        "---\n- a list\n---\n",
        "---\n'unclosed\n---\n",
        "---\nday: 2026-99-99\n---\n",
        "---\n!!python/object/apply:os.system ['true']\n---\n",
        "---\n---\n",
        "----\na: 1\n----\n",
        "---\na: " + "b" * 20_000 + "\n---\n",
        "---\n" + "[" * 5000 + "\n---\n",
    ],
)
def test_what_is_no_sound_header_gives_nothing(text: str) -> None:
    assert front_matter(MARKDOWN, text) == {}


def test_only_markdown_has_front_matter() -> None:
    assert front_matter(Path("a.txt"), "---\na: 1\n---\n") == {}
    assert front_matter(Path("A.MDX"), "---\r\na: 1\r\n---\r\n") == {"a": ("1",)}


@given(st.text())
def test_any_header_is_read_or_left(text: str) -> None:
    for key, values in front_matter(MARKDOWN, f"---\n{text}\n---\n").items():
        assert key
        assert all(values)


def test_fields_are_given_by_the_folder_and_those_above(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (tmp_path / ".ragfields").write_text("'*':\n  team: red\na/:\n  kind: [report, 2026]\n")
    (folder / ".ragfields").write_text("x.pdf:\n  Team: Blue\n")
    files = {name: tmp_path / name for name in ("top.md", "a/b/x.pdf", "a/b/y.pdf")}
    assert given_fields(files) == {
        "top.md": {"team": ("red",)},
        "a/b/x.pdf": {"team": ("red", "blue"), "kind": ("report", "2026")},
        "a/b/y.pdf": {"team": ("red",), "kind": ("report", "2026")},
    }


@pytest.mark.parametrize("text", ["words", "- a\n- b\n", "a: b\n", "a: [\n", "day: 2026-99-99\n"])
def test_rules_that_are_none_are_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / ".ragfields").write_text(text)
    with pytest.raises(DocumentError, match="not understood"):
        given_fields({"a": tmp_path / "a.md"})


@pytest.mark.parametrize("language", TEXTS)
def test_languages_are_told(language: str) -> None:
    assert language_of([TEXTS[language]]) == language
    assert language_of([TEXTS[language]] * 9) == language


@pytest.mark.parametrize("texts", [[], [""], ["12 + 30 = 42; 1, 2, 3, 4"], ["ok"]])
def test_too_little_to_tell_is_no_language(texts: list[str]) -> None:
    assert language_of(texts) == ""


def test_a_document_has_the_language_of_most_of_it() -> None:
    assert language_of([TEXTS["de"]] * 10 + [TEXTS["en"]]) == "de"


def test_a_file_is_parsed_with_both(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text(f"---\nteam: Red\n---\n# Brücke\n\n{TEXTS['de']}\n", encoding="utf-8")
    parsed = parse(str(path), path, Cutting(lambda text: len(text.split()), 64, 0))
    assert parsed.language == "de"
    assert parsed.fields == {"team": ("red",)}
    assert "team: Red" in parsed.entries[0].text  # searched as before
