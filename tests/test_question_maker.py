"""Test sets made of a user's documents: what proves each question, what is nowhere, and who else can read them."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable

from errors import EvaluationError
from evaluation.answer_questions import read_cases
from evaluation.facts import Proof, holds
from evaluation.question_maker import check_target, is_absent, make_questions, write_questions
from evaluation.question_variants import NEVER, TYPES, Absent, Candidate, in_other_words
from evaluation.question_writer import written
from evaluation.questions import read_questions
from inference.chat_model import LlamaCppChat
from inference.structured_output import build_structured
from ingestion import ingest
from pipeline import open_store_to_read
from settings import load_settings

DOCUMENTS = {
    "works.md": """# The works

The kettle Orion was built in 1921 by Ada Brown. The kettle Orion has four feet of brass.

The boiler Vega was built in 1934 by Bela Novak. It is said that the boiler Vega holds water.

A whistle is a pipe that sounds when steam goes through it. The pump Lyra was sold in Leeds for a long time.
""",
    "history/leeds.md": """# Leeds

In 1950, Carl Weber launched the ferry Argo in Leeds. The ferry Argo carried 300 passengers across the river.

People liked to travel with the ferry Argo, and many spoke of the pump Lyra and of the boiler Vega on the way.
""",
    "kettles.csv": "kettle,litres,maker\nAlpha,3,Ada Brown\nBeta,5,Bela Novak\nGamma,7,Carl Weber\nDelta,9,Dora Lund\n",
    "deutsch.md": "# Bericht\n\nDer Kessel wurde im Jahr 1921 in Leeds gebaut und hat vier Beine aus Messing.\n" * 4,
}
KETTLES = ("Alpha", "Beta", "Gamma", "Delta")
PROOF = Proof("works.md", None, 0, 58, "The kettle Orion was built in 1921 by Ada Brown of Leeds, who also sold it.")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    for name, text in DOCUMENTS.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def made(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    notes: list[str] = []
    settings = load_settings(store=tmp_path_factory.mktemp("none") / "store", workers=1)
    made = make_questions(settings, folder, count=30, on_note=notes.append)
    assert notes == ["1 documents are not in English, which the rules need, and are left out"]
    assert not settings.store.exists(), "the user's own index is left alone"
    return made


def of_type(made: dict[str, Any], type_: str) -> list[dict[str, Any]]:
    return [row for row in made["rows"] if row["type"] == type_]


def test_every_type_is_made_and_counted(made: dict[str, Any]) -> None:
    kept = Counter(row["type"] for row in made["rows"])
    assert list(made["types"]) == list(TYPES)
    assert all(kept[type_] == counts["kept"] > 0 for type_, counts in made["types"].items())
    assert all(counts["made"] >= counts["tried"] >= counts["kept"] for counts in made["types"].values())
    assert made["made_by"] == {"rules": len(made["rows"])}
    assert [row["id"] for row in made["rows"]] == [f"m{n:03d}" for n in range(1, len(made["rows"]) + 1)]
    asked = [(row["question"], json.dumps(row.get("history"))) for row in made["rows"]]
    assert len(set(asked)) == len(asked)


def test_what_proves_an_answer_stands_where_the_row_says(made: dict[str, Any], folder: Path) -> None:
    for row in made["rows"]:
        proofs = row.get("proofs") or ([row] if row["answerable"] else [])
        assert bool(proofs) == row["answerable"]
        for proof in proofs:
            if proof["doc_id"].endswith(".md"):
                text = (folder / proof["doc_id"]).read_text(encoding="utf-8")
                assert text[proof["start"] : proof["end"]] == proof["passage"]
        if row["answerable"]:
            assert any(holds(proof["passage"], answer) for proof in proofs for answer in row["answers"])
            assert 1 <= row["rank"] <= 4


def test_the_questions_are_those_that_a_reader_would_ask(made: dict[str, Any]) -> None:
    single = {row["question"]: row["answers"] for row in of_type(made, "single-fact")}
    assert single["When was the kettle Orion built?"] == ["1921"]
    assert "What is a whistle?" in single
    assert {row["question"] for row in of_type(made, "table")} & {f"How many litres does {n} have?" for n in KETTLES}
    comparison = next(row for row in of_type(made, "multi-passage") if "litres" in row["question"])
    assert comparison["answers"][0] in comparison["question"]
    assert len(comparison["proofs"]) == 2


def test_a_follow_up_points_back_and_has_its_history(made: dict[str, Any]) -> None:
    for row in of_type(made, "follow-up"):
        (turn,) = row["history"]
        assert turn.keys() == {"question", "answer"}
        assert {"it", "its", "they", "that"} & set(row["question"].rstrip("?").split())


def test_what_an_unanswerable_question_asks_for_is_nowhere(made: dict[str, Any]) -> None:
    answerable = {row["question"] for row in made["rows"] if row["answerable"]}
    for row in of_type(made, "unanswerable"):
        assert (row["answers"], row["doc_id"]) == ([], None)
        assert row["question"] not in answerable


def test_the_rows_are_read_by_the_commands_that_take_questions(
    made: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "questions.jsonl"
    write_questions(path, made["rows"])
    cases = read_cases(path, longest=4000)
    assert [case.id for case in cases] == [row["id"] for row in made["rows"]]
    assert [case for case in cases if case.history] == [case for case in cases if case.type == "follow-up"]
    settings = load_settings(store=tmp_path / "store", workers=1)
    ingest(settings, [folder])
    with open_store_to_read(settings) as store:
        questions = read_questions(path, store.catalog)
    assert len(questions.unanswerable) == len(of_type(made, "unanswerable"))
    assert len(questions.queries) == sum(row["answerable"] and "history" not in row for row in made["rows"])


@pytest.mark.parametrize(
    ("passage", "absent"),
    [
        ("The ferry Argo was painted by hand.", True),
        ("The ferry Argo has four feet of brass.", False),
        ("The ferry Argo is of 1921.", False),
        ("The kettle Orion was built in 1921, with four feet of brass.", True),
    ],
)
def test_absent_is_what_no_passage_tells_of_that_name(passage: str, absent: bool) -> None:
    sought = Absent("the ferry Argo", frozenset({"feet", "brass", "four"}), NEVER)
    year = sought._replace(words=frozenset({"built"}), asked=re.compile(r"\b\d{4}\b"))
    assert (is_absent(sought, [passage]) and is_absent(year, [passage])) is absent


@pytest.mark.parametrize(
    ("question", "other"),
    [
        ("When was the kettle built?", "In which year was the kettle constructed?"),
        ("What does MRR stand for?", "What is MRR short for?"),
        ("How many feet does the kettle have?", "What is the number of feet of the kettle?"),
        ("By whom was the kettle sold?", "Who was the kettle sold by?"),
        ("Who sold the kettle?", "Who sold the kettle?"),
    ],
)
def test_a_paraphrase_turns_the_question_round(question: str, other: str) -> None:
    assert in_other_words(question) == other


class Writer(GenericFakeChatModel):
    """A queued fake that answers in a schema as the local model does."""

    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **kwargs: Any) -> Runnable[Any, Any]:
        return build_structured(self, schema, include_raw)


def by_model(**changed: str) -> list[Candidate]:
    said = {
        "question": "When was the kettle Orion built?",
        "answer": "1921",
        "in_other_words": "In which year did the kettle Orion come to be?",
        "follow_up": "By whom was it built?",
        "follow_up_answer": "Ada Brown",
    }
    llm = Writer(messages=iter([AIMessage(json.dumps(said | changed))]))
    return list(written(llm, [PROOF], most=5))


def test_a_model_writes_facts_paraphrases_and_follow_ups_of_a_passage() -> None:
    single, other, follow_up = by_model()
    assert [each.type for each in (single, other, follow_up)] == ["single-fact", "paraphrase", "follow-up"]
    assert {each.made_by for each in (single, other, follow_up)} == {"model"}
    assert follow_up.history == ({"question": single.question, "answer": "1921."},)
    assert follow_up.answers == ("Ada Brown",)


@pytest.mark.parametrize(
    "changed",
    [
        {"answer": "1922"},
        {"question": "When was it built by her?"},
        {"question": "The kettle Orion was built in 1921"},
        {"question": "Was the kettle Orion built in 1921?"},
    ],
)
def test_what_a_model_writes_and_the_passage_does_not_prove_is_left_out(changed: dict[str, str]) -> None:
    assert not [each for each in by_model(**changed) if each.type == "single-fact"]


def test_a_models_broken_answer_makes_no_question() -> None:
    assert list(written(Writer(messages=iter([AIMessage('{"question": "When was')])), [PROOF], most=5)) == []


def test_the_packaged_model_keeps_to_the_schema(llm: LlamaCppChat) -> None:
    for candidate in written(llm, [PROOF], most=1):
        assert holds(PROOF.passage, candidate.answers[0])


def test_a_folder_that_gives_nothing_is_refused_and_so_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.md").write_text("nothing to ask of here\n")
    settings = load_settings(store=tmp_path / "store", workers=1)
    for target, told in ((tmp_path / "empty", "no question could be made"), (tmp_path / "no", "not a folder")):
        with pytest.raises(EvaluationError, match=told):
            make_questions(settings, target)
    with pytest.raises(EvaluationError, match="does not exist"):
        check_target(tmp_path / "no" / "questions.jsonl")
