"""Sentence spans: the texts that fooled simple rules, then any text at all."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentences import at_grapheme, boundaries, sentence_spans, trim


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


def test_plain_sentences_are_told_apart() -> None:
    assert sentences("One is here. Two is there! Is it? Yes.") == ["One is here.", "Two is there!", "Is it?", "Yes."]


@pytest.mark.parametrize(
    "text",
    [
        "Dr. Smith met Mr. Jones and Mrs. Brown in St. Louis.",
        "J. R. R. Tolkien wrote it.",
        "It is settled in U.S. Law alone.",
        "Some birds, e.g. Penguins, and fish, i.e. Trout, swim.",
        "See Fig. 3 and No. 7 of Smith et al. 2009 and cf. Jones vs. Brown.",
        "The value is 3.14 and the version is 1.2.3 today.",
        "It cost approx. five pounds.",
        "Visit example.com or write to a.b@example.com now.",
    ],
)
def test_a_stop_that_ends_no_sentence_does_not_cut(text: str) -> None:
    assert sentences(text) == [text]


def test_a_text_without_capitals_has_sentences_too() -> None:
    text = "they came in 911 a.d. from norway. dr. smith lives at no. 5 here. why? because."
    found = [text[start:end] for start, end in sentence_spans(text)]
    assert found == ["they came in 911 a.d. from norway.", "dr. smith lives at no. 5 here.", "why?", "because."]


def test_a_closing_quote_or_bracket_stays_with_its_sentence() -> None:
    assert sentences('He said "Go." (Then he went.) She stayed.') == ['He said "Go."', "(Then he went.)", "She stayed."]


def test_chinese_and_japanese_stops_need_no_space() -> None:
    assert sentences("今天下雨。明天晴天！你来吗？来。") == ["今天下雨。", "明天晴天！", "你来吗？", "来。"]
    assert sentences("彼は「行く。」と言った。私は残る。")[-1] == "私は残る。"


def test_arabic_and_hindi_stops() -> None:
    assert sentences("هل أنت بخير؟ نعم أنا بخير.") == ["هل أنت بخير؟", "نعم أنا بخير."]
    assert sentences("यह पहला है। यह दूसरा है।") == ["यह पहला है।", "यह दूसरा है।"]


@pytest.mark.parametrize(
    "text",
    [
        "Das gilt z. B. Montag und d. h. Werktags, vgl. Abs. 3 und S. 12 bei Dr. Müller.",
        "Am 3. Oktober 1990 wurde im 20. Jahrhundert gefeiert.",
        "Siehe Art. 5 und Kap. 2 bzw. Tab. 1 von Prof. Weiß.",
        "La Sra. García y el Sr. López viven en EE. UU. Norte, p. ej. Ohio.",
        "Véase la pág. 7 y el núm. 3 de la Dra. Ruiz.",
        "M. Dupont et Mme. Curie, cf. Fig. 2, p. ex. Lyon.",
    ],
)
def test_abbreviations_of_other_languages_end_no_sentence(text: str) -> None:
    assert sentences(text) == [text]


def test_words_that_are_abbreviations_before_a_number_only() -> None:
    assert sentences("He loves art. She does not. See art. 5.") == ["He loves art.", "She does not.", "See art. 5."]
    assert sentences("Es war 1990. Oktober kam spät.")[0].startswith("Es war 1990.")


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("یہ پہلا ہے۔ یہ دوسرا ہے۔", 2),
        ("प्रथमः श्लोकः॥ द्वितीयः।", 2),
        ("彼は言った｡次へ｡", 2),
        ("ここ！？本当に？はい。", 3),
        ("နေကောင်းလား။ကောင်းပါတယ်။", 2),
        ("Բարեւ։ Ինչպե՞ս ես։", 2),
        ("Wait… What?! Yes.", 3),
    ],
)
def test_stops_of_many_scripts(text: str, count: int) -> None:
    assert len(sentences(text)) == count


def test_what_is_seen_as_one_character_is_not_cut() -> None:
    assert sentences("Hi!\u0301 There.") == ["Hi!\u0301 There."]
    assert [at_grapheme("a e\u0301b", at) for at in (2, 3, 4)] == [True, False, True]


def test_a_megabyte_is_cut_in_a_second() -> None:
    began = time.perf_counter()
    assert len(boundaries("It is so. " * 50_000 + " " * 100_000 + "| x" * 100_000)) >= 49_999
    assert time.perf_counter() - began < 5


def test_list_items_stand_alone() -> None:
    text = "Bring these:\n- a rope\n- a lamp\n1. light it\n2) climb\n• rest"
    assert sentences(text) == ["Bring these:", "- a rope", "- a lamp", "1. light it", "2) climb", "• rest"]


def test_table_rows_stand_alone() -> None:
    assert sentences("Name | Age\nAnn | 31\nBob | 27") == ["Name | Age", "Ann | 31", "Bob | 27"]
    assert sentences("| a | b |\n|---|---|\n| 1 | 2 |") == ["| a | b |", "|---|---|", "| 1 | 2 |"]


def test_a_heading_on_its_own_line_is_not_glued_to_its_text() -> None:
    text = "Safety rules\nEveryone who enters the plant has to wear a helmet and\ngoggles. Visitors have to sign in."
    assert sentences(text) == [
        "Safety rules",
        "Everyone who enters the plant has to wear a helmet and\ngoggles.",
        "Visitors have to sign in.",
    ]


def test_hard_wrapped_lines_stay_one_sentence() -> None:
    text = "The committee, which had met in the spring of\nthat year in Geneva, decided to postpone the\nvote."
    assert sentences(text) == [text]


def test_a_wrapped_line_that_goes_on_with_a_name_stays_one_sentence() -> None:
    text = "The committee had met in the spring in the old city of\nGeneva and decided to postpone the vote."
    assert sentences(text) == [text]


def test_a_blank_line_ends_a_sentence_without_a_stop() -> None:
    assert sentences("no stop here\n \nnor there") == ["no stop here", "nor there"]


def test_blank_text_has_no_sentences() -> None:
    assert sentence_spans("") == sentence_spans(" \n\t ") == []
    assert trim("a b", 1, 2) == ()


ALPHABET = "aZ é中文。！؟।.!?…,;:-*#|\"')」0 1 \n\t\r\u00a0\u2028"


@given(st.text() | st.text(alphabet=ALPHABET, max_size=80))
def test_spans_are_ordered_apart_and_leave_out_white_space_only(text: str) -> None:
    end = 0
    for start, stop in sentence_spans(text):
        assert end <= start < stop <= len(text)
        assert not text[end:start].strip()
        assert text[start:stop] == text[start:stop].strip()
        end = stop
    assert not text[end:].strip()


@given(st.text(alphabet=ALPHABET, max_size=80))
def test_a_boundary_is_where_something_begins(text: str) -> None:
    found = boundaries(text)
    assert found == sorted(set(found))
    assert all(0 < at < len(text) and not text[at].isspace() for at in found)
