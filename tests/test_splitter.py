"""Chunks: verbatim, placed, never too long, with ids that only their own text can change."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document

from loaders.cleaning import context
from loaders.documents import JOINER
from loaders.parsing import Cutting
from loaders.splitter import split_documents
from loaders.tokens import TokenCounter


def document(text: str, source: str = "/docs/guide.md", **place: object) -> Document:
    metadata = {"source": source, "page": None, "line": 1, "section": "", "start_index": 0} | place
    return Document(page_content=text, metadata=metadata)


def rows(*texts: str, source: str = "/docs/stock.csv") -> tuple[str, list[Document]]:
    """Return a table's text and its Documents, as the loaders make them."""
    documents, at = [], 0
    for number, text in enumerate(texts, 1):
        documents.append(document(text, source, line=None, section=f"row {number}", start_index=at))
        at += len(text) + len(JOINER)
    return JOINER.join(texts), documents


def words(text: str) -> int:
    return len(text.split())


def split(
    *documents: Document, count: Callable[[str], int] = words, chunk_tokens: int = 40, overlap_tokens: int = 0
) -> list[Document]:
    return split_documents(documents, count_tokens=count, chunk_tokens=chunk_tokens, overlap_tokens=overlap_tokens)


def prose(topic: str, sentences: int = 12) -> str:
    return " ".join(f"The {topic} has a part with the number {n} on it." for n in range(sentences)) + "\n"


def clusters(text: str) -> set[int]:
    """Return where the characters begin and end, as they are seen: a letter and its marks are one."""
    return {0, *(match.end() for match in regex.finditer(r"\X", text))}


def assert_sound(text: str, chunks: list[Document], count: Callable[[str], int], size: int, overlap: int) -> None:
    covered = [False] * len(text)
    whole = clusters(text)
    end = 0
    for chunk in chunks:
        at, length = chunk.metadata["start"], len(chunk.page_content)
        assert chunk.page_content == text[at : at + length]
        assert chunk.page_content == chunk.page_content.strip() != ""
        if chunk.metadata["line"] is not None:
            assert chunk.metadata["line"] == 1 + text.count("\n", 0, at)
        assert at in whole or text[at - 1].isspace()
        assert at + length in whole or text[at + length].isspace()
        assert length <= 24 * (size + overlap) or not count(chunk.page_content)
        above = count(context(chunk.metadata))
        assert count(chunk.page_content) + above <= max(size, above + overlap + 8)
        if at < end:
            assert count(text[at:end]) <= overlap
        covered[at : at + length] = [True] * length
        end = at + length
    assert all(seen or letter.isspace() for letter, seen in zip(text, covered, strict=True))
    ids = [chunk.id for chunk in chunks]
    assert len(set(ids)) == len(ids)
    assert chunks == sorted(chunks, key=lambda chunk: chunk.metadata["start"])


