"""The keyword leg on a real SQLite file in memory."""

import math
import sqlite3
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyword_rows import keyword_rows

from loaders import keywords
from loaders.terms import index_terms, tokenize

TEXTS = {
    "cats": "The cat sat on the mat while other cats were running and playing.",
    "dogs": "A dog barks and NEAR the dog stands AND falls a column.",
    "café": "Le café est fermé; the cafe is closed.",
    "tokyo": "東京都は日本の首都です。",
    "kyoto": "京都は古い都市です。",
    "thai": "ประเทศไทย",
    "long": "The dog " + "walks by many other things such as houses gardens fences and gates " * 8,
    "code": "call foo_bar(x) in snake_case with C++ 3.14",
}


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE chunks (rowid INTEGER PRIMARY KEY, id TEXT)")
    keywords.create(connection)
    connection.executemany("INSERT INTO chunks VALUES (?, ?)", enumerate(TEXTS, 1))
    keywords.update(connection, {}, dict(enumerate(TEXTS.values(), 1)))
    yield connection
    connection.close()


def found(connection: sqlite3.Connection, query: str, limit: int = 10) -> list[str]:
    return [name for name, _ in keywords.search(connection, query, limit)]


def test_english_words_match_in_any_form(connection: sqlite3.Connection) -> None:
    assert found(connection, "runs") == found(connection, "RUNNING") == found(connection, "ran cat played") == ["cats"]


def test_accents_and_ligatures_do_not_matter(connection: sqlite3.Connection) -> None:
    assert found(connection, "cafe ferme") == found(connection, "CAFÉ") == ["café"]
    assert found(connection, "ﬁles ﬂow") == []


@pytest.mark.parametrize(
    "query",
    [
        "dog AND",
        "dog NOT dog",
        "NEAR(dog, 1)",
        'dog"',
        '"" dog',
        "dog*",
        "(dog",
        "dog)",
        "text:dog",
        "text : dog",
        "{text} : dog",
        "-dog",
        "^dog",
        "+ dog",
        "dog OR",
        "dog; DROP TABLE chunks",
        "dog' OR '1'='1",
        "dog\x00",
        "_ dog __",
    ],
)
def test_operators_are_plain_words(connection: sqlite3.Connection, query: str) -> None:
    assert set(found(connection, query)) == {"dogs", "long"}


def test_a_prefix_star_does_not_widen_the_search(connection: sqlite3.Connection) -> None:
    assert found(connection, "ba*") == []


def test_a_column_name_is_searched_as_a_word(connection: sqlite3.Connection) -> None:
    assert set(found(connection, "column:cat")) == {"dogs", "cats"}


def test_text_without_spaces_is_found_by_pairs_of_characters(connection: sqlite3.Connection) -> None:
    assert found(connection, "日本の首都") == ["tokyo"]
    assert found(connection, "京都")[0] == "kyoto"
    assert found(connection, "京都の都市とcat") == ["kyoto", "cats", "tokyo"] or "kyoto" in found(
        connection, "京都の都市"
    )
    assert found(connection, "大阪") == []
    assert found(connection, "ไทย") == ["thai"]
    assert set(found(connection, "京")) == {"kyoto", "tokyo"}


def test_names_with_underscores_and_numbers(connection: sqlite3.Connection) -> None:
    assert found(connection, "foo_bar") == found(connection, "3.14") == found(connection, "bar") == ["code"]


def test_stop_words_alone_are_searched_after_all(connection: sqlite3.Connection) -> None:
    assert "cats" in found(connection, "on the")
    assert found(connection, "on the cat") == ["cats"]


@pytest.mark.parametrize("query", ["", "  ", "?!", "\ud800", "🙂", "_"])
def test_a_query_without_words_finds_nothing(connection: sqlite3.Connection, query: str) -> None:
    assert found(connection, query) == []


def test_more_and_rarer_words_rank_first_and_scores_fall(connection: sqlite3.Connection) -> None:
    hits = keywords.search(connection, "dog barks", 10)
    assert [name for name, _ in hits] == ["dogs", "long"]
    assert hits[0][1] > hits[1][1]
    assert found(connection, "dog", 1) == ["dogs"]


def test_removed_rows_are_not_found_and_can_come_back() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE chunks (rowid INTEGER PRIMARY KEY, id TEXT)")
    keywords.create(connection)
    keywords.create(connection)
    connection.executemany("INSERT INTO chunks VALUES (?, ?)", [(1, "one"), (2, "two")])
    keywords.update(connection, {}, {1: "apple pear", 2: "apple plum"})
    keywords.update(connection, {1: "apple pear"}, {})
    assert found(connection, "apple pear") == ["two"]
    keywords.update(connection, {}, {1: "cherry"})
    assert found(connection, "pear") == []
    assert found(connection, "cherry") == ["one"]
    connection.close()


