"""Re-ranking by a real, tiny, randomly initialised cross-encoder: its scores decide, and nothing is lost."""

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from langchain_core.documents import Document
from langchain_core.runnables import Runnable

from chains.reranking import Ranked, build_reranker, cross_encoder, readable
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


def build(folder: Path, candidates: int, limit: int) -> Runnable[Ranked, list[Document]]:
    return build_reranker(cross_encoder(folder), candidates=candidates, limit=limit)


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
    found = build(folder, 5, 5).invoke({"query": QUERY, "passages": passages()})
    assert [d.id for d in found] == sorted(expected, key=lambda id_: -expected[id_])
    assert {str(d.id): d.metadata["score"] for d in found} == pytest.approx(expected, abs=1e-4)
    assert [d.id for d in found] != [str(n) for n in range(5)], "the test needs an order that changes"


def test_passages_behind_the_candidates_keep_their_order_and_stay_below(folder: Path) -> None:
    expected = scores_by_transformers(folder)
    found = build(folder, 2, 5).invoke({"query": QUERY, "passages": passages()})
    assert [d.id for d in found] == [*sorted("01", key=lambda id_: -expected[id_]), "2", "3", "4"]
    below = min(0.5, *(expected[id_] for id_ in "01"))
    assert [d.metadata["score"] for d in found[2:]] == pytest.approx([below] * 3, abs=1e-4)
    assert [d.metadata["fused"] for d in found] == [0.5] * 5


def test_limit_cuts_after_re_ranking(folder: Path) -> None:
    expected = scores_by_transformers(folder)
    found = build(folder, 5, 1).invoke({"query": QUERY, "passages": passages()})
    assert [d.id for d in found] == [max(expected, key=lambda id_: expected[id_])]


def test_equal_passages_keep_their_order(folder: Path) -> None:
    equal = [Document(id=str(n), page_content=TEXTS[0], metadata={"score": 0.5}) for n in range(4)]
    found = build(folder, 4, 4).invoke({"query": QUERY, "passages": equal})
    assert [d.id for d in found] == ["0", "1", "2", "3"]


def test_the_order_of_the_search_stands_when_the_time_does_not_do() -> None:
    asked: list[int] = []

    def slow(query: str, found: Sequence[Document]) -> list[float]:
        asked.append(len(found))
        time.sleep(0.03)
        return [float(passage.id or 0) for passage in found]

    ranked: Ranked = {"query": QUERY, "passages": passages()}
    found = build_reranker(slow, candidates=5, limit=4, batch=1, budget_ms=70).invoke(ranked)
    assert [(d.id, d.metadata) for d in found] == [(str(n), {"score": 0.5}) for n in range(4)]
    assert 1 <= len(asked) <= 2, "it must not begin what would end too late"
    asked.clear()
    found = build_reranker(slow, candidates=5, limit=4, batch=2, budget_ms=10_000).invoke(ranked)
    assert [d.id for d in found] == ["4", "3", "2", "1"]
    assert asked == [2, 2, 1]


def test_a_model_may_ask_for_a_part_of_the_score_of_the_search(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "model"))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"search_weight": 4.0}))
    expected = {id_: score + 4.0 * 0.5 for id_, score in scores_by_transformers(folder).items()}
    found = build(copy, 5, 5).invoke({"query": QUERY, "passages": passages()})
    assert {str(d.id): d.metadata["score"] for d in found} == pytest.approx(expected, abs=1e-4)
    assert {d.metadata["fused"] for d in found} == {0.5}


@pytest.mark.parametrize(
    ("section", "text", "expected"),
    [
        ("Fees", "Twelve euros.", "Fees\nTwelve euros."),
        ("Prices > Fees", "## Fees\n\nTwelve euros.", "## Fees\n\nTwelve euros."),
        ("", "Twelve euros.", "Twelve euros."),
    ],
)
def test_a_passage_is_read_under_its_headings(section: str, text: str, expected: str) -> None:
    assert readable(Document(page_content=text, metadata={"section": section})) == expected


def test_no_passages_give_no_passages(folder: Path) -> None:
    assert build(folder, 4, 4).invoke({"query": QUERY, "passages": []}) == []


def test_a_folder_that_holds_no_model_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="RAG_RERANKER") as caught:
        cross_encoder(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_weights_are_a_model_error(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        data = file.read_bytes()
        (tmp_path / file.name).write_bytes(data[:100] if file.suffix == ".safetensors" else data)
    with pytest.raises(ModelError, match="RAG_RERANKER"):
        cross_encoder(tmp_path)
