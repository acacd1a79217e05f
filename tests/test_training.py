"""Training a re-ranker: what is mined from a real index, and that a model which learned orders better."""

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from chains.reranking import build_reranker, cross_encoder
from errors import EvaluationError
from ingestion import ingest
from searching import Search
from settings import load_settings
from training.mining import Group, Question, mine, read_questions
from training.reranker import reciprocal_ranks, train_cross_encoder, train_reranker

COLOURS = ("red", "green", "blue", "white", "black", "brown", "violet", "yellow", "orange", "grey", "pink", "gold")
THINGS = ("kettle", "lamp", "tractor", "piano", "ladder", "bridge", "compass", "violin", "anchor", "barrel", "clock")


def found(id_: str, source: str, text: str) -> Document:
    return Document(id=id_, page_content=text, metadata={"source": source, "also_in": (), "section": "", "score": 0.5})


def test_questions_are_read_and_unanswerable_ones_left_out(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"question": "How much?", "doc_id": "a.md", "answers": ["12 euros"]},
        {"question": "Who?", "doc_ids": ["a.md", "b.md"]},
        {"question": "Why?", "doc_id": "a.md", "answerable": False},
    ]
    (tmp_path / "q.jsonl").write_text("\n\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert read_questions(tmp_path / "q.jsonl") == [
        Question("How much?", frozenset({"a.md"}), ("12 euros",)),
        Question("Who?", frozenset({"a.md", "b.md"}), ()),
    ]


@pytest.mark.parametrize("text", ['{"question": "Who?"}', "no JSON", "[1]"])
def test_a_row_that_is_not_a_question_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{"question": "a", "doc_id": "b"}\n' + text, encoding="utf-8")
    with pytest.raises(EvaluationError, match=r"q\.jsonl, row 2"):
        read_questions(tmp_path / "q.jsonl")


def test_right_passages_hold_an_answer_and_wrong_ones_do_not() -> None:
    passages = [
        found("1", "/docs/b.md", "It costs 12 euros."),  # another file: it may be about something else
        found("2", "/docs/a.md", "See the list of fees."),
        found("3", "/docs/a.md", "The fee is 12 Euros a day."),
        found("4", "/docs/c.md", "Nothing here."),
    ]
    search: Search = RunnableLambda(lambda queries: passages)
    asked = Question("How much?", frozenset({"a.md"}), ("12 euros",))
    groups = mine(search, [asked], wrong=2)
    assert [group.passages for group in groups] == [
        ("The fee is 12 Euros a day.", "See the list of fees.", "Nothing here.")
    ]
    without = Question("How much?", frozenset({"a.md"}), ())
    assert [group.passages for group in mine(search, [without], wrong=2)] == [
        ("See the list of fees.", "It costs 12 euros.", "Nothing here.")
    ]
    assert mine(search, [asked], wrong=3) == []
    assert mine(search, [Question("How much?", frozenset({"z.md"}), ())], wrong=2) == []


def groups_by_place() -> list[Group]:
    """Right is the passage that is indoors, last by the search's scores: the model can learn it from the words."""
    groups = []
    for at, thing in enumerate(THINGS * 3):
        wrong = [f"The {other} is {COLOURS[at % 12]} and stands outdoors in the rain." for other in THINGS[:5]]
        right = f"The {thing} is {COLOURS[at % 12]} and stands indoors, in the kitchen."
        groups.append(Group(f"Which {thing} is it, number {at}?", (right, *wrong), (0.4, *[0.5] * len(wrong))))
    return groups


def test_what_it_learns_is_what_the_re_ranker_uses(embedder_folder: Path, tmp_path: Path) -> None:
    groups = groups_by_place()
    told: list[tuple[int, int]] = []
    train_cross_encoder(
        groups,
        embedder_folder,
        tmp_path / "model",
        layers=1,
        minutes=10,
        epochs=8,
        on_progress=lambda done, total, loss: told.append((done, total)),
    )
    before, after = reciprocal_ranks(tmp_path / "model", groups)
    assert before == pytest.approx(1 / 6)
    assert after > 0.9
    assert told[-1][0] <= told[-1][1]
    passages = [found(str(n), "a.md", text) for n, text in enumerate(groups[0].passages)]
    ranked = build_reranker(cross_encoder(tmp_path / "model"), candidates=6, limit=1)
    assert [p.id for p in ranked.invoke({"query": groups[0].query, "passages": passages})] == ["0"]


def test_too_few_questions_are_refused(embedder_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="20 are needed"):
        train_cross_encoder(groups_by_place()[:19], embedder_folder, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_the_whole_way_from_an_index_and_questions_to_a_model(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    rows = []
    for n in range(40):
        colour, thing = COLOURS[n % len(COLOURS)], THINGS[n % len(THINGS)]
        (tmp_path / "docs" / f"{n}.md").write_text(f"The {thing} number {n} is {colour}.", encoding="utf-8")
        rows.append(json.dumps({"question": f"What colour is {thing} number {n}?", "doc_id": f"{n}.md"}))
    (tmp_path / "q.jsonl").write_text("\n".join(rows), encoding="utf-8")
    settings = load_settings(store=tmp_path / "store")
    ingest(settings, [tmp_path / "docs"])
    report = train_reranker(settings, tmp_path / "q.jsonl", tmp_path / "model", layers=1, minutes=0.05)
    assert (report["groups"], report["kept_apart"]) == (32, 8)
    assert 0 < report["mrr_search"] <= 1
    assert 0 < report["mrr_reranked"] <= 1
    assert report["pays"] == (report["mrr_reranked"] > report["mrr_search"])
    with pytest.raises(EvaluationError, match="something in it"):
        train_reranker(settings, tmp_path / "q.jsonl", tmp_path / "model")
