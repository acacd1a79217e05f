"""What the search learns from questions: the algebra exact, a gain kept and used, nothing written without one."""

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from chains.queries import Query
from errors import EvaluationError, ModelError
from ingestion import ingest
from loaders.embeddings import EmbedderIdentity, load_embeddings
from loaders.query_adapter import load_query_adapter, save_query_adapter
from pipeline import embedder_identity, open_index
from remembering import key_of
from searching import build_search
from settings import Settings, load_settings
from training.embedder import BATCH, batches, train_embedder, tune
from training.gain import CHUNKS, Judged, compare, interval, score, split
from training.mining import Group, Question
from training.query_adapter import solve, train_query_adapter

THINGS = (
    *("kettle", "lamp", "tractor", "piano", "ladder", "bridge", "compass", "violin", "anchor", "barrel", "clock"),
    *("hammer", "saddle", "mirror", "carpet", "candle", "bucket", "helmet", "basket", "trumpet", "wagon", "statue"),
    *("bench", "fountain", "engine", "suitcase", "umbrella", "blanket", "telescope", "shovel", "whistle", "cradle"),
    *("lantern", "wheel", "drum"),
)


FIRST, SECOND = "rain", "kitchen"  # as the random embedder has them


def vectors(count: int, size: int) -> np.ndarray:
    found = np.random.default_rng(0).normal(size=(count, size))
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), dtype=np.float32)


def test_a_rotation_is_recovered_and_a_strong_pull_leaves_all_as_it_is() -> None:
    queries = vectors(60, 12)
    rotation = np.linalg.qr(vectors(12, 12).astype(np.float64))[0]
    assert solve(queries, queries @ rotation.T, 1e-9) == pytest.approx(rotation, abs=1e-5)
    assert solve(queries, queries @ rotation.T, 1e9) == pytest.approx(np.eye(12), abs=1e-5)


@pytest.mark.parametrize("count", [5, 60])  # fewer questions than dimensions, and more
def test_no_matrix_near_it_is_better(count: int) -> None:
    queries, targets, strength = vectors(count, 12), vectors(count, 12)[::-1], 0.7
    best = solve(queries, targets, strength).astype(np.float64)

    def cost(a: np.ndarray) -> float:
        return float(((queries @ a.T - targets) ** 2).sum() + strength * ((a - np.eye(12)) ** 2).sum())

    draw = np.random.default_rng(1)
    assert all(cost(best) < cost(best + 0.01 * draw.normal(size=(12, 12))) for _ in range(20))


def question(text: str, *documents: str) -> Question:
    return Question(text, frozenset(documents), ())


def test_questions_that_share_a_document_are_not_parted() -> None:
    asked = [question(str(n), f"{n // 2}.md", f"{n // 4}.txt") for n in range(60)]
    parts = split(asked)
    assert sorted(at for part in parts for at in part) == list(range(60))
    where = {at: n for n, part in enumerate(parts) for at in part}
    assert all(where[at] == where[at - at % 4] for at in range(60))
    assert sorted(map(len, parts)) == [12] * 5
    alone = split([question(str(n), "all.pdf") for n in range(10)])
    assert sorted(map(len, alone)) == [2] * 5


def test_scores_are_those_of_the_textbook() -> None:
    judged = [Judged(question(name), frozenset(right)) for name, right in (("a", "pq"), ("b", "p"), ("c", "z"))]
    found = score(lambda text: "xpyq", judged)
    gains = 1 / np.log2([3, 5])
    assert found == pytest.approx(np.array([[gains.sum() / (1 + gains[0]), 0.5], [gains[0], 0.5], [0, 0]]))


def test_only_what_noise_does_not_explain_pays() -> None:
    draw = np.random.default_rng(2)
    before = {"dense": draw.random((200, 2)), "search": draw.random((200, 2))}
    better = {name: scores + 0.05 for name, scores in before.items()}
    noisy = {name: scores + draw.normal(size=scores.shape) * 0.5 for name, scores in before.items()}
    assert compare(before, better)["pays"]
    assert not compare(before, before)["pays"]
    assert not compare(before, noisy)["pays"]
    low, high = interval(np.array([0.0, 1.0] * 50))
    assert (low, high) == pytest.approx((0.4, 0.6), abs=0.011)  # 0.5 ± 1.96 · 0.05


@pytest.fixture(scope="module")
def tiny(embedder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a random BERT of two layers with the packaged tokenizer."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import AutoTokenizer, BertConfig, BertModel

    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(**sizes)).save_pretrained(folder / "bert")
    AutoTokenizer.from_pretrained(str(embedder_folder)).save_pretrained(folder / "bert")
    body = Transformer(str(folder / "bert"), max_seq_length=64)
    SentenceTransformer(modules=[body, Pooling(32)], device="cpu").save(str(folder / "model"), create_model_card=False)
    return folder / "model"


