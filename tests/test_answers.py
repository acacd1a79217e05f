"""`evaluate answers` over a few small documents: the same chain as `ask`, what was read, what is told of bad rows."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ingestion
import pipeline
from chains.rag import ask
from errors import DocumentError, EvaluationError
from evaluation.answer_metrics import summarise
from evaluation.answer_questions import Case, read_cases, sampled
from evaluation.answers import evaluate_answers
from settings import Settings, load_settings

FILES = {
    "kettle.md": "# Orion\n\nThe kettle Orion holds 3 litres of water. Ada Brown built it in Leeds.\n",
    "rivers.txt": "The Danube flows through Vienna and Budapest.\nThe Danube ends in the Black Sea.\n",
}
QUESTIONS = [
    {"id": "k", "question": "How many litres of water does the kettle Orion hold?", "answers": ["3", "3 litres"]},
    {"id": "r", "question": "Where does the Danube end?", "answers": ["the Black Sea"], "type": "single-fact"},
    {"id": "n", "question": "Who painted the ceiling of the chapel?", "answers": [], "answerable": False},
]
PARAGRAPHS = [
    {"_id": "p1", "title": "Orion", "text": "The kettle Orion holds 5 litres of water. It was built in Leeds."},
    {"_id": "p2", "title": "", "text": "The Danube is long.\nThe Danube ends in the Black Sea."},
]
KEYS = {
    *("questions", "exact_match", "f1", "rouge_l", "contains", "citation_precision", "citation_coverage"),
    *("refusal_precision", "refusal_recall", "hallucination_rate", "repetition_rate"),
    *("answer_ms_p50", "answer_ms_p95", "tokens", "settings"),
}


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Settings]:
    settings = load_settings(store=tmp_path_factory.mktemp("index") / "store", answer_style="quote")
    ingestion.ingest(settings, [folder])
    yield settings


def test_the_answers_are_those_of_ask_with_what_was_read(settings: Settings, tmp_path: Path) -> None:
    path, rows_file = lines(tmp_path / "q.jsonl", QUESTIONS), tmp_path / "rows.jsonl"
    progress: list[tuple[int, int, int]] = []
    scores, rows = evaluate_answers(
        settings, path, rows_file=rows_file, on_progress=lambda *told: progress.append(told)
    )
    assert scores.keys() >= KEYS
    assert (scores["questions"], scores["answerable"], scores["refused"], scores["quoted"]) == (3, 2, 1, 2)
    assert (scores["contains"], scores["refusal_precision"], scores["refusal_recall"]) == (1, 1, 1)
    assert (scores["citation_precision"], scores["citation_coverage"]) == (1, 1)
    assert (scores["hallucination_rate"], scores["repetition_rate"]) == (0, 0)
    assert scores["tokens"] == {"prompt": 0, "answer": 0}
    assert 0 < scores["answer_ms_p50"] <= scores["answer_ms_p95"]
    assert scores["settings"]["answer_style"] == "quote"
    assert str(tmp_path) not in json.dumps(scores)
    assert [json.loads(line) for line in rows_file.read_text(encoding="utf-8").splitlines()] == json.loads(
        json.dumps(rows)
    )
    assert {name: scores[name] for name in summarise(rows)} == summarise(rows), "the rows have all that is scored"
    assert progress[-1] == (3, 3, 3)
    with pipeline.open_index(settings) as index, pipeline.open_chain(settings, index) as chain:
        answers = [ask(chain, str(question["question"])) for question in QUESTIONS]
    assert [row["answer"] for row in rows] == [answer.answer for answer in answers]
    for row, answer in zip(rows, answers, strict=True):
        assert len(row["contexts"]) == len(answer.sources) > 0
        assert all(source.text in text for source, text in zip(answer.sources, row["contexts"], strict=True))
    assert rows[1]["type"] == "single-fact"
    assert rows[2]["exact_match"] is rows[2]["f1"] is rows[2]["rouge_l"] is rows[2]["contains"] is None


def test_a_follow_up_is_asked_with_what_was_said_before(settings: Settings, tmp_path: Path) -> None:
    history = [{"question": "Where does the Danube flow?", "answer": "Through Vienna."}]
    row = {"question": "Where does it end?", "answers": ["Black Sea"], "history": history}
    _, rows = evaluate_answers(settings, lines(tmp_path / "q.jsonl", [row]))
    assert rows[0]["contains"], rows[0]["answer"]
    assert (rows[0]["id"], rows[0]["question"]) == ("1", "Where does it end?")


def test_a_folder_is_asked_in_a_store_of_its_own(settings: Settings, folder: Path, tmp_path: Path) -> None:
    elsewhere = settings.model_copy(update={"store": tmp_path / "untouched"})
    scores, _ = evaluate_answers(elsewhere, lines(tmp_path / "q.jsonl", QUESTIONS), documents=folder)
    assert scores["contains"] == 1
    assert not elsewhere.store.exists()


def test_only_what_fits_the_models_context_counts_as_read(folder: Path, tmp_path: Path) -> None:
    long = "".join(
        f"The kettle Orion number {n} holds {n} litres of water and whistles on the hob.\n\n" for n in range(99)
    )
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "long.txt").write_text(long, encoding="utf-8")
    settings = load_settings(
        store=tmp_path / "none", answer_style="write", context_tokens=512, max_answer_tokens=16, merge=False
    )
    path = lines(tmp_path / "q.jsonl", QUESTIONS[:1])
    scores, rows = evaluate_answers(settings, path, documents=tmp_path / "docs")
    assert 0 < len(rows[0]["contexts"]) == len(rows[0]["sources"]) < settings.top_k
    assert scores["tokens"]["prompt"] > 100
    assert scores["tokens"]["answer"] > 0


def test_each_question_is_given_its_paragraph(settings: Settings, tmp_path: Path) -> None:
    asked = [
        QUESTIONS[0] | {"para_id": "p1"},
        QUESTIONS[1] | {"para_id": "p2"},
        QUESTIONS[1] | {"id": 3, "para_id": "p1"},
    ]
    path, corpus = lines(tmp_path / "q.jsonl", asked), lines(tmp_path / "corpus.jsonl", PARAGRAPHS)
    nowhere = settings.model_copy(update={"store": tmp_path / "none"})
    _, rows = evaluate_answers(nowhere, path, given_paragraphs=corpus)
    assert [row["contexts"] for row in rows] == [[PARAGRAPHS[n]["text"]] for n in (0, 1, 0)]
    assert rows[0]["answer"] == "The kettle Orion holds 5 litres of water. [1]"
    assert rows[2]["abstained"]
    at = rows[1]["sources"][0]
    assert (at["source"], at["line"], at["start"]) == ("p2", 2, PARAGRAPHS[1]["text"].index("The Danube ends"))
    assert not nowhere.store.exists()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "Who?", "answers": ["Ada"]}, "row 2: it names no para_id"),
        ({"question": "Who?", "answers": ["Ada"], "para_id": "p9"}, "row 2: .*corpus.jsonl has no paragraph p9"),
    ],
)
def test_a_paragraph_that_is_not_there_is_named(
    settings: Settings, tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    path = lines(tmp_path / "q.jsonl", [QUESTIONS[0] | {"para_id": "p1"}, row])
    with pytest.raises(EvaluationError, match=message):
        evaluate_answers(settings, path, given_paragraphs=lines(tmp_path / "corpus.jsonl", PARAGRAPHS))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "row 2: not as expected"),
        ("[]", "row 2: not as expected"),
        ('{"answers": ["x"]}', "row 2: not as expected .*question"),
        ('{"question": 3, "answers": ["x"]}', "row 2: .*no text"),
        ('{"question": " ", "answers": ["x"]}', "row 2: it is empty"),
        (json.dumps({"question": "x" * 101, "answers": ["x"]}), "row 2: it has 101 characters, 100 are allowed"),
        ('{"question": "Who?"}', "row 2: .*answerable and has no answers"),
        ('{"question": "Who?", "answers": "Ada"}', "row 2: .*not a list of texts"),
        ('{"question": "Who?", "answers": [" "]}', "row 2: .*not a list of texts"),
        ('{"question": "Who?", "answers": ["x"], "answerable": 1}', "row 2: .*answerable is 1"),
        (
            '{"question": "Who?", "answers": ["x"], "history": [{"question": "Why?"}]}',
            "row 2: not as expected .*answer",
        ),
        ('{"id": 1, "question": "Who?", "answers": ["x"]}', "row 2: .*its id '1' is that of row 1"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(f'{{"question": "Who?", "answers": ["x"]}}\n{row}\n')
    with pytest.raises(EvaluationError, match=message):
        read_cases(path, longest=100)


def test_an_empty_file_and_a_missing_one_are_named(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text("\n")
    with pytest.raises(EvaluationError, match="it is empty"):
        read_cases(tmp_path / "q.jsonl", longest=100)
    with pytest.raises(EvaluationError, match="No such file"):
        read_cases(tmp_path / "none.jsonl", longest=100)


def test_a_file_of_rows_that_can_not_be_written_is_told_before_the_work(settings: Settings, tmp_path: Path) -> None:
    path = lines(tmp_path / "q.jsonl", QUESTIONS)
    with pytest.raises(EvaluationError, match=r"rows\.jsonl: No such file"):
        evaluate_answers(settings, path, rows_file=tmp_path / "none" / "rows.jsonl")
    with pytest.raises(DocumentError):
        evaluate_answers(settings, path, documents=tmp_path / "none")


@pytest.mark.parametrize(("limit", "there", "away"), [(None, 30, 10), (99, 30, 10), (20, 15, 5), (1, 1, 0), (4, 3, 1)])
def test_a_sample_keeps_the_order_and_the_share_of_unanswerable_questions(
    limit: int | None, there: int, away: int
) -> None:
    cases = [Case(n, str(n), "Who?", ("x",), n % 4 > 0, None, None) for n in range(40)]
    found = sampled(cases, limit)
    assert found == sorted(found)
    assert (sum(case.answerable for case in found), sum(not case.answerable for case in found)) == (there, away)
    assert found == sampled(cases, limit)
