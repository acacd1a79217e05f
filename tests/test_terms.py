"""Which texts and queries meet, and in which language."""

from collections import Counter

import pytest

from loaders.terms import detect, index_terms, markers, query_terms, spellings, tokenize

GERMAN = "Die Häuser stehen nicht weit von der Straße, und das Schiff ist im Hafen."
ENGLISH = "The houses stand not far from the street, and the ship is in the harbour."
SPANISH = "Las casas no están lejos de la calle y el barco está en el puerto."
FRENCH = "Les maisons ne sont pas loin de la rue et le bateau est dans le port."


def terms(text: str) -> set[str]:
    return set(index_terms(Counter(tokenize(text))))


def meet(text: str, query: str, held: tuple[str, ...] = ("en", "de", "es", "fr")) -> bool:
    return bool(terms(text) & set(query_terms(query, {f"{language}:": 1 for language in held})))


@pytest.mark.parametrize(
    ("text", "language"), [(GERMAN, "de"), (ENGLISH, "en"), (SPANISH, "es"), (FRENCH, "fr"), ("Oslo 12 kg", "en")]
)
def test_a_language_is_told_by_its_function_words(text: str, language: str) -> None:
    assert detect(tokenize(text)) == language
    assert f"{language}:" in terms(text)


def test_one_foreign_word_does_not_make_a_language() -> None:
    assert detect(tokenize("vector y of Los Angeles")) == "en"


@pytest.mark.parametrize(
    ("text", "query"),
    [
        (GERMAN, "Haus"),
        (GERMAN, "Hauses am Strassen"),
        (ENGLISH, "Which house?"),
        (SPANISH, "una casa"),
        (FRENCH, "maison"),
        ("وفي المكتبة كتب كثيرة", "مكتبة"),
        ("В городах живут люди", "город"),
        ("The speed is 5km in all", "5 km"),
        ("The speed is 5 km in all", "5km"),
        ("a non-linear case", "nonlinear"),
        ("read your e-mail", "email"),
        ("error ERR_4012", "err4012"),
        ("version 3,14", "3.14"),
        ("Newton's law", "newton"),
        ("서울은 한국의 수도이다", "서울에"),
        ("東京都", "東京"),
        ("東京都", "都"),
    ],
)
def test_forms_of_a_word_meet(text: str, query: str) -> None:
    assert meet(text, query)


def test_a_word_meets_chunks_of_its_own_language_only_as_it_is_stemmed_there() -> None:
    assert not meet("The news of the day are in it.", "new", ("en", "es"))
    assert not meet(ENGLISH, "die", ("en", "de"))  # an article in German, and no word of this text
    assert "en:die" in query_terms("die", {"en:": 1})


def test_function_words_are_left_out_where_others_are() -> None:
    assert query_terms("Where is the ship?", {"en:": 1}) == {"en:ship": 1.0}
    assert list(query_terms("to be or not to be", {"en:": 1})) == ["en:to", "en:be", "en:or", "en:not"]


def test_function_words_say_the_language_of_a_query() -> None:
    held = {"en:": 1, "de:": 1}
    assert query_terms("Where is Berlin?", held) == {"en:berlin": 1.0, "de:berlin": 0.2}
    assert query_terms("Wo ist Berlin?", held) == {"en:berlin": 0.2, "de:berlin": 1.0}
    assert query_terms("Berlin", held) == {"en:berlin": 1.0, "de:berlin": 1.0}


def test_spellings_are_whole_words_as_they_stand() -> None:
    assert set(spellings(tokenize("Running ERR_4012 東京都 naïve"))) == {"running", "err", "4012", "naïve"}


def test_every_chunk_has_one_marker() -> None:
    for text in (GERMAN, ENGLISH, "東京", "", "42"):
        assert len(terms(text) & set(markers())) == 1