@pytest.fixture(scope="module")
def library(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Index a file on each thing in the kitchen, and one on it in the rain."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "docs").mkdir()
    for thing in THINGS:
        for place in ("kitchen", "rain"):
            text = f"The {thing} stands in the {place}."
            (folder / "docs" / f"{thing}-{place}.md").write_text(text, encoding="utf-8")
    settings = load_settings(store=folder / "store", embedder=str(tiny), encoder="torch", index="exact")
    ingest(settings, [folder / "docs"])
    return settings


def ask_for(place: str, folder: Path) -> Path:
    """Ask where each thing is, and take the one place for right."""
    rows = [json.dumps({"question": f"Where is the {thing}?", "doc_id": f"{thing}-{place}.md"}) for thing in THINGS]
    (folder / "questions.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return folder / "questions.jsonl"


def test_an_adapter_that_pays_is_kept_and_used(library: Settings, tmp_path: Path) -> None:
    questions, target = ask_for(SECOND, tmp_path), tmp_path / "adapter.safetensors"
    report = train_query_adapter(library, questions, target)
    assert report["pays"]
    assert report["search_ndcg@10_after"] > report["search_ndcg@10_before"]
    assert report["search_gain_95"][0] > 0

    def first(settings: Settings) -> str:
        with open_index(settings) as index:
            search = build_search(settings.model_copy(update=CHUNKS), index, limit=1)
            return str(search.invoke([Query("Where is the lamp?")])[0].page_content)

    adapted = library.model_copy(update={"query_adapter": str(target)})
    assert first(library) == f"The lamp stands in the {FIRST}."
    assert first(adapted) == f"The lamp stands in the {SECOND}."
    assert key_of(library, "Which?") != key_of(adapted, "Which?")
    with pytest.raises(EvaluationError, match="there is such a file"):
        train_query_adapter(library, questions, target)


def test_without_a_gain_nothing_is_written(library: Settings, tmp_path: Path) -> None:
    questions = ask_for(FIRST, tmp_path)
    assert not train_query_adapter(library, questions, tmp_path / "adapter.safetensors")["pays"]
    report = train_embedder(library, questions, tmp_path / "model", epochs=1)
    assert (report["pays"], report["held_back"], report["groups"]) == (False, 7, 28)
    assert "folder" not in report
    assert list(tmp_path.iterdir()) == [questions]


def test_an_embedder_that_pays_is_kept(library: Settings, tmp_path: Path) -> None:
    questions = ask_for(SECOND, tmp_path)
    report = train_embedder(library, questions, tmp_path / "model", rank=8, epochs=20)
    assert report["pays"]
    assert embedder_identity(library.model_copy(update={"embedder": report["folder"]})) != embedder_identity(library)
    assert {path.name for path in tmp_path.iterdir()} == {"model", "questions.jsonl"}
    with pytest.raises(EvaluationError, match="something in it"):
        train_embedder(library, questions, tmp_path / "model")


def test_an_adapter_is_refused_for_another_embedder(tmp_path: Path, identity: EmbedderIdentity) -> None:
    path = tmp_path / "a.safetensors"
    save_query_adapter(path, 2 * np.eye(3), identity, {})
    assert load_query_adapter(path, replace(identity, backend="onnx-int8", name="moved"))([0.0, 3.0, 4.0]) == (
        pytest.approx([0.0, 0.6, 0.8])
    )
    for change in ({"weights_sha256": "1" * 64}, {"query_prompt": "query: "}):
        with pytest.raises(ModelError, match=f"another embedder .{next(iter(change))} differs"):
            load_query_adapter(path, replace(identity, **change))
    path.write_bytes(b"no tensors")
    for damaged in (path, tmp_path / "missing.safetensors"):
        with pytest.raises(ModelError, match="not a query adapter"):
            load_query_adapter(damaged, identity)


@pytest.mark.parametrize(("layers", "rank"), [(0, 0), (1, 0), (1, 4)])
def test_only_the_layers_named_are_trained(tiny: Path, tmp_path: Path, layers: int, rank: int) -> None:
    from safetensors.numpy import load_file

    groups = [Group(f"Which {x}?", (f"{x} inside", f"{x} outside"), (0.5, 0.5)) for x in THINGS]
    tune(groups, tiny, tmp_path / "model", layers=layers, rank=rank, epochs=2)
    old, new = (load_file(folder / "model.safetensors") for folder in (tiny, tmp_path / "model"))
    assert old.keys() == new.keys()  # LoRA is merged
    moved = {name for name in old if not np.array_equal(old[name], new[name])}
    assert any("layer.1." in name for name in moved)
    assert any("layer.0." in name for name in moved) == (layers == 0)
    assert not [name for name in moved if "embeddings" in name]
    read = load_embeddings(tmp_path / "model").embed_query("Which lamp?")
    assert np.linalg.norm(read) == pytest.approx(1)


def test_a_step_holds_no_right_passage_of_another_question_as_a_wrong_one() -> None:
    groups = [Group(f"q{n}", (f"p{n % 20}", "w"), (0.5, 0.5)) for n in range(60)]
    steps = batches(groups, random.Random(0))
    assert sorted(g.query for step in steps for g in step) == sorted(g.query for g in groups)
    assert all(len({g.passages[0] for g in step}) == len(step) <= BATCH for step in steps)
