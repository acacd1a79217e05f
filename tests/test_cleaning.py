"""What is embedded and searched for: clean() on the dirt of real files, context() of real names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document

from loaders.cleaning import clean, context, searchable


@pytest.mark.parametrize(
    ("dirty", "cleaned"),
    [
        ("an oﬀer, a ﬁle, a ﬂow, an oﬃce, a waﬄe", "an offer, a file, a flow, an office, a waffle"),
        ("ｆｕｌｌ ｗｉｄｔｈ １２３", "full width 123"),
        ("cafe\u0301", "café"),
        ("a co\u00adoperative bee\u00adhive", "a cooperative beehive"),
        ("docu-\nmenta-  \n  tion", "documentation"),
        ("über-\nmäßig", "übermäßig"),
        ("1990-\n1995", "1990- 1995"),
        ("well-known", "well-known"),
        ("a - b", "a - b"),
        ("zero\u200bwidth \ufeffmark\u2060er", "zerowidth marker"),
        ("nul\x00l bell\x07 del\x7f", "null bell del"),
        ("tab\tline\nfeed\r\nnon\u00a0breaking   many", "tab line feed non breaking many"),
        ("  \n ", ""),
        ("", ""),
    ],
)
def test_dirt_is_taken_out(dirty: str, cleaned: str) -> None:
    assert clean(dirty) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "docu\u00ad\nmentation",  # the soft hyphen at a line's end
        "docu\u2010\nmentation",  # the typographic one
        "docu\ufffementation",  # what pdfium makes of a hyphen at a line's end: the line break is gone too
    ],
)
def test_other_hyphens_break_words_too(text: str) -> None:
    assert clean(text) == "documentation"


@given(st.text())
def test_clean_text_stands_on_one_trimmed_line(text: str) -> None:
    cleaned = clean(text)
    assert cleaned == " ".join(cleaned.split())
    assert "\u00ad" not in cleaned


@pytest.mark.parametrize(
    ("source", "section", "expected"),
    [
        ("/docs/01_Super_Bowl_50.md", "", "Super Bowl"),
        ("/docs/annual-report.2024.final.pdf", "", "annual report final"),
        ("/docs/Beschlüsse.txt", "", "Beschlüsse"),
        ("/docs/東京都.txt", "", "東京都"),
        ("/docs/2024-01-02.log", "", ""),
        ("/docs/a1.txt", "", ""),
        ("/docs/guide.md", "Setup > Linux", "guide\nSetup > Linux"),
        ("/docs/7.md", "Setup", "Setup"),
        ("/docs/" + "word " * 30 + ".txt", "", ("word " * 30)[:60]),
    ],
)
def test_context_is_the_file_name_in_words_and_the_headings(source: str, section: str, expected: str) -> None:
    assert context({"source": source, "section": section}) == expected


def test_searchable_is_context_and_text_cleaned() -> None:
    chunk = Document("The oﬀer\nstands.", metadata={"source": "/docs/sales_terms.md", "section": "Oﬀers > 2024"})
    assert searchable(chunk) == "sales terms Offers > 2024 The offer stands."
