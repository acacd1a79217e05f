"""What a user's question expects, and which passages meet it."""

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document

from evaluation.questions import Questions, read_questions
from evaluation.runs import score_each
from loaders.catalog import Catalog


@pytest.fixture
def catalog(tmp_path: Path) -> Any:
    catalog = Catalog(tmp_path / "catalog.sqlite")
    insert = (
        "INSERT INTO chunks (id, source, position, page, section, start, text, vector_key, exact) "
        "VALUES (?, ?, 0, ?, '', 0, 't', 'v', 'e')"
    )
    for number, (source, page) in enumerate([("/d/a.pdf", 1), ("/d/a.pdf", 2), ("/d/b.md", None), ("/d/e/b.md", None)]):
        catalog.connection.execute(insert, (str(number), source, page))
    yield catalog
    catalog.close()


def passage(id_: str, source: str, page: int | None = None, also_in: tuple[str, ...] = ()) -> Document:
    return Document(id=id_, page_content="t", metadata={"source": source, "page": page, "also_in": list(also_in)})


def test_each_way_to_name_what_is_expected(catalog: Catalog, tmp_path: Path) -> None:
    rows = [
        {"question": " Which? ", "source": "a.pdf", "page": 2},
        {"question": "Where?", "source": "/d/b.md", "answer": "here"},
        {"question": "Who?", "doc_ids": ["a.pdf", "e/b.md"]},
        {"question": "Why?", "doc_id": "a.pdf", "answerable": True},
        {"question": "Never?", "doc_id": None, "answerable": False},
    ]
    path = tmp_path / "q.jsonl"
    path.write_text("\n\n".join(map(json.dumps, rows)), encoding="utf-8-sig")
    found = read_questions(path, catalog)
    assert found.queries == {"1": "Which?", "3": "Where?", "5": "Who?", "7": "Why?"}
    assert found.relevant == {
        "1": {"/d/a.pdf#2": 1},
        "3": {"/d/b.md": 1},
        "5": {"/d/a.pdf": 1, "/d/e/b.md": 1},
        "7": {"/d/a.pdf": 1},
    }
    assert found.unanswerable == {"9": "Never?"}


def test_a_wrong_passage_takes_a_place_and_the_right_page_is_found_once() -> None:
    questions = Questions({"1": "?"}, {"1": {"/d/a.pdf#2": 1}}, {})
    found = [passage("w", "/d/a.pdf", 1), passage("x", "/d/c.md"), passage("r", "/d/a.pdf", 2)]
    labels = [list(questions.label("1", each)) for each in found]
    assert labels == [["w"], ["x"], ["/d/a.pdf#2"]]
    assert list(questions.label("1", passage("y", "/d/c.md", None, ("/d/a.pdf",)))) == ["/d/a.pdf#2"]
    assert list(questions.label("2", found[2])) == ["r"], "another question's page is wrong for this one"
    run = {"1": {name: 1.0 / rank for rank, (name,) in enumerate(labels, 1)}}
    scores = score_each(questions.relevant, run, ["nDCG@10", "Success@2", "Success@3"])
    assert {name: score.tolist() for name, score in scores.items()} == {
        "nDCG@10": [0.5],  # the third of all: 1 / log2(4)
        "Success@2": [0.0],
        "Success@3": [1.0],
    }
