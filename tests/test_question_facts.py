"""What the rules ask of a sentence, and what they leave alone; the rows and cells of tables."""

import pytest

from evaluation.english import Cases
from evaluation.facts import Fact, Proof, holds, read_facts
from evaluation.table_facts import read_rows, table_facts

GENERAL = frozenset(["launch", "arrive", "use", "carry", "plan", "found", "occur"])
CONTEXT = ["a chunk is stored and the kettle, gradient or plague too", "when Orion met Ada Brown in Leeds with Vega"]
CASES = Cases([f"So {text}" for text in CONTEXT], lambda: GENERAL)


def facts(sentence: str) -> list[Fact]:
    return list(read_facts(Proof("a.md", None, 7, 7 + len(sentence), sentence), CASES))


@pytest.mark.parametrize(
    ("sentence", "question", "answer"),
    [
        (
            "A chunk is a stretch of text that is stored, found and read.",
            "What is a chunk?",
            "a stretch of text",
        ),
        (
            "The kettle Orion has four feet of brass, and a lid.",
            "How many feet of brass does the kettle Orion have?",
            "four",
        ),
        (
            "The kettle Orion was built in 1921 by Ada Brown.",
            "When was the kettle Orion built?",
            "1921",
        ),
        (
            "The kettle Orion was built in Leeds by Ada Brown.",
            "By whom was the kettle Orion built in Leeds?",
            "Ada Brown",
        ),
        (
            "In 1921, Ada Brown launched the kettle Orion in Leeds.",
            "When did Ada Brown launch the kettle Orion in Leeds?",
            "1921",
        ),
        (
            "Ada Brown invented the whistle of the kettle Orion.",
            "Who invented the whistle of the kettle Orion?",
            "Ada Brown",
        ),
        (
            "Orion stands for overly reliable iron (Brown, 1921).",
            "What does Orion stand for?",
            "overly reliable iron",
        ),
        (
            "The kettle Orion is heavy because brass is heavy too.",
            "Why is the kettle Orion heavy?",
            "brass is heavy too",
        ),
        (
            "The works of Orion are located in Leeds, near the river.",
            "Where are the works of Orion located?",
            "Leeds",
        ),
        (
            "Plague occurred in Leeds just 22 times before the war.",
            "How many times did plague occur in Leeds before the war?",
            "22",
        ),
        (
            "Orion was sold in the north with a warranty of 5 years.",
            "Orion was sold in the north with a warranty of how many years?",
            "5",
        ),
        (
            "Ada Brown of Leeds was an English engineer and a painter.",
            "Who was Ada Brown of Leeds?",
            "an English engineer and a painter",
        ),
    ],
)
def test_a_clear_fact_is_asked_for(sentence: str, question: str, answer: str) -> None:
    found = {fact.question: fact for fact in facts(sentence)}
    assert question in found
    assert answer in found[question].answers
    assert holds(sentence, answer)
    assert found[question].proof.passage == sentence


@pytest.mark.parametrize(
    "sentence",
    [
        "It was built in 1921 by Ada Brown, who lived in Leeds.",
        "The city was founded in 1921 on the site of a fort.",
        "This kettle has four feet of brass, as all kettles do.",
        "The kettle Orion was his first, and it was built in 1921.",
        "A kettle is a good choice for most households of Leeds.",
        "Nobody knows how the story of the kettle went on then",
        "Orion won 20 to 30 of the games that were played there.",
        "the end of a sentence that was cut was built in 1921.",
        "Short, in 1921.",
    ],
)
def test_what_leans_on_its_context_or_is_no_fact_is_left_alone(sentence: str) -> None:
    assert facts(sentence) == []


def test_a_facts_frame_asks_the_same_of_another_and_its_year_can_be_compared() -> None:
    (fact, *_) = facts("The kettle Orion was built in 1921 by Ada Brown.")
    assert (fact.frame, fact.subject) == ("When was {} built?", "the kettle Orion")
    assert (fact.value, fact.event) == (1921, "the kettle Orion was built")


def test_links_emphasis_and_sources_are_no_part_of_a_question() -> None:
    (fact,) = facts("A **chunk** is a `stretch` of [text](http://x), (Brown et al., 1921).")
    assert (fact.question, fact.answers) == ("What is a chunk?", ("a stretch of text",))


TABLES = {
    "name: Orion\nlitres: 3\nmade_by: Ada Brown\n": [("name", "Orion"), ("litres", "3"), ("made_by", "Ada Brown")],
    "name: Orion | litres: 3": [("name", "Orion"), ("litres", "3")],
    "Kettles.\n\n| name | litres |\n| --- | --- |\n| `Orion` | 3 |\n": [("name", "Orion"), ("litres", "3")],
}


@pytest.mark.parametrize("text", TABLES)
def test_rows_are_read_from_every_form_in_which_readers_write_them(text: str) -> None:
    (row,) = read_rows(text, Proof("a.csv", None, 100, 100, ""))
    assert list(row.fields) == TABLES[text]
    assert text[row.proof.start - 100 : row.proof.end - 100] == row.proof.passage
    assert row.proof.passage.strip("| `").startswith(("name", "Orion"))


def test_a_table_that_was_cut_above_its_head_has_no_rows() -> None:
    assert list(read_rows("| Orion | 3 |\n| Vega | 4 |\n| Lyra | 5 |\n", Proof("a.md", None, 0, 0, ""))) == []


def test_a_cell_is_asked_for_by_its_column_and_its_rows_name() -> None:
    text = (
        "name: Orion | litres: 3 | parts_thousand: 1.2 | maker: Ada Brown"
        " | How it is sold: in boxes | see: a.md | ok: yes"
    )
    found = {fact.question: fact for fact in table_facts(read_rows(text, Proof("a.csv", None, 0, 0, "")))}
    assert list(found) == [
        "How many litres does Orion have?",
        "How many thousand parts does Orion have?",
        "What is the maker of Orion?",
        "What does the table give as “How it is sold” for “Orion”?",
    ]
    assert [fact.value for fact in found.values()] == [3, 1.2, None, None]


def test_rows_that_share_their_name_or_have_none_are_not_asked_for() -> None:
    rows = [f"name: {name} | litres: {n}" for n, name in enumerate(("Orion", "Orion", "17"))]
    assert not list(table_facts(read_rows("\n".join(rows), Proof("a.csv", None, 0, 0, ""))))


def test_an_answer_is_held_word_by_word_whatever_stands_between() -> None:
    assert holds("It holds\n3 litres, at most.", "3 litres")
    assert not holds("It holds 33 litres.", "3 litres")
