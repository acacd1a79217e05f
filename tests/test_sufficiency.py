"""Sufficiency: a probability that rises with what the passages hold of the question, with and without a search."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.runnables import Runnable

import ingestion
import pipeline
from chains.evidence import Sentence
from chains.queries import Query
from chains.reranking import Ranked
from chains.sufficiency import (
    GIVEN,
    SEARCHED,
    STRANGER,
    Outcome,
    Signals,
    build_weigher,
    lacks_evidence,
    signals,
    sufficiency,
)
from searching import build_evidence
from settings import Settings, load_settings

SHARES = st.floats(0, 1)


def passage(*sentences: tuple[str, float], section: str = "", **metadata: object) -> Document:
    scored = [Sentence(0, 1, text, score) for text, score in sentences]
    at = {"source": "/docs/river_notes.md", "section": section, "sentences": scored} | metadata
    return Document(page_content=" ".join(text for text, _ in sentences), metadata=at)


RIVER = passage(("The Danube flows through Vienna.", 0.6), ("It ends in the Black Sea.", 0.4))
BUTTER = passage(("Butter melts at about 35 degrees.", 0.1))


def test_without_passages_there_is_no_evidence() -> None:
    assert sufficiency("Where does the Danube end?", []) == 0
    assert lacks_evidence("Where does the Danube end?", [], least_evidence=0)


def test_words_are_those_that_two_neighbouring_sentences_hold_under_their_heading() -> None:
    # of four characters _danube_ has five stretches and _end_ two; "ends" loses its s
    assert signals("Danube end", [RIVER]).words == 1.0
    assert signals("Danube end", [passage(("The Danube flows.", 0.5))]).words == pytest.approx(5 / 7)
    assert signals("Danube end", [passage(("The Danube.", 0.5)), passage(("The end.", 0.5))]).words == pytest.approx(
        5 / 7
    )
    assert signals("Danube end", [passage(("The end.", 0.5), section="The Danube")]).words == 1.0
    assert signals("Danube end", [BUTTER]).words == 0.0


def test_parts_of_words_count() -> None:
    whole = signals("Kündigungsfrist", [passage(("Die Kündigungsfrist beträgt drei Monate.", 0.5))]).words
    part = signals("Kündigungsfrist", [passage(("Die Frist der Kündigung beträgt drei Monate.", 0.5))]).words
    assert whole == 1.0
    assert 0.5 < part < 1.0


def test_names_and_numbers_are_mentioned_anywhere_also_in_the_name_of_the_file() -> None:
    assert signals("Does the Danube flow there?", [BUTTER, RIVER]).names == 1.0
    assert signals("Does the Rhine flow there?", [BUTTER, RIVER]).names == -1.0
    assert signals("Did the Danube flow in 1912?", [BUTTER, RIVER]).names == 0.0
    assert signals("What do the River notes say?", [RIVER]).names == 1.0
    assert signals("Where does it end?", [RIVER]).names == 0.0, "none is asked for"
    assert signals("¿Dónde termina?", [RIVER]).names == 0.0, "a first word is no name"


def test_what_the_search_tells_is_the_same_for_all_its_passages() -> None:
    best = {"dense": 0.5, "keyword": 8.0}
    found = [passage(("One.", 0.1), best=best), passage(("Two.", 0.3), best=best)]
    one, two = weigher(20.0).invoke({"query": "What?", "passages": found})
    assert one.metadata["outcome"] == two.metadata["outcome"] == Outcome(0.4, 0.9, 0.5, 0.7)
    told = signals("What?", [one, two])
    assert (told.sentence, told.vector()[-1]) == (0.3, pytest.approx(0.7 * 0.5))
    assert len(told.vector()) == len(SEARCHED) - 1
    assert weigher(4.0).invoke({"query": "?", "passages": [one]})[0].metadata["outcome"].keyword == 1.0
    assert weigher(0.0).invoke({"query": "?", "passages": [one]})[0].metadata["outcome"].keyword == 0.0


def weigher(highest: float) -> Runnable[Ranked, list[Document]]:
    return build_weigher(lambda query: (highest, 0.9), lambda query: 0.7, lambda words: {"orion2"} & set(words))


@pytest.mark.parametrize(
    ("question", "strange"),
    [
        ("How long does the ORION2 take?", False),
        ("How long does the ORION9 take?", True),
        ("What does LlamaIndex cost?", True),
        ("黑豹队在2015年赢了几场?", False),  # no name, though no space parts it from a figure
        ("Who runs the NASA, and what is a PhD, the 1980s, B2 or 3G?", False),
    ],
)
def test_a_coined_name_that_no_document_has_makes_evidence_unlikely(question: str, strange: bool) -> None:
    found = passage(("It takes two days.", 0.9), best={"dense": 0.9, "keyword": 20.0})
    (weighed_,) = weigher(20.0).invoke({"query": question, "passages": [found]})
    assert weighed_.metadata["outcome"].strange is strange
    told = sufficiency(question, [weighed_])
    weighed_.metadata["outcome"] = weighed_.metadata["outcome"]._replace(strange=False)
    assert told == pytest.approx(sufficiency(question, [weighed_]) * (STRANGER if strange else 1))


def test_the_probability_is_that_of_the_logistic_model() -> None:
    constant, words, names, unspaced, sentence = GIVEN
    at = signals("Does the Rhine flow there?", [RIVER])
    logit = constant + words * at.words - names + unspaced * 0 + sentence * 0.6
    assert sufficiency("Does the Rhine flow there?", [RIVER]) == pytest.approx(1 / (1 + math.exp(-logit)))


def test_a_question_in_pairs_of_characters_is_told_apart() -> None:
    assert signals("多瑙河流经哪里?", [RIVER]).unspaced == 1.0
    assert signals("¿Dónde termina el Danubio?", [RIVER]).unspaced == 0.0


@given(*[SHARES] * 6, st.sampled_from(["words", "names", "keyword", "known", "cosine"]))
def test_more_of_any_signal_is_never_less_evidence(
    words: float, names: float, keyword: float, known: float, cosine: float, familiar: float, more: str
) -> None:
    outcome = Outcome(keyword, known, cosine, familiar)
    at = Signals(words, names, sentence=0.5, unspaced=0.0, length=2.0, outcome=outcome)
    change = {more: 1.0} if more in Signals._fields else {"outcome": outcome._replace(**{more: 1.0})}
    assert weighed(at._replace(**change)) >= weighed(at)


def weighed(at: Signals) -> float:
    return sum(weight * value for weight, value in zip(SEARCHED[1:], at.vector(), strict=True))


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("two")
    (folder / "lease.md").write_text("# Lease\n\nThe notice period is three months to the end of a quarter.\n")
    (folder / "kettle.md").write_text("# Kettle\n\nThe kettle Orion holds 3 litres and boils in four minutes.\n")
    settings = load_settings(store=folder / "store", workers=1)
    ingestion.ingest(settings, [folder])
    return settings


@pytest.mark.parametrize(
    ("question", "is_there"),
    [
        ("notice period?", True),
        ("How long is the notice period?", True),
        ("Orion litres", True),
        ("How much does the kettle Orion hold?", True),
        ("Which enzyme unwinds double-stranded nucleic acid?", False),
        ("Who crowned the king of Spain?", False),
        ("多瑙河流经哪个国家的首都?", False),
    ],
)
def test_an_index_of_two_documents_tells_what_it_holds(settings: Settings, question: str, is_there: bool) -> None:
    with pipeline.open_index(settings) as index:
        passages = build_evidence(settings, index).invoke([Query(question)])
    assert all(0 <= share <= 1 for each in passages for share in each.metadata["outcome"])
    assert lacks_evidence(question, passages, least_evidence=settings.least_evidence) is not is_there


def test_one_leg_alone_tells_nothing_of_the_search(settings: Settings) -> None:
    for weight in (0.0, 1.0):
        alone = settings.model_copy(update={"keyword_weight": weight})
        with pipeline.open_index(alone) as index:
            passages = build_evidence(alone, index).invoke([Query("How long is the notice period?")])
        assert signals("How long is the notice period?", passages).outcome is None
        assert not lacks_evidence("How long is the notice period?", passages, least_evidence=0.5)
