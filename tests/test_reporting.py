"""The report: arithmetic against hand-computed figures, untrusted text that stays text, a page that loads nothing."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import main
from errors import EvaluationError
from evaluation.reporting import (
    by_type,
    compared,
    histogram,
    is_right,
    marked,
    read_rows,
    reliability,
    report,
    risk_coverage,
    worst,
    write_report,
)

EVIL = "<script>alert(1)</script><img src=http://x/y onerror=z>\"'&{{7*7}}"


def row(id_: str, *, answerable: bool = True, right: bool = True, told: float = 0.9, **more: Any) -> dict[str, Any]:
    refused = more.pop("abstained", not answerable and right)
    figure = float(right and not refused) if answerable else None
    scored = dict.fromkeys(("exact_match", "f1", "rouge_l", "contains"), figure)
    plain = {"id": id_, "question": f"What is {id_}?", "type": None, "answerable": answerable, "answers": ["x"]}
    rest = {"answer": "It is x. [1]", "quoted": False, "statements": [], "sources": [], "cited": [], "contexts": []}
    took = {"milliseconds": 100.0, "input_tokens": 0, "output_tokens": 0, "sufficiency": told, "abstained": refused}
    return plain | scored | rest | took | more


ROWS = [
    row("a", told=0.95, type="single-fact"),
    row("b", told=0.85, type="single-fact", right=False, milliseconds=300.0),
    row("c", told=0.15, type="table", right=False, abstained=True),
    row("d", told=0.05, answerable=False),
    row("e", told=0.65, answerable=False, right=False),
]


def test_right_is_a_reference_held_or_a_refusal_where_there_is_none() -> None:
    assert [is_right(each) for each in ROWS] == [True, False, False, True, False]


def test_the_reliability_of_the_signal_is_that_computed_by_hand() -> None:
    found = reliability(ROWS, bins=2)
    assert [bin_["questions"] for bin_ in found["bins"]] == [2, 3]
    low, high = found["bins"]
    assert (low["told"], low["true"]) == pytest.approx((0.1, 0.5))
    assert (high["told"], high["true"]) == pytest.approx((2.45 / 3, 2 / 3))
    assert found["ece"] == pytest.approx((2 * 0.4 + 3 * (2.45 / 3 - 2 / 3)) / 5)


def test_a_signal_that_keeps_its_word_has_no_calibration_error() -> None:
    rows = [row(str(n), told=1.0) for n in range(3)] + [row("z", told=0.0, answerable=False)]
    assert reliability(rows)["ece"] == 0


def test_risk_by_coverage_goes_from_the_surest_to_those_refused() -> None:
    found = risk_coverage(ROWS)
    assert [(point["coverage"], point["risk"]) for point in found["points"]] == [
        (0.2, 0.0),
        (0.4, 0.5),
        (0.6, pytest.approx(2 / 3)),
    ]
    assert found["area"] == pytest.approx((0 + 0.5 + 2 / 3) / 3, abs=1e-4)


def test_equal_sufficiencies_are_one_point_of_the_curve() -> None:
    rows = [row("a"), row("b", right=False), row("c")]
    assert risk_coverage(rows)["points"] == [{"coverage": 1.0, "risk": pytest.approx(1 / 3)}]


def test_where_all_is_refused_there_is_no_curve() -> None:
    assert risk_coverage([row("a", abstained=True)]) == {"points": [], "area": None}


def test_types_have_their_share_of_right_ones() -> None:
    found = {each["type"]: each for each in by_type(ROWS, ROWS[:1])}
    assert list(found) == ["single-fact", "table", "unanswerable"]
    assert (found["single-fact"]["right"], found["single-fact"]["f1"], found["single-fact"]["against"]) == (0.5, 0.5, 1)
    assert (found["unanswerable"]["right"], found["unanswerable"]["f1"]) == (0.5, None)
    assert found["table"]["against"] is None


def test_the_histogram_counts_every_value_once() -> None:
    found = histogram([10.0, 20.0, 40.0], bars=4)
    assert (found["counts"], found["width"], found["p50"]) == ([0, 1, 1, 1], 10, 20)
    assert sum(histogram([0.0, 0.0])["counts"]) == 2


def test_the_worst_cases_stand_by_what_went_wrong() -> None:
    found = {group["kind"]: [case["id"] for case in group["cases"]] for group in worst(ROWS)}
    assert list(found.values()) == [["b"], ["c"], ["e"]]


def test_what_is_cited_is_marked_where_it_stands() -> None:
    assert marked("a bc d bc", ["bc", "zz", ""]) == [("a ", False), ("bc", True), (" d bc", False)]
    assert marked("all", ["all"]) == [("all", True)]
    assert marked("", ["x"]) == []


def test_differences_are_over_the_questions_that_both_have() -> None:
    ours, theirs = ([row(str(n), right=n < at) for n in range(10)] for at in (8, 4))
    found = {each.metric: each for each in compared(ours, [*theirs, row("other")])}
    assert (found["right"].b, found["right"].a) == (0.8, 0.4)
    assert found["right"].difference == pytest.approx(0.4)
    assert (found["right"].low or 0) < 0.4 < (found["right"].high or 0)
    assert found["contains"].difference == 0.4
    assert found["milliseconds"].difference == 0
    assert compared(ours[:3], theirs) == [], "too few to tell"


class Page(HTMLParser):
    """What a browser would make of the page: tags, their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def page(tmp_path: Path, rows: list[dict[str, Any]], **more: Any) -> tuple[str, Page]:
    write_report(rows, tmp_path / "report.html", title="a <b>", **more)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    return text, Page(text)


