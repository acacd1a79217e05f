"""Groundedness: what sentences say is supported more than what they don't; an NLI model, a tiny real one, is heard."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.groundedness import BIAS, WEIGHTS, entailment, features, support
from errors import ModelError

FACTS = [
    "The kettle Orion holds 3 litres of water.",
    "Ada Brown built it in Leeds in 1912.",
    "It was not sold before the war.",
    "Its lid, which is made of copper, weighs 1,200 grams.",
]


@pytest.mark.parametrize(
    ("true", "false"),
    [
        ("Orion can hold 3 litres.", "Orion can hold 4 litres."),
        ("Ada Brown built the kettle in 1912.", "Bob Gray built the kettle in 1912."),
        ("The lid weighs 1200 grams.", "The lid weighs 1200 kilograms."),
        ("Orion holds three litres of water.", "Orion holds thirteen litres of water."),
        ("Orion, a kettle, holds 3 litres.", "Orion, a kettle, doesn't hold 3 litres."),
        ("A lid of copper is what it has.", "Penguins live in the far south."),
    ],
)
def test_what_the_sentences_say_is_supported_more_than_what_they_do_not(true: str, false: str) -> None:
    assert 0 < support(false, FACTS) < support(true, FACTS) < 1


def test_what_stands_there_word_for_word_is_certain() -> None:
    assert support("built it in Leeds", FACTS) == 1.0
    assert support("Built it,  in Leeds!", FACTS) == 1.0
    assert support("", FACTS) < 1
    assert support("anything", []) == 0.0


def test_names_and_numbers_that_are_given_need_no_support() -> None:
    claim = "For Zelda in 1999, the kettle Orion held 3 litres."
    assert support(claim, FACTS) < support(claim, FACTS, given="I am Zelda, and it is 1999: how much?")


def test_features_of_a_case_computed_by_hand() -> None:
    found = features("Orion weighs 5 grams in Leeds", ["Orion holds water.", "Leeds is no village."])
    assert found["pairs"] == 0  # orion weighs, weighs 5, 5 grams, grams Leeds: none stands in a sentence
    assert found["strange_numbers"] == 1  # the 5
    assert found["strange_names"] == 0  # Leeds; a first word is not sure to be a name
    assert found["negation"] == 0  # the best sentence is the first of the two that hold one word
    # two of five words are held, each in one of two sentences: log(1 + 3/2); the others in none: log(1 + 3/1)
    assert found["words"] == pytest.approx(2 * 0.9163 / (2 * 0.9163 + 3 * 1.3863), abs=1e-4)
    assert found.keys() == WEIGHTS.keys()


def test_support_is_the_logistic_of_the_weighted_features() -> None:
    from math import exp

    claim = "Orion weighs 5 grams in Leeds"
    odds = BIAS + sum(WEIGHTS[name] * value for name, value in features(claim, FACTS).items())
    assert support(claim, FACTS) == pytest.approx(1 / (1 + exp(-odds)))


@given(st.text(max_size=60), st.lists(st.text(max_size=60), max_size=5))
def test_any_claim_has_a_support_from_0_to_1(claim: str, evidence: list[str]) -> None:
    assert 0 <= support(claim, evidence) <= 1


def classifier(path: Path, embedder: Path, labels: dict[int, str]) -> Path:
    """Make a tiny classifier of random weights with these labels."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(str(embedder), local_files_only=True)
    tokenizer.save_pretrained(str(path))
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        initializer_range=0.5, id2label=labels, label2id={label: at for at, label in labels.items()},
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(str(path))
    return path


def test_the_label_that_means_entailment_is_read_from_the_model(tmp_path: Path, embedder_folder: Path) -> None:
    folder = classifier(tmp_path, embedder_folder, {0: "contradiction", 1: "ENTAILMENT", 2: "neutral"})
    pairs = [(FACTS[0], "Orion holds water."), (FACTS[1], "Orion holds water.")]
    first = entailment(folder)(pairs)
    assert all(0 < each < 1 for each in first)
    config = json.loads((folder / "config.json").read_text())
    config |= {"id2label": {"0": "entailment", "1": "neutral", "2": "contradiction"}}
    config |= {"label2id": {"entailment": 0, "neutral": 1, "contradiction": 2}}
    (folder / "config.json").write_text(json.dumps(config))
    other = entailment(folder)(pairs)
    assert all(one + two < 1 for one, two in zip(first, other, strict=True))  # other outputs of one softmax
    assert first != other
    config |= {"id2label": {"0": "good", "1": "bad", "2": "ugly"}, "label2id": {"good": 0, "bad": 1, "ugly": 2}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="none of its labels is entailment: good, bad, ugly"):
        entailment(folder)


def test_a_folder_without_a_model_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="RAG_NLI"):
        entailment(tmp_path)


def test_an_nli_model_moves_the_support_and_reads_few_sentences() -> None:
    asked: list[tuple[str, str]] = []

    def sure(pairs: list[tuple[str, str]]) -> list[float]:
        asked.extend(pairs)
        return [0.0, *[1.0] * (len(pairs) - 1)]

    claim = "Orion may hold 3 litres."
    plain = support(claim, FACTS * 5)
    assert support(claim, FACTS * 5, entails=sure) > plain
    assert len(asked) == 8
    assert asked[0] == (f"{FACTS[0]} {FACTS[1]}", claim)
    assert support(claim, FACTS, entails=lambda pairs: [0.0] * len(pairs)) < plain
