"""The survey: every document is read, and what each tells is counted, listed or compared, verbatim."""

from functools import partial

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import Runnable

from chains.evidence import build_highlighter
from chains.post_filter import REFUSAL
from chains.sufficiency import lacks_evidence
from surveys.coverage import WholeAnswer
from surveys.survey import BATCH, best_of, build_survey, names
from words import content_words

FILES = {
    "/docs/orion.md": "The kettle Orion holds 3 litres of water. Ada Brown built it in Leeds.",
    "/docs/vega.md": "The kettle Vega holds 5 litres of water. It was made in Vienna.",
    "/docs/river.md": "The Danube flows through Vienna and Budapest.",
    "/more/river.md": "Eels swim up the Severn in the spring. Their young are called elvers.",
}


def survey(embeddings: Embeddings, files: dict[str, str] = FILES) -> Runnable[str, WholeAnswer]:
    def read(source: str) -> tuple[list[Document], np.ndarray]:
        place = {"source": source, "page": None, "line": 1, "section": "", "start": 0, "searched_as": source}
        return [Document(id=source, page_content=files[source], metadata=place)], embed([files[source]])

    def embed(texts: list[str]) -> np.ndarray:
        return np.asarray(embeddings.embed_documents(texts))

    def keyword(query: str) -> dict[str, float]:
        held = {source: len(content_words(query) & content_words(text)) for source, text in files.items()}
        return {source: float(count) for source, count in held.items() if count}

    return build_survey(
        sources=sorted(files),
        passages=len(files),
        read=read,
        embed=embeddings.embed_query,
        keyword=keyword,
        keyword_weight=0.45,
        highlight=build_highlighter(embeddings),
        lacks=partial(lacks_evidence, least_evidence=0.33),
    )


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("How many documents mention Vienna?", "2 of 4 documents: /docs/river.md [1], vega.md [2]."),
        ("How many documents mention zebras?", "0 of 4 documents."),
        ("Which documents mention Leeds?", "orion.md: Ada Brown built it in Leeds. [1]"),
        ("Which documents mention zebras?", REFUSAL),
        ("Which files are about the river Danube?", f"/docs/river.md: {FILES['/docs/river.md']} [1]"),
        (
            "How many litres does the kettle hold in each document?",
            "orion.md: The kettle Orion holds 3 litres of water. [1]\n/docs/river.md: not found\n"
            "vega.md: The kettle Vega holds 5 litres of water. [2]\n/more/river.md: not found",
        ),
        (
            "Compare the litres of Orion, Vega and Lyra",
            "Orion: The kettle Orion holds 3 litres of water. [1]\nVega: The kettle Vega holds 5 litres of water. [2]\n"
            f"Lyra: {REFUSAL}",
        ),
    ],
)
def test_documents_are_counted_listed_and_compared(question: str, text: str, embeddings: Embeddings) -> None:
    answer = survey(embeddings).invoke(question)
    assert answer.answer.splitlines() == text.splitlines()
    assert (answer.coverage.documents, answer.coverage.of_documents) == (4, 4)
    assert (answer.coverage.passages, answer.coverage.of_passages) == (4, 4)
    assert answer.coverage.words == sum(len(text.split()) for text in FILES.values())
    assert answer.abstained == (not answer.statements)


def test_every_statement_is_verbatim_where_it_says(embeddings: Embeddings) -> None:
    answer = survey(embeddings).invoke("Which documents mention water?")
    assert len(answer.statements) == 2
    assert answer.cited == tuple(source.n for source in answer.sources) == (1, 2)
    for statement, source in zip(answer.statements, answer.sources, strict=True):
        (cited,) = statement.citations
        assert (cited.n, cited.source, statement.support) == (source.n, source.source, 1.0)
        assert FILES[cited.source][cited.start : cited.end] == cited.text == statement.text


def test_a_refusal_names_the_nearest_passages_and_states_nothing(embeddings: Embeddings) -> None:
    answer = survey(embeddings).invoke("Which documents discuss how the kettle was painted by its owner's grandmother?")
    assert (answer.answer, answer.abstained, answer.statements, answer.cited) == (REFUSAL, True, (), ())
    assert {source.source for source in answer.sources} <= FILES.keys()
    assert answer.sources


def test_it_streams_the_answer_so_far(embeddings: Embeddings) -> None:
    files = {f"/docs/{at:03}.md": f"The kettle number {at} is blue." for at in range(BATCH + 2)}
    answers = list(survey(embeddings, files).stream("How many documents mention a kettle?"))
    assert [answer.coverage.documents for answer in answers] == [0, BATCH, BATCH + 2]
    assert [answer.answer.partition(":")[0].rstrip(".") for answer in answers] == [
        "0 of 0 documents",
        f"{BATCH} of {BATCH} documents",
        f"{BATCH + 2} of {BATCH + 2} documents",
    ]
    empty = survey(embeddings, {}).invoke("Which documents mention a kettle?")
    assert (empty.answer, empty.abstained) == (REFUSAL, True)


def test_the_best_passages_of_a_document_are_copies_with_their_scores() -> None:
    place = {"source": "a.md", "page": None, "line": 1, "section": "", "start": 0}
    passages = [Document(id=id_, page_content=id_, metadata=place | {"searched_as": id_}) for id_ in "abc"]
    vectors = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    found = best_of(passages, vectors, np.array([1.0, 0.0]), {"b": 8.0, "c": 4.0}, 0.5)
    assert [(p.id, round(p.metadata["score"], 3), p.metadata["keyword"]) for p in found] == [
        ("b", 0.8, 8.0),
        ("a", 0.5, None),
    ]
    assert "score" not in passages[0].metadata


def test_documents_of_one_name_are_called_by_their_paths() -> None:
    assert names(["/a/x.md", "/b/x.md", "/b/y.md"]) == {"/a/x.md": "/a/x.md", "/b/x.md": "/b/x.md", "/b/y.md": "y.md"}
