"""Training a re-ranker: what is mined from a real index, and that a model which learned orders better."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from chains.reranking import build_reranker, cross_encoder
from errors import EvaluationError
from ingestion import ingest
from searching import Search
from settings import Settings, load_settings
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
    assert before == pytest.approx(np.full(len(groups), 1 / 6))
    assert after.mean() > 0.9
    assert told[-1][0] <= told[-1][1]
    passages = [found(str(n), "a.md", text) for n, text in enumerate(groups[0].passages)]
    ranked = build_reranker(cross_encoder(tmp_path / "model"), candidates=6, limit=1)
    assert [p.id for p in ranked.invoke({"query": groups[0].query, "passages": passages})] == ["0"]


def forty_files(folder: Path, right: Callable[[int], int]) -> tuple[Settings, Path]:
    """Index a thing and its colour in each file; ask for the colour, and name the file that `right` says."""
    (folder / "docs").mkdir()
    rows = []
    for n in range(40):
        colour, thing = COLOURS[n % len(COLOURS)], THINGS[n % len(THINGS)]
        (folder / "docs" / f"{n}.md").write_text(f"The {thing} number {n} is {colour}.", encoding="utf-8")
        rows.append(json.dumps({"question": f"What colour is {thing} number {n}?", "doc_id": f"{right(n)}.md"}))
    (folder / "q.jsonl").write_text("\n".join(rows), encoding="utf-8")
    settings = load_settings(store=folder / "store")
    ingest(settings, [folder / "docs"])
    return settings, folder / "q.jsonl"


def test_the_whole_way_leaves_nothing_where_nothing_is_gained(tmp_path: Path) -> None:
    settings, questions = forty_files(tmp_path, lambda n: n)
    report = train_reranker(settings, questions, tmp_path / "model", layers=1, minutes=0.05)
    assert (report["groups"], report["kept_apart"]) == (32, 8)
    assert report["mrr_search"] == 1  # nothing is left to gain
    assert not report["pays"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["docs", "q.jsonl", "store"]
    with pytest.raises(EvaluationError, match="something in it"):
        train_reranker(settings, questions, tmp_path / "docs")


def test_too_few_questions_are_refused(tmp_path: Path) -> None:
    settings, questions = forty_files(tmp_path, lambda n: n if n < 29 else 99)
    with pytest.raises(EvaluationError, match="30 are needed"):
        train_reranker(settings, questions, tmp_path / "model")
    assert not (tmp_path / "model").exists()