def evil_row() -> dict[str, Any]:
    citation = {"n": 1, "source": EVIL, "page": 2, "line": None, "start": 0, "end": 5, "text": EVIL}
    return row("evil", right=False, type=EVIL, question=EVIL, answer=EVIL, answers=[EVIL]) | {
        "statements": [{"text": EVIL, "support": 1.0, "citations": [citation]}],
        "sources": [{"n": 1, "source": f"/tmp/{EVIL}", "page": 2, "text": EVIL}],
        "contexts": [f"before {EVIL} after"],
    }


def test_text_of_documents_and_answers_stays_text(tmp_path: Path) -> None:
    settings = {"f1": 0.5, "settings": {EVIL: EVIL}}
    text, seen = page(tmp_path, [*ROWS, evil_row()], against=[*ROWS, row("f")], scores=settings)
    assert not {"script", "img", "b>", "iframe", "link", "object", "a"} & set(seen.tags)
    assert EVIL in seen.text
    assert not [name for name, _ in seen.attributes if name.startswith("on") or name in ("src", "href", "style")]
    assert re.search(r"<mark>&lt;script&gt;", text)


def test_the_page_may_load_and_run_nothing(tmp_path: Path) -> None:
    text, seen = page(tmp_path, ROWS)
    allowed = next(value for name, value in seen.attributes if name == "content" and value and "default-src" in value)
    assert allowed.startswith("default-src 'none'; style-src 'sha256-")
    assert not re.search(r"https?://|url\(|@import", text)


def test_the_policy_lets_the_pages_own_style_through(tmp_path: Path) -> None:
    text, _ = page(tmp_path, ROWS)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    assert f"sha256-{digest}" in text.replace("&#43;", "+")


def test_an_evaluation_without_refusals_or_types_makes_a_page_too(tmp_path: Path) -> None:
    text, _ = page(tmp_path, [row("a", milliseconds=0.0)])
    assert "None." in text
    assert report([row("a")])["summary"]["refusal_recall"] is None


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", "it is empty"),
        ("{}", "row 1"),
        ("[1]", "row 1"),
        ("nothing", "row 1"),
        (json.dumps(row("a") | {"sufficiency": None}), "it has no sufficiency"),
    ],
)
def test_a_file_that_is_no_rows_is_refused_by_its_row(line: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(line, encoding="utf-8")
    with pytest.raises(EvaluationError, match=told):
        read_rows(path)


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    assert read_rows(path) == ROWS
    with pytest.raises(EvaluationError, match="folder that exists"):
        write_report(ROWS, tmp_path / "no" / "report.html", title="rows")


def test_the_command_writes_the_page_and_prints_the_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, [*ROWS, row("f")])), encoding="utf-8")
    assert main.main(["evaluate", "report", "rows.jsonl", "--against", "rows.jsonl", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["summary"]["right"], told["against"][0]["difference"]) == (0.5, 0)
    assert "<h2>Against the other settings</h2>" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert main.main(["evaluate", "report", "none.jsonl"]) == 1
    assert "none.jsonl" in capsys.readouterr().err
