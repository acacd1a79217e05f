"""Spelling: a misprint becomes the likeliest word of the corpus; what the corpus or the language knows stays."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import OSA

from chains.queries import Query
from chains.spelling import Correction, build_corrector, build_speller, one_edit

CORPUS = {"boundary": 40, "layer": 60, "layers": 20, "shock": 30, "heat": 50, "transfer": 45, "flow": 90, "theta": 2}
CORPUS |= {"these": 80, "kestrel": 3, "größe": 4, "necessarily": 5, "rag_store": 1, "x15": 2, "東京": 3, "when": 30}
KNOWN = {"what", "the", "is", "pasta", "paste", "in", "of", "problem", "wish", "flow", "heat", "layer", "boundary"} | {
    "shock",
    "transfer",
    "kestrel",
}


def correct(text: str, corpus: dict[str, int] = CORPUS) -> Correction:
    return build_speller(lambda: corpus, lambda: KNOWN)(text)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("What is the boundray layer?", "What is the boundary layer?"),  # two letters swapped
        ("What is the bounsary layer?", "What is the boundary layer?"),  # a neighbouring key
        ("What is the bondary layer?", "What is the boundary layer?"),  # a letter left out
        ("What is the boundaary layer?", "What is the boundary layer?"),  # a letter too many
        ("What is the bounddray layer?", "What is the boundary layer?"),  # two misprints in a long word
        ("Wehn is the Kestrle in flow?", "When is the Kestrel in flow?"),  # capitals stay
        ("What is thete flow?", "What is these flow?"),  # the commoner word
        ("What is heat-transefr flow?", "What is heat-transfer flow?"),
    ],
)
def test_a_misprint_becomes_a_word_of_the_corpus(typed: str, meant: str) -> None:
    assert correct(typed).text == meant


@pytest.mark.parametrize(
    "text",
    [
        "What is pasta?",  # no word of the corpus, but a word
        "What is rag_stoer or RAG_STOER?",  # an identifier
        "What is x16 and X-15 and v1.0.flwo?",  # codes
        "What is /usr/flwo/heta?",  # a path
        "What is the SHCOK?",  # an abbreviation, or shouting
        "What is kEstrle?",  # a capital inside
        "What is fow?",  # too short to tell
        "What is unnecessarily flow?",  # a word with a prefix more
        "What is theta?",  # a rare word of the corpus
        "What is 東亰?",
        "What is the kettles?",  # nothing near
        "Welche Grösse hat diese flwo Schicht?",  # another language
        "",
        "?!",
    ],
)
def test_words_names_and_codes_stay(text: str) -> None:
    assert correct(text).text == text


def test_a_plural_is_no_misprint() -> None:
    assert correct("What is the boundarys?").text == "What is the boundarys?"


def test_an_empty_corpus_corrects_nothing() -> None:
    assert correct("What is the boundray?", {}).text == "What is the boundray?"


def test_it_is_sure_where_the_general_words_are_of_the_corpuss_language() -> None:
    assert correct("What is the boundray?").sure
    german = {"grenzschicht": 20, "wärme": 30, "strömung": 40}
    found = correct("Was ist in the Grenzshcicht?", german)
    assert found == Correction("Was ist in the Grenzschicht?", sure=False)


def test_an_accent_less_general_word_vouches_for_an_accented_one() -> None:
    assert correct("What is pastá?").text == "What is pastá?"


def test_the_word_lists_are_read_once_and_only_when_they_are_needed() -> None:
    asked = []

    def dictionary() -> dict[str, int]:
        asked.append("dictionary")
        return CORPUS

    def known() -> set[str]:
        asked.append("known")
        return KNOWN

    speller = build_speller(dictionary, known)
    assert asked == []
    speller("What is pasta?")
    assert asked == ["known"]
    speller("What is the boundray?")
    speller("What is the shcok?")
    assert asked == ["known", "dictionary"]


def queries(correction: Correction) -> list[tuple[str, float, str]]:
    step = build_corrector(lambda text: correction)
    other = Query("another", 0.5)
    found = step.invoke({"history": [], "queries": (Query("typed", 2.0), other)})["queries"]
    assert found[-1] == other
    return [(query.text, query.weight, query.made_by) for query in found[:-1]]


def test_a_sure_correction_comes_first_and_the_typed_words_count_a_little() -> None:
    found = queries(Correction("meant", sure=True))
    assert found == [("meant", 2.0, "correction"), ("typed", pytest.approx(0.2), "question")]


def test_an_unsure_correction_comes_behind_the_typed_words() -> None:
    assert queries(Correction("meant", sure=False)) == [("typed", 2.0, "question"), ("meant", 4.0, "correction")]


def test_nothing_is_added_where_nothing_is_corrected() -> None:
    assert queries(Correction("typed", sure=True)) == [("typed", 2.0, "question")]


def test_the_likeliest_word_weighs_how_common_it_is_against_the_kind_of_misprint() -> None:
    def meant(typed: str, words: dict[str, int]) -> str:
        return build_speller(lambda: words, set)(typed).text

    assert meant("frim", {"form": 10, "firm": 10, "farm": 60}) == "firm"  # two letters swapped, one edit
    assert meant("dobe", {"dome": 10, "done": 12}) == "done"  # b and n are neighbours, and it is the commoner one
    assert meant("sabd", {"sand": 10, "hand": 20}) == "sand"  # the other is two edits away
    assert meant("bead", {"head": 30, "beak": 10}) == "beak"  # the first letter is seldom wrong
    assert meant("zzzz", {"sand": 10}) == "zzzz"


@given(st.text("abc", min_size=1, max_size=6), st.text("abc", min_size=1, max_size=6))
def test_one_edit_is_a_distance_of_at_most_one(one: str, two: str) -> None:
    assert (two in one_edit(one, "abc")) == (OSA.distance(one, two) == 1 or (one == two))


@given(st.text(max_size=120))
def test_any_text_keeps_its_shape(text: str) -> None:
    assert len(correct(text).text.split()) == len(text.split())


@given(st.sampled_from(sorted(CORPUS)), st.sampled_from(sorted(KNOWN)))
def test_no_word_of_the_corpus_or_the_language_is_changed(word: str, known: str) -> None:
    text = f"{known} {word} {word.title()}"
    assert correct(text).text == text


@given(st.text(string.ascii_lowercase, min_size=1, max_size=12), st.sampled_from("0123456789_/\\@#="))
def test_what_holds_a_digit_or_a_joining_sign_is_never_changed(word: str, sign: str) -> None:
    text = f"what is {word}{sign} or {sign}{word} or {word[: len(word) // 2]}{sign}{word[len(word) // 2 :]}"
    assert correct(text).text == text
