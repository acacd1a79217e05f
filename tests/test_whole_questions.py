"""Questions about all documents: what is looked for, and what is done with it."""

import pytest

from surveys.whole_questions import Task, is_about_all, read_task


@pytest.mark.parametrize(
    ("question", "task"),
    [
        ("How many documents mention the Danube?", Task("count", ("the Danube",), literal=True)),
        ("how many of the contracts have a notice period?", Task("count", ("a notice period",))),
        ("Which files are about climate change?", Task("list", ("climate change",))),
        ("In which papers is Ada Brown named?", Task("list", ("Ada Brown",), literal=True)),
        ("In which papers is attention described?", Task("list", ("attention",))),
        ("Which contracts contain the word 'penalty'?", Task("list", ("penalty",), literal=True)),
        ("Which paper introduced LoRA?", Task("list", ("introduced LoRA",))),
        ("List all letters that mention Leeds.", Task("list", ("Leeds",), literal=True)),
        ("What documents say when the Normans came?", Task("list", ("when the Normans came",))),
        ("In each contract, what is the notice period?", Task("each", ("what is the notice period",))),
        ("What is the notice period in each contract?", Task("each", ("What is the notice period",))),
        ("Wie viele Verträge nennen eine Kündigungsfrist?", Task("count", ("eine Kündigungsfrist",), literal=True)),
        ("¿Qué documentos hablan de petróleo?", Task("list", ("petróleo",))),
        ("哪些文件提到华沙？", Task("list", ("华沙",), literal=True)),
        ("Compare Orion and Vega", Task("compare", ("Orion", "Vega"), ("Orion", "Vega"))),
        (
            "Compare the price of Orion, Vega and Lyra",
            Task("compare", ("Orion price", "Vega price", "Lyra price"), ("Orion", "Vega", "Lyra")),
        ),
        ("How do Adam and SGD differ in memory?", Task("compare", ("Adam memory", "SGD memory"), ("Adam", "SGD"))),
        (
            "What is the difference between BM25 and dense retrieval?",
            Task("compare", ("BM25", "dense retrieval"), ("BM25", "dense retrieval")),
        ),
        ("Who built the kettle?", Task("list", ("Who built the kettle?",), plain=True)),
        ("Compare the prices", Task("list", ("Compare the prices",), plain=True)),
        ("?", Task("list", ("?",), plain=True)),
    ],
)
def test_a_question_says_what_to_do_with_every_document(question: str, task: Task) -> None:
    assert read_task(question) == task


def test_only_what_asks_for_every_document_is_about_all_of_them() -> None:
    assert is_about_all("How many documents mention Leeds?")
    assert is_about_all("Who signed each contract?")
    assert not is_about_all("How many litres does the kettle hold?")
    assert not is_about_all("Compare Orion and Vega")
