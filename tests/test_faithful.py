"""What a model wrote: a sentence stays if its source says so, all names, numbers and negations included."""

import pytest

from chains.answers import Citation
from surveys.faithful import draft_sentences, supported

TEXTS = (
    "The kettle Orion holds 3 litres of water.",
    "Ada Brown built it in Leeds in 1912.",
    "It has no lid.",
    "The Danube flows through Vienna and Budapest.",
)
EVIDENCE = tuple(Citation(0, "a.md", None, 1, 50 * at, 50 * at + len(text), text) for at, text in enumerate(TEXTS))


@pytest.mark.parametrize(
    ("claim", "cited"),
    [
        ("The kettle Orion holds 3 litres of water.", (0,)),
        ("The Orion kettle holds 3 litres.", (0,)),
        ("Ada Brown built the kettle Orion in Leeds in 1912.", (0, 1)),
        ("It has no lid.", (2,)),
        ("The Danube flows through Budapest.", (3,)),
    ],
)
def test_what_the_source_says_stays_with_the_sentences_that_say_it(claim: str, cited: tuple[int, ...]) -> None:
    statement = supported(claim, EVIDENCE, least_support=0.7)
    assert statement is not None
    assert statement.text == claim
    assert statement.support >= 0.7
    assert statement.citations == tuple(EVIDENCE[at] for at in cited)


@pytest.mark.parametrize(
    "claim",
    [
        "The kettle Orion holds 4 litres of water.",
        "Ada Green built it in Leeds in 1912.",
        "The kettle Orion does not hold 3 litres of water.",
        "It has a lid.",
        "Kettles are expensive instruments for wealthy people.",
        "",
    ],
)
def test_another_number_name_or_denial_goes(claim: str) -> None:
    assert supported(claim, EVIDENCE, least_support=0.7) is None
    assert supported(claim, (), least_support=0.0) is None


def test_support_is_the_weaker_the_more_the_source_does_not_say() -> None:
    found = [
        supported(f"The kettle Orion holds 3 litres of {added}water.", EVIDENCE, least_support=0.0)
        for added in ("", "fresh ", "fresh boiling spring ")
    ]
    support = [statement.support for statement in found if statement]
    assert support[0] == 1.0
    assert support == sorted(support, reverse=True)
    assert len(set(support)) == 3


def test_a_draft_gives_its_finished_sentences_without_markup() -> None:
    assert draft_sentences("<b>One</b> is here [1]. Two is [there](http://x). Three was") == [
        "One is here.",
        "Two is there.",
    ]
