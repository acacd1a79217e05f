"""Central sentences: verbatim, within the length, the subject first and nothing twice."""

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from surveys.central import central_sentences, is_statement, varied

TEXTS = (
    "Kettles of the Orion kind hold three litres of water. They boil it in four minutes on a gas stove.",
    "The Orion kettle was built in Leeds by Ada Brown. Her workshop made forty kettles a week from copper.",
    "Tickets for the harbour tour cost nine pounds. Copper kettles keep the water hot for an hour.",
)


def passages() -> list[Document]:
    text = "\n\n".join(TEXTS)
    place = {"source": "a.md", "page": None, "section": "", "line": 1}
    return [Document(page_content=part, metadata=place | {"start": text.index(part)}) for part in TEXTS]


def test_they_are_verbatim_in_order_and_within_the_length(embeddings: Embeddings) -> None:
    def embed(texts: list[str]) -> np.ndarray:
        return np.asarray(embeddings.embed_documents(texts))

    text = "\n\n".join(TEXTS)
    found = central_sentences(passages(), embed(list(TEXTS)), embed, most_words=25)
    assert [sentence.start for sentence in found] == sorted(sentence.start for sentence in found)
    assert all(text[sentence.start : sentence.end] == sentence.text for sentence in found)
    assert 0 < sum(len(sentence.text.split()) for sentence in found) <= 25
    assert all("Tickets" not in sentence.text for sentence in found)
    assert central_sentences([], np.zeros((0, 2)), embed, most_words=25) == []


def test_the_most_central_comes_first_and_a_copy_of_it_last() -> None:
    vectors = np.array([[0.8, 0.6], [1, 0], [1, 0], [0.6, 0.8], [0.6, -0.8]])
    centroid, later = np.array([1.0, 0]), np.full(5, 1e9)  # far from the beginning, where places count for nothing
    assert varied(vectors, centroid, later, [1] * 5, 1) == [1]
    # 0.7 × cosine - 0.3 × likeness: 0.7 - 0.3 for the copy, 0.56 - 0.24 for row 0
    assert varied(vectors, centroid, later, [1] * 5, 3) == [1, 2, 0]
    assert varied(vectors, centroid, later, [1, 5, 9, 1, 1], 7) == [1, 0, 4]
    assert varied(vectors, centroid, later, [9] * 5, 3) == [1]
    assert varied(vectors, centroid, np.arange(5), [1] * 5, 1) == [1]
    assert varied(vectors[2:], centroid, np.arange(3), [1] * 3, 3) == [0, 1, 2]


def test_headings_tables_and_questions_do_not_stand_for_a_text() -> None:
    assert is_statement("Kettles of the Orion kind hold three litres of water.")
    for text in (
        "Opening hours",
        "1 2 3 4 5 6 7 8",
        "Who built the old kettle in Leeds?",
        "They are all listed in these parts:",
        "of the kind that holds three litres.",
    ):
        assert not is_statement(text)
