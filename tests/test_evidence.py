"""Evidence: the passages' sentences stand verbatim where they say, the best one first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

from chains.evidence import (
    SECOND,
    Sentence,
    best_passage,
    best_sentence,
    best_sentences,
    build_highlighter,
    show_sentences,
)
from words import content_words

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


def highlight(question: str, found: list[Document], embeddings: Embeddings) -> list[list[Sentence]]:
    done = build_highlighter(embeddings).invoke({"query": question, "passages": found})
    assert done == found
    return [passage.metadata["sentences"] for passage in done]


def test_every_sentence_stands_verbatim_at_its_offset_in_the_file(embeddings: Embeddings) -> None:
    found = highlight("Who built the kettle?", passages(), embeddings)
    assert [len(sentences) for sentences in found] == [3, 2]
    for sentence in (*found[0], *found[1]):
        assert FILE[sentence.start : sentence.start + len(sentence.text)] == sentence.text
        assert sentence.text == sentence.text.strip() != ""
        assert sentence.line == 1 + FILE.count("\n", 0, sentence.start)


@pytest.mark.parametrize(
    ("question", "text", "passage"),
    [
        ("How many litres does the kettle hold?", "The kettle Orion holds 3 litres of water.", 0),
        ("Who built it in Leeds?", "Ada Brown built it in Leeds.", 0),
        ("When was the lighthouse lit?", "The lighthouse Vega was lit in 1912!", 1),
        ("Which oil did the lamp burn?", "Its lamp burned whale oil.", 1),
    ],
)
def test_the_best_sentence_is_the_one_that_answers(
    question: str, text: str, passage: int, embeddings: Embeddings
) -> None:
    found = passages()
    highlight(question, found, embeddings)
    assert best_passage(found) == passage
    assert best_sentence(found[passage]).text == text


def test_scores_stay_in_0_to_1_and_tell_sentences_apart(embeddings: Embeddings) -> None:
    scores = [s.score for sentences in highlight("When was Vega lit?", passages(), embeddings) for s in sentences]
    assert all(0 <= score <= 1 + 1e-6 for score in scores)
    assert max(scores) > min(scores) + 0.2


def test_of_equal_sentences_and_passages_the_first_is_best(fake_embeddings: Embeddings) -> None:
    place = {"source": "s", "page": None, "line": None, "section": ""}
    equal = [Document(page_content="Same words.\n\nSame words.", metadata=place | {"start": n}) for n in range(3)]
    highlight("Same?", equal, fake_embeddings)
    assert best_passage(equal) == 0
    assert best_sentence(equal[2]).start == 2


def scored(*passages: list[float]) -> list[Document]:
    return [
        Document(
            page_content="",
            metadata={"sentences": [Sentence(at, 1, f"{n}.{at}", score) for at, score in enumerate(scores)]},
        )
        for n, scores in enumerate(passages)
    ]


@pytest.mark.parametrize(
    ("scores", "texts"),
    [
        ([[0.1, 0.8, 0.7]], ["0.1", "0.2"]),  # odds of 4 and 2.3
        ([[0.7, 0.8, 0.1]], ["0.0", "0.1"]),  # of one passage: as they stand there
        ([[0.7, 0.1], [0.8]], ["1.0", "0.0"]),  # of two: the better one first
        ([[0.8, 0.5]], ["0.0"]),  # odds of 4 and 1
        ([[0.5, 0.5], [0.5]], ["0.0", "0.1"]),
        ([[1.0, 0.99]], ["0.0"]),  # certain, and nearly so
        ([[1.0, 0.2, 1.0]], ["0.0", "0.2"]),
        ([[0.4]], ["0.0"]),
        ([[], [0.4]], ["1.0"]),
        ([], []),
    ],
)
def test_a_second_sentence_is_quoted_where_it_is_about_as_likely(scores: list[list[float]], texts: list[str]) -> None:
    passages = scored(*scores)
    assert [sentence.text for _, sentence in best_sentences(passages)] == texts
    assert all(sentence in passages[n].metadata["sentences"] for n, sentence in best_sentences(passages))


def test_the_share_of_the_odds_decides() -> None:
    odds = 4 * SECOND
    assert len(best_sentences(scored([0.8, odds / (1 + odds) + 0.001]))) == 2
    assert len(best_sentences(scored([0.8, odds / (1 + odds) - 0.001]))) == 1


def test_no_passages_show_nothing() -> None:
    assert show_sentences([]) == ""
    assert show_sentences(scored([0.1], [0.2, 0.15, 0.05])) == "[2] 1.0\n[2] 1.1\n[1] 0.0"


def test_files_without_lines_have_none(fake_embeddings: Embeddings) -> None:
    assert {s.line for found in highlight("lamp?", passages(None), fake_embeddings) for s in found} == {None}


def test_no_passages_give_no_evidence(fake_embeddings: Embeddings) -> None:
    assert highlight("anything?", [], fake_embeddings) == []


def test_a_question_without_words_is_read_too(fake_embeddings: Embeddings) -> None:
    assert [len(found) for found in highlight("?!", passages(), fake_embeddings)] == [3, 2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The kettles and the kettle", {"kettle"}),
        ("Gas 3.5", {"gas", "3", "5"}),
        ("STRASSE Straße", {"strasse"}),
        ("it is the", {"it", "is", "the"}),
        ("東京都", {"東京", "京都"}),
        ("", set()),
    ],
)
def test_words_meet_over_case_and_plural_and_empty_words_go(text: str, words: set[str]) -> None:
    assert content_words(text) == words


@given(st.lists(st.text(alphabet="ab. \n!?。A1-", max_size=40), max_size=4), st.text(max_size=20))
def test_offsets_are_verbatim_and_nothing_is_left_out_for_any_text(texts: list[str], question: str) -> None:
    place = {"source": "s", "page": None, "line": 3, "section": "", "start": 1000}
    given_ = [Document(page_content=text, metadata=dict(place)) for text in texts]
    for text, sentences in zip(texts, highlight(question, given_, DeterministicFakeEmbedding(size=8)), strict=True):
        assert "".join("".join(s.text.split()) for s in sentences) == "".join(text.split())
        for sentence in sentences:
            at = sentence.start - 1000
            assert text[at : at + len(sentence.text)] == sentence.text
            assert sentence.line == 3 + text.count("\n", 0, at)
