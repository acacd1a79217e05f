"""The post-filter: what a passage supports stays and is cited to it; inventions, repeats and markup go."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document

from chains.answers import Citation
from chains.evidence import Sentence
from chains.post_filter import MOST_SENTENCES, REFUSAL, Checked, check


def evidence(*passages: list[str]) -> list[Document]:
    """Return passages with these sentences, whose scores fall in the order of writing."""
    found, score = [], 1.0
    for sentences in passages:
        scored, at = [], 0
        for text in sentences:
            scored.append(Sentence(at, 1, text, score))
            at, score = at + len(text) + 1, score * 0.9
        found.append(
            Document(
                page_content=" ".join(sentences),
                metadata={"source": "/docs/notes.md", "page": None, "section": "", "start": 0, "sentences": scored},
            )
        )
    return found


FACTS = evidence(
    ["The kettle Orion holds 3 litres of water.", "Ada Brown built it in Leeds in 1912."],
    ["The Danube flows through Vienna and Budapest.", "It ends in the Black Sea."],
    ["Butter melts at about 35 degrees."],
)
QUESTION = "What can you tell me?"
QUOTE = Checked("The kettle Orion holds 3 litres of water. [1]", (1,), quoted=True)


def checked(draft: str, question: str = QUESTION, least_support: float = 0.7) -> Checked:
    """Return the answer without its statements, which tests of their own look at."""
    return shown(check(draft, question, FACTS, least_evidence=0.35, least_support=least_support))


def shown(found: Checked) -> Checked:
    return replace(found, statements=())


def test_a_supported_sentence_stays_with_its_citation() -> None:
    assert checked("The kettle Orion holds 3 litres of water [1].") == Checked(
        "The kettle Orion holds 3 litres of water. [1]", (1,)
    )


@pytest.mark.parametrize("mark", [" [1]", " [3]", "[2, 3]", " [99]", "", " [1][3]", " [1; 3]"])
def test_a_sentence_is_cited_to_the_passage_that_holds_it_whatever_the_model_wrote(mark: str) -> None:
    found = checked(f"The Danube flows through Vienna and Budapest{mark}.")
    assert (found.text, found.cited) == ("The Danube flows through Vienna and Budapest. [2]", (2,))


@pytest.mark.parametrize(
    "invented",
    [
        "The kettle Orion holds 4 litres of water.",
        "Bob Brown built it in Leeds in 1912.",
        "Ada Brown built it in London in 1912.",
        "The Danube flows through Vienna and Prague.",
        "Butter melts at about 35.5 degrees.",
        "Penguins live in the far south.",
    ],
)
def test_an_invented_name_number_or_sentence_goes_and_the_best_sentence_is_quoted(invented: str) -> None:
    assert checked(invented) == QUOTE


def test_what_is_supported_survives_beside_an_invention() -> None:
    found = checked("Butter melts at about 35 degrees. It was first sold by Bob in 1650. It ends in the Black Sea.")
    assert found == Checked("Butter melts at about 35 degrees. [3] It ends in the Black Sea. [2]", (3, 2))


def test_facts_of_two_distant_passages_do_not_support_one_sentence_together() -> None:
    assert checked("The kettle Orion melts at about 35 degrees.") == QUOTE


def test_two_neighbouring_sentences_of_a_passage_support_one_together() -> None:
    found = checked("Ada Brown built the kettle Orion in Leeds in 1912.")
    assert found == Checked("Ada Brown built the kettle Orion in Leeds in 1912. [1]", (1,))


def test_names_of_the_question_need_no_support() -> None:
    draft = "Zelda, the Danube flows through Vienna and Budapest."
    assert checked(draft).quoted
    assert not checked(draft, "I am Zelda: where does it flow?").quoted


def test_a_draft_that_only_repeats_the_question_says_nothing() -> None:
    assert checked("Butter melts at about 35 degrees.", "Does butter melts at about 35 degrees?") == QUOTE


def test_a_sentence_with_less_than_the_least_support_goes() -> None:
    draft = "The river Danube slowly flows through Vienna."
    found = check(draft, "Where?", FACTS, least_evidence=0.35, least_support=0.0)
    (statement,) = found.statements
    assert 0.4 < statement.support < 0.8
    assert not checked(draft, "Where?", statement.support - 0.01).quoted
    assert checked(draft, "Where?", statement.support + 0.01).quoted


def test_repeated_sentences_go_even_in_other_case_and_order() -> None:
    draft = "Butter melts at about 35 degrees. BUTTER melts at about 35 degrees! At about 35 degrees butter melts."
    found = checked(draft)
    assert found.text.count("35") == 1
    assert found.cited == (3,)


@pytest.mark.parametrize("tail", ["It ends in the", "It ends in the Black", "Butter 35"])
def test_an_unfinished_last_sentence_goes(tail: str) -> None:
    draft = f"The Danube flows through Vienna and Budapest. {tail}"
    assert checked(draft).text == "The Danube flows through Vienna and Budapest. [2]"


@pytest.mark.parametrize("tail", ["It ends in the Black Sea,", "It ends in the Black Sea (", "It ends in the Black -"])
def test_a_last_sentence_cut_after_a_comma_or_bracket_goes_too(tail: str) -> None:
    draft = f"The Danube flows through Vienna and Budapest. {tail}"
    assert checked(draft).text == "The Danube flows through Vienna and Budapest. [2]"


def test_an_only_sentence_may_lack_its_full_stop() -> None:
    assert checked("about 35 degrees") == Checked("about 35 degrees [3]", (3,))


@pytest.mark.parametrize(
    "draft",
    [
        "The <b>Danube</b> flows through Vienna and Budapest.",
        "The Danube flows <img src=x onerror=alert(1)>through Vienna and Budapest.",
        "![map](http://evil.example/a.png) The Danube flows through Vienna and Budapest.",
        "The [Danube](http://evil.example) flows through [Vienna](javascript:alert(1) and Budapest.",
        "The Danube flows through <http://evil.example>Vienna and Budapest.",
    ],
)
def test_html_images_and_links_are_taken_out(draft: str) -> None:
    found = checked(draft)
    assert not re.search(r"<[a-z/]|!\[|\]\(|http|javascript", found.text)
    assert found.cited == (2,)
    assert "Danube flows" in found.text


@pytest.mark.parametrize(
    "draft",
    [
        "The Danube flows through Vienna and Budapest <script",
        "The Danube flows through Vienna and Budapest <<b>script>.",
        "The Danube flows through Vienna and Budapest <img src=x onerror=Vienna",
    ],
)
def test_broken_or_nested_tags_are_taken_out_too(draft: str) -> None:
    assert not re.search(r"<[a-z/]", checked(draft, least_support=0.5).text)


def test_a_quote_is_neutralised_as_a_draft_is() -> None:
    hostile = evidence(["Read <script>alert(1)</script>![x](http://evil.example/?q=1) this."])
    found = check("", QUESTION, hostile, least_evidence=0, least_support=0.8)
    assert found.quoted
    assert not re.search(r"<script|!\[|http", found.text)


@pytest.mark.parametrize(
    "draft",
    [
        REFUSAL,
        "not in these documents",
        "This is not mentioned in the passages.",
        "That is not stated in this text [1].",
        "**Not in these documents.**",
    ],
)
def test_a_refusal_is_an_abstention_without_citations(draft: str) -> None:
    assert checked(draft) == Checked(REFUSAL, abstained=True)


def test_a_long_draft_that_mentions_a_refusal_is_judged_by_its_sentences() -> None:
    found = checked("Butter melts at about 35 degrees. The rest is not in these documents, as far as I can see.")
    assert found == Checked("Butter melts at about 35 degrees. [3]", (3,))


@pytest.mark.parametrize("draft", ["", "Butter melts.", "[1]", REFUSAL])
def test_without_passages_there_is_no_answer(draft: str) -> None:
    assert check(draft, QUESTION, [], least_evidence=0, least_support=0.8) == Checked(REFUSAL, abstained=True)


@pytest.mark.parametrize("draft", ["", "   ", "[1]", "[7].", "!!!", "<b></b>"])
def test_a_draft_of_nothing_gives_way_to_the_best_sentence(draft: str) -> None:
    assert checked(draft) == QUOTE


def test_a_quoted_table_row_is_put_on_one_line() -> None:
    row = evidence(["Model: Orion\nLitres: 3\nBuilt: 1912"])
    found = check("", QUESTION, row, least_evidence=0, least_support=0.8)
    assert found.text == "Model: Orion; Litres: 3; Built: 1912 [1]"


def test_a_colon_in_a_wrapped_sentence_makes_no_table_row() -> None:
    wrapped = evidence(["Filling the kettle does not change the heat of\nthe steam: it holds 3 litres still."])
    found = check("", QUESTION, wrapped, least_evidence=0, least_support=0.8)
    assert found.text == "Filling the kettle does not change the heat of the steam: it holds 3 litres still. [1]"


def test_a_statement_says_what_supports_it_and_where_that_stands() -> None:
    found = check(
        "Ada Brown built the kettle Orion in 1912 [2]. It ends in the Black Sea.",
        QUESTION, FACTS, least_evidence=0.35, least_support=0.6,
    )  # fmt: skip
    first, second = found.statements
    whole = FACTS[0].page_content
    assert first.text == "Ada Brown built the kettle Orion in 1912."
    assert first.citations == (Citation(1, "/docs/notes.md", None, 1, 0, len(whole), whole),)
    assert 0.6 <= first.support < second.support == 1.0
    assert [each.text for each in second.citations] == ["It ends in the Black Sea."]
    assert (found.cited, found.text) == ((1, 2), f"{first.text} [1] {second.text} [2]")


def test_all_passages_that_say_the_same_are_cited() -> None:
    twice = evidence(["Butter melts at 35 degrees."], ["It is soft.", "Butter melts at 35 degrees, as a rule."])
    found = check("Butter melts at 35 degrees.", QUESTION, twice, least_evidence=0, least_support=0.7)
    assert found.text == "Butter melts at 35 degrees. [1][2]"
    (statement,) = found.statements
    assert [each.text for each in statement.citations] == [each.metadata["sentences"][-1].text for each in twice]


def test_a_passage_that_the_model_cites_and_that_supports_the_sentence_less_is_cited_beside_the_best() -> None:
    two = evidence(["Butter melts slowly at 35 degrees."], ["Butter melts at 35 degrees."], ["Ice is cold."])

    def cited(mark: str) -> tuple[int, ...]:
        draft = f"Butter melts slowly at 35 degrees. {mark}"
        return check(draft, "When?", two, least_evidence=0, least_support=0.5).cited

    assert (cited(""), cited("[2]"), cited("[3]"), cited("[1, 2]"), cited("[9]")) == ((1,), (1, 2), (1,), (1, 2), (1,))


def test_a_quote_is_a_statement_whose_citation_is_verbatim() -> None:
    row = evidence(["Model: Orion\nLitres: 3\n<b>Built: 1912"])
    (statement,) = check("", QUESTION, row, least_evidence=0, least_support=0.7).statements
    assert (statement.text, statement.support) == ("Model: Orion; Litres: 3; Built: 1912", 1.0)
    (citation,) = statement.citations
    assert row[0].page_content[citation.start : citation.end] == citation.text == row[0].page_content


def scored(found: list[Document], *scores: float) -> list[Document]:
    """Give the sentences of the passages these scores."""
    left = iter(scores)
    for passage in found:
        passage.metadata["sentences"] = [replace(each, score=next(left)) for each in passage.metadata["sentences"]]
    return found


def test_two_sentences_of_two_passages_are_two_statements_the_better_one_first() -> None:
    two = scored(evidence(["Butter melts.", "It does at 35 degrees."], ["Ice is cold."]), 0.1, 0.6, 0.7)
    found = check("", QUESTION, two, least_evidence=0, least_support=0.7)
    assert (found.text, found.quoted) == ("Ice is cold. [2] It does at 35 degrees. [1]", True)
    assert [each.citations[0].text for each in found.statements] == ["Ice is cold.", "It does at 35 degrees."]


def test_a_sentence_of_which_nothing_can_be_shown_is_not_quoted() -> None:
    image = evidence(["![map](http://evil.example/a.png)"])
    assert check("", QUESTION, image, least_evidence=0, least_support=0.7) == Checked(REFUSAL, abstained=True)


def test_two_sentences_of_one_passage_are_cited_as_the_stretch_that_they_span() -> None:
    texts = ["Butter melts.", "It does at 35 degrees.", "So says the book."]
    two = scored(evidence(texts), 0.6, 0.7, 0.1)
    (statement,) = check("", QUESTION, two, least_evidence=0, least_support=0.7).statements
    assert statement.text == statement.citations[0].text == "Butter melts. It does at 35 degrees."
    apart = scored(evidence(texts), 0.7, 0.1, 0.6)
    found = check("", QUESTION, apart, least_evidence=0, least_support=0.7)
    assert (found.text, found.cited) == ("Butter melts. … So says the book. [1]", (1,))
    (citation,) = found.statements[0].citations
    assert citation.text == apart[0].page_content[citation.start : citation.end] == " ".join(texts)


def test_two_sentences_far_apart_are_two_statements() -> None:
    texts = ["Butter melts.", *["This says nothing at all about it."] * 40, "So says the book."]
    found = check("", QUESTION, scored(evidence(texts), 0.7, *[0.1] * 40, 0.6), least_evidence=0, least_support=0.7)
    assert (found.text, found.cited) == ("Butter melts. [1] So says the book. [1]", (1,))


@pytest.mark.parametrize(
    "denial",
    [
        "There is no kettle.",
        "The kettle Orion does not hold water.",
        "No information about kettles was found.",
        "The Danube doesn't flow through Vienna.",
        "Es gibt keine Angaben dazu.",
    ],
)
def test_a_denial_that_no_passage_makes_is_a_refusal(denial: str) -> None:
    assert checked(denial) == Checked(REFUSAL, abstained=True)
    found = checked(f"{denial} Butter melts at about 35 degrees.")
    assert found == Checked("Butter melts at about 35 degrees. [3]", (3,))


def test_a_denial_that_a_passage_makes_stays() -> None:
    denying = evidence(["The kettle does not hold oil.", "It holds 3 litres of water."])
    found = check("The kettle does not hold oil.", QUESTION, denying, least_evidence=0, least_support=0.7)
    assert found.text == "The kettle does not hold oil. [1]"
    found = check("The kettle does hold oil.", QUESTION, denying, least_evidence=0, least_support=0.7)
    assert found.quoted  # shorter by a word that turns it round


def test_sentences_that_say_nearly_the_same_are_said_once() -> None:
    draft = (
        "The kettle Orion holds 3 litres of water. Orion the kettle holds 3 litres. "
        "The kettle Orion holds 3 litres of good water. Butter melts at about 35 degrees."
    )
    found = checked(draft, least_support=0.5)
    assert found.text == "The kettle Orion holds 3 litres of water. [1] Butter melts at about 35 degrees. [3]"


def test_an_answer_has_an_end() -> None:
    many = evidence([f"The kettle number {n} holds water." for n in range(40)])
    draft = " ".join(many[0].metadata["sentences"][n].text for n in range(40))
    found = check(draft, QUESTION, many, least_evidence=0, least_support=0.7)
    assert len(found.statements) == found.text.count("[1]") == MOST_SENTENCES


pieces = st.sampled_from(
    [
        "The kettle Orion",
        "holds 3 litres of water.",
        "Vienna",
        "[1]",
        "[9]",
        "[2, 44]",
        "[",
        "](x)",
        "![a](b)",
        "<b>",
        "<script>",
        "</script>",
        "\n\n",
        "- ",
        ". ",
        "Not in these documents.",
        "35",
        "。",
        "\x00",
        "Butter melts at about 35 degrees.",
    ]
)
drafts = st.one_of(st.text(max_size=80), st.lists(pieces, max_size=12).map(" ".join))


@given(draft=drafts, question=st.one_of(st.text(max_size=30), st.just(QUESTION)), least=st.floats(0.01, 1))
def test_any_draft_gives_an_answer_that_cites_only_passages_that_exist(draft: str, question: str, least: float) -> None:
    found = check(draft, question, FACTS, least_evidence=0.35, least_support=least)
    assert found.text.strip()
    assert "<script" not in found.text
    assert set(found.cited) <= {1, 2, 3}
    assert {int(n) for n in re.findall(r"\[(\d+)\]", found.text)} == set(found.cited)
    assert found.abstained == (found.text == REFUSAL) == (not found.cited) == (not found.statements)
    for citation in (each for statement in found.statements for each in statement.citations):
        assert FACTS[citation.n - 1].page_content[citation.start : citation.end] == citation.text != ""


def test_with_no_support_asked_for_the_cited_passage_still_exists() -> None:
    found = checked("Penguins live in the far south.", least_support=0.0)
    assert set(found.cited) <= {1, 2, 3}


def test_where_the_passages_are_not_sufficient_the_answer_is_refused() -> None:
    found = check("It ends in the Black Sea.", QUESTION, FACTS, least_evidence=1.0, least_support=0.8)
    assert found == Checked(REFUSAL, abstained=True)


def test_brief_keeps_what_one_of_the_likeliest_sentences_holds_word_for_word() -> None:
    def brief(draft: str, question: str = QUESTION) -> Checked:
        return shown(check(draft, question, FACTS, least_evidence=0.35, least_support=1.0, brief=True))

    assert brief("3 litres of water.") == Checked("3 litres of water. [1]", (1,))
    assert brief("3 litres [1]").text == "3 litres [1]"
    assert brief("Ada Brown built it in Leeds in 1913.") == QUOTE
    assert brief("4 litres") == QUOTE
    choice = brief("water", "Does it hold water or milk?")
    assert (choice.text, choice.quoted) == ("water [1]", False), "a choice that the question offers"


@pytest.mark.parametrize(
    ("draft", "kept"),
    [
        ("Pittsboro Steelers [1]", "Pittsburgh Steelers [1]"),
        ("2 [1]", "two [1]"),
        ("Academia Award", "Academy Award [1]"),
        ("six-time", "Six-time [1]"),
        ("91%", "91% [1]"),
    ],
)
def test_brief_puts_a_misspelt_word_right(draft: str, kept: str) -> None:
    text = "The Pittsburgh Steelers won two games and the Academy Award, 91% of which a Six-time guest said in 1912."
    found = check(draft, "Who won?", evidence([text]), least_evidence=0, least_support=0.5, brief=True)
    assert (found.text, found.quoted) == (kept, False)


@pytest.mark.parametrize("draft", ["1913 [1]", "3 games", "Pittsburgh Stealers of 1913", "Acting Award"])
def test_another_number_or_word_is_no_misspelling(draft: str) -> None:
    text = "The Pittsburgh Steelers won two games and the Academy Award, a Six-time guest said in 1912."
    assert check(draft, "Who won?", evidence([text]), least_evidence=0, least_support=0.5, brief=True).quoted


def test_a_table_row_is_quoted_and_never_shortened() -> None:
    row = evidence(["model: Orion\nlayers: 80\nheads: 8"])
    found = check("Orion has 8 layers.", "How many layers?", row, least_evidence=0, least_support=0.5, brief=True)
    assert (found.quoted, found.text) == (True, "model: Orion; layers: 80; heads: 8 [1]")
