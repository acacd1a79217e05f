"""A user's rules for answers: what they change, what they refuse, and which files are none."""

from pathlib import Path

import pytest

from chains.answers import Citation, Statement
from chains.corrections import correct, load_corrections
from chains.post_filter import REFUSAL, Checked
from errors import SettingsError

CITATION = Citation(1, "a.md", None, 1, 0, 26, "The colour of K2 is white.")
CHECKED = Checked("The colour of K2 is white. [1]", (1,), statements=(Statement(CITATION.text[:-1], 1.0, (CITATION,)),))


def rules(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def corrected(tmp_path: Path, *lines: str) -> Checked:
    return correct(CHECKED, load_corrections(rules(tmp_path / "rules.txt", *lines)))


def test_replacements_apply_in_their_order_to_answer_and_statements_and_to_no_citation(tmp_path: Path) -> None:
    found = corrected(
        tmp_path, "# house style", "", r"colour -> color", r"(?i)\bk(\d) -> K-\1", "color -> hue", "white\\. ->"
    )
    assert found.text == "The hue of K-2 is  [1]"
    assert found.statements[0].text == "The hue of K-2 is white"
    assert found.statements[0].citations == (CITATION,)
    assert (found.cited, found.abstained) == ((1,), False)


def test_a_refusal_says_its_own_text_or_the_plain_one_and_cites_nothing(tmp_path: Path) -> None:
    assert corrected(tmp_path, "K2 -> !refuse") == Checked(REFUSAL, abstained=True)
    assert corrected(tmp_path, "K2 -> !refuse Ask a climber.") == Checked("Ask a climber.", abstained=True)
    assert corrected(tmp_path, "K3 -> !refuse", "K4 -> !refuse x") == CHECKED


def test_rules_see_what_earlier_ones_made(tmp_path: Path) -> None:
    assert corrected(tmp_path, "white -> secret", "secret -> !refuse").abstained
    assert not corrected(tmp_path, "white -> grey", "white -> !refuse").abstained


def test_an_arrow_without_spaces_belongs_to_the_pattern(tmp_path: Path) -> None:
    assert correct(Checked("a->b"), load_corrections(rules(tmp_path / "r", "a->b -> a → b"))).text == "a → b"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("colour", "no rule"),
        ("-> x", "no rule"),
        ("colour->color", "no rule"),
        ("(colour -> color", "can't be used"),
        (r"colour -> \1", "can't be used"),
        (r"(?P<c>colour) -> \g<d>", "can't be used"),
        ("c* -> x", "finds nothing in everything"),
    ],
)
def test_a_line_that_is_no_rule_is_one_error_with_file_and_number(tmp_path: Path, line: str, reason: str) -> None:
    path = rules(tmp_path / "rules.txt", "a -> b", "# c", line)
    with pytest.raises(SettingsError, match=reason) as caught:
        load_corrections(path)
    assert f"{path}, line 3" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [None, b"\xff -> x"])
def test_a_file_that_is_missing_or_not_utf_8_is_one_error(tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "rules.txt"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(SettingsError, match="RAG_CORRECTIONS"):
        load_corrections(path)


@pytest.mark.parametrize("to", ["x", "!refuse"])
def test_a_pattern_that_would_take_for_ever_is_an_error_and_lets_nothing_pass(tmp_path: Path, to: str) -> None:
    path = rules(tmp_path / "rules.txt", f"(a|aa)+$ -> {to}")
    with pytest.raises(SettingsError, match=r"line 1.*takes longer"):
        correct(Checked("a" * 5000 + "b"), load_corrections(path))
