"""Evidence: the passages' sentences stand verbatim where they say, the best one first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

from chains.evidence import rank_sentences, words_of

FILE = (
    "# Orion\n\nThe kettle Orion holds 3 litres of water. Ada Brown built it in Leeds.\n"
    "It stood in the harbour for years.\n\nThe lighthouse Vega was lit in 1912! Its lamp burned whale oil.\n"
)
CUT = FILE.index("The lighthouse")


def passages(line: int | None = 1) -> list[Document]:
    def at(start: int) -> dict[str, object]:
        where = line and line + FILE.count("\n", 0, start)
        return {"source": "orion.md", "page": None, "line": where, "section": "Orion", "start": start, "score": 0.5}

    first, second = FILE[9:CUT].strip(), FILE[CUT:].strip()
    return [
        Document(page_content=first, metadata=at(FILE.index(first))),
        Document(page_content=second, metadata=at(CUT)),
    ]


def test_every_sentence_stands_verbatim_at_its_offset_in_the_file(embeddings: Embeddings) -> None:
    found = rank_sentences("Who built the kettle?", passages(), embeddings)
    assert len(found) == 5
    for sentence in found:
        assert FILE[sentence.start : sentence.start + len(sentence.text)] == sentence.text
        assert sentence.text == sentence.text.strip() != ""
        assert sentence.line == 1 + FILE.count("\n", 0, sentence.start)


@pytest.mark.parametrize(
    ("question", "text", "passage"),
    [
        ("How many litres does the kettle hold?", "The kettle Orion holds 3 litres of water.", 1),
        ("Who built it in Leeds?", "Ada Brown built it in Leeds.", 1),
        ("When was the lighthouse lit?", "The lighthouse Vega was lit in 1912!", 2),
        ("Which oil did the lamp burn?", "Its lamp burned whale oil.", 2),
    ],
)
def test_the_sentence_that_answers_comes_first(question: str, text: str, passage: int, embeddings: Embeddings) -> None:
    best = rank_sentences(question, passages(), embeddings)[0]
    assert (best.text, best.passage) == (text, passage)


def test_scores_fall_and_stay_in_0_to_1(embeddings: Embeddings) -> None:
    scores = [sentence.score for sentence in rank_sentences("When was Vega lit?", passages(), embeddings)]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 + 1e-6 for score in scores)
    assert scores[0] > scores[-1]


def test_equal_sentences_keep_the_passages_order() -> None:
    place = {"source": "s", "page": None, "line": None, "section": "", "start": 0}
    equal = [Document(page_content="Same words here.", metadata=place | {"start": n}) for n in range(3)]
    found = rank_sentences("Same?", equal, DeterministicFakeEmbedding(size=8))
    assert [sentence.passage for sentence in found] == [1, 2, 3]


def test_files_without_lines_have_none(fake_embeddings: Embeddings) -> None:
    assert {sentence.line for sentence in rank_sentences("lamp?", passages(None), fake_embeddings)} == {None}


def test_no_passages_give_no_evidence_and_ask_no_embedder(fake_embeddings: Embeddings) -> None:
    assert rank_sentences("anything?", [], fake_embeddings) == []
    blank = Document(page_content=" \n ", metadata=passages()[0].metadata)
    assert rank_sentences("anything?", [blank], fake_embeddings) == []


def test_a_question_without_words_is_ranked_too(fake_embeddings: Embeddings) -> None:
    assert len(rank_sentences("?!", passages(), fake_embeddings)) == 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Kettles and kettle", {"kettle", "and"}),
        ("Its gas IS 3.5", {"its", "gas", "is", "3", "5"}),
        ("STRASSE Straße", {"strasse"}),
        ("", set()),
    ],
)
def test_words_meet_over_case_and_plural(text: str, words: set[str]) -> None:
    assert words_of(text) == words


@given(st.lists(st.text(alphabet="ab. \n!?。A1-", max_size=40), max_size=4), st.text(max_size=20))
def test_offsets_are_verbatim_for_any_text(texts: list[str], question: str) -> None:
    place = {"source": "s", "page": None, "line": 3, "section": ""}
    found = rank_sentences(
        question,
        [Document(page_content=text, metadata=place | {"start": 1000 * n}) for n, text in enumerate(texts)],
        DeterministicFakeEmbedding(size=8),
    )
    for sentence in found:
        text, at = texts[sentence.passage - 1], sentence.start - 1000 * (sentence.passage - 1)
        assert text[at : at + len(sentence.text)] == sentence.text
        assert sentence.line == 3 + text.count("\n", 0, at)
    assert len(found) == len({(s.passage, s.start) for s in found})
    assert {s.passage for s in found} == {n for n, text in enumerate(texts, 1) if text.strip()}