EMOJI = ["👩‍🔧", "👨‍👩‍👧", "🇩🇪", "e\u0301", "한", "ᄒ", "ᅡ", "ᆫ", " "]
LINES = st.lists(
    st.one_of(
        st.text(max_size=60),
        st.text(alphabet="中文字。、東京", max_size=80),
        st.text(alphabet="ab. ,;\t\n", max_size=120),
        st.text(alphabet="नमस्ते दुनिया। किताब", max_size=200),
        st.text(alphabet="สวัสดีครับน้ำใจ ", max_size=200),
        st.lists(st.sampled_from(EMOJI), max_size=60).map("".join),
        st.text(alphabet="مرحبا بكم. كيف الحال؟ ", max_size=120),
        st.integers(100, 400).map(lambda n: "antidisestablish" * (n // 16)),
        st.tuples(st.integers(1, 6), st.text(alphabet="Title of", max_size=30)).map(lambda t: f"{'#' * t[0]} {t[1]}"),
        st.sampled_from(["```", "~~~", "# not a heading in a fence", "", "   ", "| a | b |", "- an item", "1. one"]),
        st.integers(1, 12).map(lambda n: prose("engine", n)),
    ),
    max_size=14,
)
SIZES = st.sampled_from([(32, 0), (32, 15), (48, 8), (64, 31), (200, 32)])


@settings(max_examples=150)
@given(lines=LINES, sizes=SIZES, source=st.sampled_from(["/docs/a.md", "/docs/an essay.txt", "/docs/" + "長い" * 40]))
def test_any_text_is_cut_soundly(lines: list[str], sizes: tuple[int, int], source: str, cutting: Cutting) -> None:
    text = "\n".join(lines)
    size, overlap = sizes
    cut = [
        split(document(text, source), count=cutting.count_tokens, chunk_tokens=size, overlap_tokens=overlap)
        for _ in range(2)
    ]
    assert cut[0] == cut[1]
    assert_sound(text, cut[0], cutting.count_tokens, size, overlap)


@settings(max_examples=60)
@given(texts=st.lists(st.text(min_size=1, max_size=90).filter(str.strip), max_size=12), sizes=SIZES)
def test_any_table_is_cut_soundly(texts: list[str], sizes: tuple[int, int], cutting: Cutting) -> None:
    text, documents = rows(*texts)
    size, overlap = sizes
    chunks = split(*documents, count=cutting.count_tokens, chunk_tokens=size, overlap_tokens=overlap)
    assert_sound(text, chunks, cutting.count_tokens, size, overlap)


@pytest.mark.parametrize(
    "text",
    [
        prose("engine", 80),
        "字" * 900,
        "今日は雨が降る。明日は晴れる。" * 40,
        "x" * 5000,
        "สวัสดีชาวโลก" * 200,
        "นี่คือประโยค " * 200,
        "👩‍🔧" * 400,
        "e\u0301" * 2000,
        "مرحبا بكم في المدينة. " * 60,
        "no-space,but:commas;" * 200,
        "# One\n" + "## Two\n" * 40 + prose("wheel", 30),
        "".join(f"{'#' * level} heading {level}\n" for level in range(1, 7)) + prose("axle", 40),
        "one line\n" * 300,
        "\n\n\n".join(prose(name, 5) for name in ("a", "b", "c", "d", "e", "f")),
    ],
)
@pytest.mark.parametrize(("size", "overlap"), [(32, 15), (200, 32)])
def test_long_texts_are_cut_soundly(text: str, size: int, overlap: int, cutting: Cutting) -> None:
    chunks = split(document(text), count=cutting.count_tokens, chunk_tokens=size, overlap_tokens=overlap)
    assert len(chunks) > 1 or cutting.count_tokens(text) <= size
    assert_sound(text, chunks, cutting.count_tokens, size, overlap)


def test_nothing_comes_of_nothing() -> None:
    assert split() == split(document("")) == split(document(" \n\t\n")) == []


def test_a_short_file_is_one_chunk_with_its_place() -> None:
    (chunk,) = split(document("\n\n  A short note.\n", "/docs/note.txt"))
    assert chunk.page_content == "A short note."
    assert chunk.metadata == {"source": "/docs/note.txt", "page": None, "line": 3, "section": "", "start": 4}


def test_neighbours_overlap_by_whole_sentences() -> None:
    chunks = split(document(prose("engine", 30), "/docs/a.txt"), overlap_tokens=12)
    assert len(chunks) > 5
    for before, chunk in pairwise(chunks):
        shared = before.metadata["start"] + len(before.page_content) - chunk.metadata["start"]
        assert shared > 0
        assert chunk.page_content.startswith("The engine has")
        assert before.page_content.endswith(chunk.page_content[:shared])


def test_without_overlap_nothing_is_repeated() -> None:
    text = prose("engine", 30).strip()
    assert " ".join(chunk.page_content for chunk in split(document(text, "/docs/a.txt"))) == text


def test_headings_become_paths_that_nest_and_return() -> None:
    text = "".join(
        f"{heading}\n\n{prose(heading.strip('# ').lower())}\n"
        for heading in ("# Car", "## Engine ##", "### Oil", "## Wheels", "# Boat", "### Sail")
    )
    chunks = split(document(prose("preface") + text))
    paths = list(dict.fromkeys(chunk.metadata["section"] for chunk in chunks))
    assert paths == ["", "Car", "Car > Engine", "Car > Engine > Oil", "Car > Wheels", "Boat", "Boat > Sail"]
    for chunk in chunks:
        topic = chunk.metadata["section"].rpartition(" > ")[2].lower() or "preface"
        assert topic in chunk.page_content.lower()


def test_a_heading_stays_with_its_text() -> None:
    text = "".join(f"# {topic}\n\n{prose(topic, 40)}\n" for topic in ("car", "boat"))
    chunks = split(document(text), overlap_tokens=12)
    assert [
        chunk.page_content for chunk in chunks if chunk.page_content.startswith("#") and words(chunk.page_content) < 5
    ] == []
    assert_sound(text, chunks, words, 40, 12)


def test_headings_count_in_markdown_only() -> None:
    text = f"# One\n{prose('a')}# Two\n{prose('b')}"
    assert {chunk.metadata["section"] for chunk in split(document(text, "/docs/run.log"))} == {""}
    assert {chunk.metadata["section"] for chunk in split(document(text, "/docs/A.MARKDOWN"))} == {"One", "Two"}


def test_a_hash_in_a_fence_is_no_heading() -> None:
    fenced = "".join(f"# comment {n}\nrun {n} --with several --other options\n" for n in range(8))
    text = f"# One\n{prose('a')}```sh\n{fenced}```\n{prose('a')}# Two\n{prose('b')}~~~\n# no\n~~~\n#no heading either\n"
    chunks = split(document(text))
    assert {chunk.metadata["section"] for chunk in chunks} == {"One", "Two"}
    assert any("# comment 3" in chunk.page_content for chunk in chunks)


@pytest.mark.parametrize(("outer", "inner"), [("~~~", "```"), ("````", "```"), ("```", "~~~")])
def test_a_fence_is_closed_by_its_own_mark_only(outer: str, inner: str) -> None:
    text = f"# One\n{prose('a')}{outer}\n{inner}\n# not a heading\n{prose('a')}{outer}\n"
    assert {chunk.metadata["section"] for chunk in split(document(text))} == {"One"}


def test_code_on_one_line_is_no_fence() -> None:
    text = f"# One\n{prose('a')}```inline``` code.\n\n# Two\n{prose('b')}"
    assert {chunk.metadata["section"] for chunk in split(document(text))} == {"One", "Two"}


def test_a_hash_that_belongs_to_the_heading_stays() -> None:
    assert {chunk.metadata["section"] for chunk in split(document(f"# C#\n{prose('a')}"))} == {"C#"}


def test_short_sections_join_the_next_and_long_ones_do_not() -> None:
    text = f"# Car\n\n## Note\n\nShort.\n\n## Engine\n\n{prose('engine', 2)}\n## Wheels\n\n{prose('wheel', 2)}"
    chunks = split(document(text), chunk_tokens=48)
    assert [chunk.metadata["section"] for chunk in chunks] == ["Car", "Car > Wheels"]
    assert chunks[0].page_content.startswith("# Car\n\n## Note")


def test_a_title_joined_to_its_section_is_named_after_what_they_share() -> None:
    text = f"# Car\n\n## Engine\n\n{prose('engine', 2)}"
    assert [chunk.metadata["section"] for chunk in split(document(text), chunk_tokens=60)] == ["Car"]


def test_joined_sections_share_no_more_than_the_beginning_of_their_paths() -> None:
    one = document("Car\n\nNotes\n\nShort.", "/docs/a.html", line=None, section="Car > Notes")
    two = document("Boat\n\nNotes\n\nShort too.", "/docs/a.html", line=None, section="Boat > Notes", start_index=22)
    (chunk,) = split(one, two, chunk_tokens=100)
    assert chunk.metadata["section"] == "Car > Notes / Boat > Notes"


def test_a_joined_section_is_not_named_after_one_that_does_not_hold_it() -> None:
    text = "# A\n\n## X\n\nOil is black.\n\n## Y\n\n### Z\n\nMilk is white.\n"
    (chunk,) = split(document(text), chunk_tokens=100)
    assert chunk.metadata["section"] == "A"


def test_rows_join_until_a_quarter_is_full_and_stay_whole() -> None:
    texts = [f"name: part {n}\nprice: {n} pounds\nplace: shelf {n} on the left" for n in range(9)]
    text, documents = rows(*texts)
    chunks = split(*documents, chunk_tokens=100)
    assert_sound(text, chunks, words, 100, 0)
    assert chunks[0].metadata["section"] == "row 1 / row 2 / row 3"
    assert all(part in texts for chunk in chunks for part in chunk.page_content.split(JOINER))


def test_a_row_that_fits_a_chunk_is_whole(cutting: Cutting) -> None:
    texts = [f"name: part {n}\n" + "\n".join(f"price {k}: {n * k} pounds" for k in range(12)) for n in range(1, 9)]
    text, documents = rows(*texts)
    chunks = split(*documents, count=cutting.count_tokens, chunk_tokens=100, overlap_tokens=32)
    assert_sound(text, chunks, cutting.count_tokens, 100, 32)
    assert [chunk.page_content for chunk in chunks] == texts


def test_rows_of_a_page_s_table_are_whole(cutting: Cutting) -> None:
    table = [f"Name: part {n} | Price: {n} pounds | Place: the shelf on the left side, number {n}" for n in range(60)]
    text = "\n".join(table)
    page = document(text, "/docs/a.html", line=None, section="Parts")
    chunks = split(page, count=cutting.count_tokens, chunk_tokens=100, overlap_tokens=32)
    assert_sound(text, chunks, cutting.count_tokens, 100, 32)
    assert all(line in table for chunk in chunks for line in chunk.page_content.split("\n"))


def test_code_is_cut_between_its_definitions() -> None:
    body = "".join(f"    step_{n}(with_this, and_that)\n\n" for n in range(8))
    text = "".join(f"def part_{n}(one, two):\n{body}\n\n" for n in range(4))
    chunks = split(document(text, "/docs/a.py"), chunk_tokens=24)
    assert [chunk.page_content.split("(")[0] for chunk in chunks] == [f"def part_{n}" for n in range(4)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.org", "* One\n{a}** Two\n{b}"),
        ("a.adoc", "= One\n\n{a}\n== Two\n{b}"),
        ("a.rst", "===\nOne\n===\n\n{a}\nTwo\n---\n\n{b}"),
        ("a.tex", "\\part{{One}}\n{a}\\chapter*{{Two}}\n{b}"),
        ("a.md", "One\n===\n\n{a}\n\nTwo\n---\n\n{b}"),
        ("a.mdx", "# One\n{a}## Two\n{b}"),
    ],
)
def test_headings_of_other_languages_count(name: str, text: str) -> None:
    chunks = split(document(text.format(a=prose("a"), b=prose("b")), f"/docs/{name}"))
    assert {chunk.metadata["section"] for chunk in chunks} == {"One", "One > Two"}


def test_a_table_in_rst_and_a_line_in_markdown_are_no_headings() -> None:
    rst = "One\n===\n\n=====  =====\nA      B\n=====  =====\n1      2\n=====  =====\n"
    assert {chunk.metadata["section"] for chunk in split(document(rst, "/docs/a.rst"))} == {"One"}
    front = f"---\ntitle: x\ndate: y\n---\n\n- item\n---\n\n{prose('a')}"
    assert {chunk.metadata["section"] for chunk in split(document(front))} == {""}


def test_words_apart_have_the_tokens_of_the_text(cutting: Cutting) -> None:
    counter = cutting.count_tokens
    assert isinstance(counter, TokenCounter)
    for text in ("It's the naïve, co-operative CPU's 3.14 (or so).", "今日は雨。", "a\u0301 b", "", " \n"):
        assert len(counter.starts(text)) == counter(text)
    assert (
        list(counter.starts("unbelievable")) == [0, 2, 5, 9][: counter("unbelievable")] or counter("unbelievable") == 1
    )
    assert len(counter.starts("x" * 5000)) > 1000 > counter("x" * 5000)


def test_pages_are_never_joined() -> None:
    pages = [document(f"page {n}", "/docs/a.pdf", page=n, line=None) for n in (1, 2, 3)]
    assert [(chunk.metadata["page"], chunk.page_content) for chunk in split(*pages, chunk_tokens=100)] == [
        (1, "page 1"),
        (2, "page 2"),
        (3, "page 3"),
    ]


def test_too_long_a_heading_path_keeps_its_deepest_part() -> None:
    text = f"# {'very long title ' * 9}\n{prose('a')}## Short\n{prose('b')}### {'endless words ' * 30}\n{prose('c')}"
    chunks = split(document(text), chunk_tokens=40)
    sections = list(dict.fromkeys(chunk.metadata["section"] for chunk in chunks))
    assert sections[1] == "Short"
    assert all(words(section) <= 10 for section in sections)
    assert sections[2].startswith("endless words")
    assert_sound(text, chunks, words, 40, 0)


@given(edited=st.integers(0, 4), new=st.integers(5, 25))
@example(edited=0, new=5)
def test_an_edit_in_one_section_leaves_the_ids_of_the_others(edited: int, new: int) -> None:
    topics = ["car", "engine", "wheel", "boat", "sail"]
    before = {topic: f"# {topic}\n\n{prose(topic)}\n" for topic in topics}
    after = before | {topics[edited]: f"# {topics[edited]}\n\n{prose('new ' + topics[edited], new)}\n"}
    old, fresh = (split(document("".join(text.values())), overlap_tokens=9) for text in (before, after))

    def ids(chunks: list[Document], *, of_edited: bool) -> list[str | None]:
        return [chunk.id for chunk in chunks if (chunk.metadata["section"] == topics[edited]) == of_edited]

    assert ids(old, of_edited=False) == ids(fresh, of_edited=False)
    assert ids(old, of_edited=True) != ids(fresh, of_edited=True)


def test_equal_chunks_of_one_file_and_of_two_have_ids_of_their_own() -> None:
    twice = [document("The same words.", "/docs/a.pdf", page=n, line=None) for n in (1, 2)]
    other = document("The same words.", "/docs/b.txt")
    assert len({chunk.id for chunk in split(*twice, other)}) == 3
    assert [chunk.id for chunk in split(twice[0])] == [split(*twice)[0].id]
