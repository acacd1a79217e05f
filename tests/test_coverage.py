"""Whole documents: their text is read once, from beginning to end, and what was read is told."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document

from surveys.coverage import Coverage, count_words, read_once, sentences_once


def cut(text: str, spans: list[tuple[int, int]], source: str = "a.md", page: int | None = None) -> list[Document]:
    place = {"source": source, "page": page, "section": ""}
    return [
        Document(page_content=text[a:b], metadata=place | {"start": a, "line": 1 + text.count("\n", 0, a)})
        for a, b in spans
    ]


@given(st.text(alphabet="ab .\n", min_size=1, max_size=80), st.lists(st.integers(0, 80), max_size=6), st.integers(0, 9))
def test_overlapping_passages_give_the_text_once_whole(text: str, cuts: list[int], overlap: int) -> None:
    bounds = sorted({0, len(text), *(at for at in cuts if at < len(text))})
    spans = [(max(0, a - overlap), b) for a, b in pairwise(bounds)]
    (whole,) = read_once(cut(text, spans))
    assert whole.page_content == text
    assert whole.metadata["start"] == 0


def test_pages_documents_and_gaps_stay_apart() -> None:
    text = "One two. Three four. Five six."
    passages = [
        *cut(text, [(0, 8), (21, 30)]),
        *cut(text, [(0, 20)], page=1),
        *cut(text, [(9, 30)], page=2),
        *cut(text, [(0, 8), (0, 8)], source="b.md"),
    ]
    assert [stretch.page_content for stretch in read_once(passages)] == [
        "One two.",
        "Five six.",
        "One two. Three four.",
        "Three four. Five six.",
        "One two.",
    ]


def test_sentences_stand_verbatim_where_they_say() -> None:
    text = "One two three.\nFour five six. Seven\neight."
    found = list(sentences_once(cut(text, [(0, 29), (15, len(text))])))
    assert [sentence.text for sentence in found] == ["One two three.", "Four five six.", "Seven\neight."]
    assert [sentence.line for sentence in found] == [1, 2, 2]
    for sentence in found:
        assert text[sentence.start : sentence.end] == sentence.text


def test_what_was_read_is_told_in_one_line() -> None:
    assert Coverage(1, 1, 41, 41, 12345, 6).told == "read 41 of 41 passages, 12,345 words, 6 windows"
    assert Coverage(3, 9, 20, 80, 900).told == "read 3 of 9 documents, 20 of 80 passages, 900 words"
    assert count_words(["One two.", "three"]) == 3
