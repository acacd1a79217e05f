"""Re-ranking by a real, tiny, randomly initialised cross-encoder: its scores decide, and nothing is lost."""

from pathlib import Path

import pytest
from langchain_core.documents import Document

from chains.reranking import build_reranker
from errors import ModelError

TEXTS = [
    "The kettle holds three litres of water.",
    "Vienna lies on the Danube.",
    "A cross-encoder reads the query and the passage together.",
    "Butter melts at about 35 degrees.",
    "The lighthouse was built of granite in 1912, and its lamp could be seen from thirty miles away.",
]
QUERY = "When was the lighthouse built?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, embedder_folder: Path) -> Path:
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    path = tmp_path_factory.mktemp("cross-encoder")
    tokenizer = AutoTokenizer.from_pretrained(str(embedder_folder), local_files_only=True)
    tokenizer.save_pretrained(str(path))
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=1,
        initializer_range=0.5,  # far enough from 0 that the scores differ
    )
    BertForSequenceClassification(config).save_pretrained(str(path))
    return path


def passages() -> list[Document]:
    return [Document(id=str(n), page_content=text, metadata={"score": 0.5}) for n, text in enumerate(TEXTS)]


def scores_by_transformers(folder: Path) -> dict[str, float]:
    """Score each text without sentence-transformers: the sigmoid of the classifier's one logit."""
    import torch
    from transformers import AutoTokenizer, BertForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    model = BertForSequenceClassification.from_pretrained(str(folder), local_files_only=True).eval()
    found = {}
    for number, text in enumerate(TEXTS):
        with torch.no_grad():
            logit = model(**tokenizer(QUERY, text, return_tensors="pt")).logits[0, 0]
        found[str(number)] = float(torch.sigmoid(logit))
    return found


def test_the_order_and_the_scores_are_the_cross_encoders(folder: Path) -> None:
    expected = scores_by_transformers(folder)
    assert len({round(score, 4) for score in expected.values()}) == len(TEXTS), "the test needs different scores"
    found = build_reranker(folder, candidates=5, limit=5).invoke({"query": QUERY, "passages": passages()})
    assert [d.id for d in found] == sorted(expected, key=lambda id_: -expected[id_])
    assert {str(d.id): d.metadata["score"] for d in found} == pytest.approx(expected, abs=1e-4)
    assert [d.id for d in found] != [str(n) for n in range(5)], "the test needs an order that changes"


def test_passages_behind_the_candidates_keep_their_order_and_their_scores(folder: Path) -> None:
    expected = scores_by_transformers(folder)
    found = build_reranker(folder, candidates=2, limit=5).invoke({"query": QUERY, "passages": passages()})
    assert [d.id for d in found] == [*sorted("01", key=lambda id_: -expected[id_]), "2", "3", "4"]
    assert [d.metadata["score"] for d in found[2:]] == [0.5, 0.5, 0.5]


def test_limit_cuts_after_re_ranking(folder: Path) -> None:
    expected = scores_by_transformers(folder)
    found = build_reranker(folder, candidates=5, limit=1).invoke({"query": QUERY, "passages": passages()})
    assert [d.id for d in found] == [max(expected, key=lambda id_: expected[id_])]


def test_equal_passages_keep_their_order(folder: Path) -> None:
    equal = [Document(id=str(n), page_content=TEXTS[0], metadata={}) for n in range(4)]
    found = build_reranker(folder, candidates=4, limit=4).invoke({"query": QUERY, "passages": equal})
    assert [d.id for d in found] == ["0", "1", "2", "3"]


def test_no_passages_give_no_passages(folder: Path) -> None:
    assert build_reranker(folder, candidates=4, limit=4).invoke({"query": QUERY, "passages": []}) == []


def test_a_folder_that_holds_no_model_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="RAG_RERANKER") as caught:
        build_reranker(tmp_path, candidates=4, limit=4)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_weights_are_a_model_error(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        data = file.read_bytes()
        (tmp_path / file.name).write_bytes(data[:100] if file.suffix == ".safetensors" else data)
    with pytest.raises(ModelError, match="RAG_RERANKER"):
        build_reranker(tmp_path, candidates=4, limit=4)