@given(query=st.text() | st.text(alphabet="\"*()-:^+{} ANDORNEAR_dog'中文"))
def test_no_query_is_a_syntax_error(connection: sqlite3.Connection, query: str) -> None:
    assert len(keywords.search(connection, query, 3)) <= 3


def new_index() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE chunks (rowid INTEGER PRIMARY KEY, id TEXT)")
    keywords.create(connection)
    return connection


def held(
    connection: sqlite3.Connection,
) -> tuple[dict[int, dict[str, tuple[int, int]]], dict[str, int], dict[str, int]]:
    counts = dict(connection.execute("SELECT term, chunks FROM terms WHERE chunks > 0"))
    return keyword_rows(connection), counts, keywords.dictionary(connection)


def test_scores_are_those_of_the_formula(connection: sqlite3.Connection) -> None:
    bags = [index_terms(Counter(tokenize(text))) for text in TEXTS.values()]
    lengths = [sum(bag.values()) for bag in bags]
    average = sum(lengths) / len(bags)
    expected = {}
    english = sum("en:" in bag for bag in bags)
    for name, bag, length in zip(TEXTS, bags, lengths, strict=True):
        score = 0.0
        for term in ("en:dog", "en:bark"):
            chunks = sum(term in other for other in bags)
            weight = math.log(1 + (english - chunks + 0.5) / (chunks + 0.5))
            score += weight * bag[term] * 2.2 / (bag[term] + 1.2 * (0.25 + 0.75 * length / average))
        expected |= {name: score} if score else {}
    assert dict(keywords.search(connection, "dogs bark", 9)) == pytest.approx(expected, rel=0.02)


def test_what_a_query_could_score_at_most_and_how_much_of_it_can_be_found(connection: sqlite3.Connection) -> None:
    bags = [index_terms(Counter(tokenize(text))) for text in TEXTS.values()]
    english = sum("en:" in bag for bag in bags)
    dog, unknown = (math.log(1 + (english - chunks + 0.5) / (chunks + 0.5)) for chunks in (2, 0))
    assert keywords.prospect(connection, "dogs") == pytest.approx((2.2 * dog, 1.0))
    assert keywords.prospect(connection, "dog zebras") == pytest.approx((2.2 * (dog + unknown), dog / (dog + unknown)))
    assert keywords.prospect(connection, "") == (0.0, 0.0)
    most, _ = keywords.prospect(connection, "dogs bark")
    assert all(score < most for _, score in keywords.search(connection, "dogs bark", 9))


def test_rows_of_every_block_are_found_and_equal_ones_stand_in_their_order() -> None:
    connection = new_index()
    rows = [3, (1 << keywords.BLOCK_BITS) - 1, 1 << keywords.BLOCK_BITS, (5 << keywords.BLOCK_BITS) + 7]
    connection.executemany("INSERT INTO chunks VALUES (?, ?)", [(row, str(row)) for row in rows])
    for row in reversed(rows):
        keywords.update(connection, {}, {row: "one apple"})
    assert found(connection, "apples") == [str(row) for row in rows]
    assert found(connection, "apples", 2) == [str(row) for row in rows[:2]]
    assert keywords.rows(connection) == set(rows)
    connection.close()


def test_the_dictionary_counts_chunks_and_forgets_what_left() -> None:
    connection = new_index()
    keywords.update(connection, {}, {1: "Running water, running late", 2: "Water Zürich 東京"})
    assert keywords.dictionary(connection) == {"running": 1, "water": 2, "late": 1, "zürich": 1}
    keywords.update(connection, {2: "Water Zürich 東京"}, {})
    assert keywords.dictionary(connection) == {"running": 1, "water": 1, "late": 1}
    keywords.drop(connection)
    keywords.create(connection)
    assert keywords.dictionary(connection) == {}
    connection.close()


WORDS = st.sampled_from(["Das", "Haus", "and", "the", "house", "東京", "5km", "e-mail", "running"])
TEXT = st.lists(WORDS, max_size=6).map(" ".join)


@given(history=st.lists(st.dictionaries(st.sampled_from([1, 2, 9, 8191, 8192, 20_000]), st.none() | TEXT), max_size=6))
def test_any_edits_leave_what_a_fresh_index_would_hold(history: list[dict[int, str | None]]) -> None:
    edited, fresh = new_index(), new_index()
    texts: dict[int, str] = {}
    for edits in history:
        gone = {row: texts[row] for row in edits if row in texts}
        new = {row: text for row, text in edits.items() if text is not None}
        keywords.update(edited, gone, new)
        texts = {row: text for row, text in texts.items() if row not in gone} | new
    keywords.update(fresh, {}, texts)
    assert held(edited) == held(fresh)
    assert keywords.miscounted(edited) == 0
    edited.close()
    fresh.close()
