"""The int8 ONNX form of the real embedder: how near it is to the original, what it promises, what it refuses."""

import json
import random
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings

from errors import ModelError
from loaders import onnx_export
from loaders.onnx_encoder import OnnxEmbeddings, is_intact, load_onnx_embeddings, supported
from loaders.onnx_export import export_onnx

ROOT = Path(__file__).parent.parent
LONG = "The heat shield of the capsule is made of a resin that chars and carries the heat away. " * 40
TEXTS = [
    "Paris is the capital of France.",
    "France's government sits in Paris.",
    "A heat shield protects the capsule when it enters the atmosphere.",
    "Re-entry vehicles need thermal protection.",
    "Chop the onions and fry them in butter until golden.",
    "A recipe for onion soup with cheese.",
    "The central bank raised its interest rate by half a point.",
    "Mortgages become dearer when interest rates rise.",
    "Python's garbage collector counts references.",
    "Memory that no variable refers to is freed.",
    "Der Zug nach Berlin fährt um acht Uhr ab.",
    "La bibliothèque est fermée le dimanche.",
    "東京は日本の首都です。",
    "机器学习模型需要大量的数据。",
    "x = [i ** 2 for i in range(10)]",
    "Total: 1,249.00 EUR, due 31 March 2025",
    "hello",
    "two\nlines\n\nand a blank one",
    LONG,
    LONG[:600],
]


@pytest.fixture(scope="session")
def original(embedder_folder: Path) -> Embeddings:
    from langchain_huggingface import HuggingFaceEmbeddings

    return HuggingFaceEmbeddings(
        model_name=str(embedder_folder),
        model_kwargs={"local_files_only": True, "device": "cpu"},
        encode_kwargs={"normalize_embeddings": True},
    )


@pytest.fixture(scope="session")
def ours(embedder_folder: Path, encoder: Path) -> OnnxEmbeddings:
    return OnnxEmbeddings(embedder_folder, encoder)


@pytest.fixture
def folder(embedder_folder: Path, tmp_path: Path) -> Path:
    """A copy whose configuration a test may change; the weights are a link."""
    ignored = shutil.ignore_patterns("*.safetensors")
    copy = Path(shutil.copytree(embedder_folder, tmp_path / "model", ignore=ignored))
    (copy / "model.safetensors").symlink_to(embedder_folder / "model.safetensors")
    return copy


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_vectors_are_near_the_originals(original: Embeddings, ours: OnnxEmbeddings) -> None:
    wanted, got = np.array(original.embed_documents(TEXTS)), np.array(ours.embed_documents(TEXTS))
    assert got.shape == wanted.shape
    assert np.allclose(np.linalg.norm(got, axis=1), 1, atol=1e-5)
    cosines = (wanted * got).sum(axis=1)
    assert cosines.mean() > 0.99
    assert cosines.min() > 0.97


def test_neighbours_stay_the_same(original: Embeddings, ours: OnnxEmbeddings) -> None:
    words = (
        "wing",
        "boundary layer",
        "shock wave",
        "heat transfer",
        "plate",
        "flutter",
        "jet",
        "nozzle",
        "drag",
        "shell",
    )
    draw = random.Random(7)
    passages = [f"A study of the {' and the '.join(draw.sample(words, 3))} at Mach {n}." for n in range(120)]
    queries = [f"What is known of the {word}?" for word in words]
    tops = []
    for embeddings in (original, ours):
        held = np.array(embeddings.embed_documents(passages))
        asked = np.array([embeddings.embed_query(query) for query in queries])
        tops.append(np.argsort(-asked @ held.T, axis=1)[:, :10])
    overlap = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(*tops, strict=True)])
    assert overlap >= 0.8


def test_a_vector_does_not_depend_on_its_neighbours(ours: OnnxEmbeddings) -> None:
    order = random.Random(3).sample(range(len(TEXTS)), len(TEXTS))
    shuffled = ours.embed_documents([TEXTS[at] for at in order])
    assert shuffled == [ours.embed_documents([TEXTS[at]])[0] for at in order]
    assert shuffled[0] == ours.embed_query(TEXTS[order[0]])


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_changes_nothing(
    embedder_folder: Path, encoder: Path, ours: OnnxEmbeddings, threads: int
) -> None:
    threaded = OnnxEmbeddings(embedder_folder, encoder, threads=threads)
    assert threaded.embed_documents(TEXTS) == ours.embed_documents(TEXTS)


def test_callers_may_share_it(ours: OnnxEmbeddings) -> None:
    wanted = ours.embed_documents(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        assert all(got == wanted for got in pool.map(ours.embed_documents, [TEXTS] * 8))


def test_no_text_and_empty_text(original: Embeddings, ours: OnnxEmbeddings) -> None:
    assert ours.embed_documents([]) == []
    for text in ("", " \n\t"):
        vector = ours.embed_query(text)
        assert all(isinstance(number, float) for number in vector)
        assert np.dot(vector, original.embed_query(text)) > 0.98


def test_what_the_model_does_not_read_changes_nothing(ours: OnnxEmbeddings) -> None:
    assert ours.embed_query(LONG) == ours.embed_query(LONG + "Onion soup.")


def test_prompts_go_before_the_text(embedder_folder: Path, encoder: Path, ours: OnnxEmbeddings) -> None:
    prompted = OnnxEmbeddings(embedder_folder, encoder, query_prompt="query: ", passage_prompt="passage: ")
    assert prompted.embed_query("onions") == ours.embed_query("query: onions")
    assert prompted.embed_documents(["onions"]) == ours.embed_documents(["passage: onions"])


def test_cls_pooling_takes_the_first_token(folder: Path, encoder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    (folder / "1_Pooling/config.json").write_text('{"embedding_dimension": 384, "pooling_mode": "cls"}')
    assert supported(folder)
    wanted = SentenceTransformer(str(folder), device="cpu").encode(TEXTS[:6], normalize_embeddings=True)
    got = np.array(OnnxEmbeddings(folder, encoder).embed_documents(TEXTS[:6]))
    assert (got * wanted).sum(axis=1).mean() > 0.98


def test_export_leaves_one_whole_valid_file(encoder: Path) -> None:
    import onnx

    assert [path.name for path in encoder.parent.iterdir()] == [encoder.name]
    assert is_intact(encoder)
    onnx.checker.check_model(str(encoder))
    assert encoder.stat().st_size < 30_000_000


@pytest.mark.parametrize("harm", ["flipped bit", "cut off", "empty", "missing", "something else"])
def test_a_damaged_cache_is_exported_again(
    embedder_folder: Path, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    cache, data = tmp_path / "encoder.onnx", encoder.read_bytes()
    harmed = {"cut off": data[:-1], "empty": b"", "something else": b"not a graph"}.get(harm)
    if harm == "flipped bit":
        harmed = data[:9_000_000] + bytes([data[9_000_000] ^ 1]) + data[9_000_001:]
    if harmed is not None:
        cache.write_bytes(harmed)
    assert not is_intact(cache)
    exports = []
    monkeypatch.setattr(onnx_export, "export_onnx", lambda _, to: (exports.append(to), to.write_bytes(data)))
    wanted = load_onnx_embeddings(embedder_folder, cache).embed_query("hello")
    assert exports == [cache]
    assert load_onnx_embeddings(embedder_folder, cache).embed_query("hello") == wanted
    assert exports == [cache], "an intact cache is not exported again"


def test_export_with_too_different_vectors_is_refused(
    embedder_folder: Path, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def quantise(plain: Path, draft: Path, *, reduce_range: bool) -> None:
        tries.append(reduce_range)
        shutil.copy(encoder, draft)

    monkeypatch.setattr(onnx_export, "LEAST_COSINE", 0.9999)
    monkeypatch.setattr(onnx_export, "trace", lambda model, plain: None)
    monkeypatch.setattr(onnx_export, "quantise", quantise)
    with pytest.raises(ModelError, match=r"cosine 0\.99\d+.*RAG_ENCODER=torch"):
        export_onnx(embedder_folder, tmp_path / "encoder.onnx")
    assert tries == [False, True]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("config.json", {"model_type": "qwen3"}),
        ("config.json", {"auto_map": {"AutoModel": "modeling.Custom"}}),
        ("1_Pooling/config.json", {"pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": True}),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}),
        ("1_Pooling/config.json", {"pooling_mode": "lasttoken"}),
        ("1_Pooling/config.json", {"include_prompt": False}),
        ("config_sentence_transformers.json", {"default_prompt_name": "query"}),
        ("sentence_bert_config.json", {"do_lower_case": True}),
    ],
)
def test_other_models_are_not_supported(folder: Path, tmp_path: Path, file: str, values: dict[str, object]) -> None:
    assert supported(folder)
    change(folder / file, **values)
    assert not supported(folder)
    with pytest.raises(ModelError, match="RAG_ENCODER=torch"):
        export_onnx(folder, tmp_path / "encoder.onnx")


@pytest.mark.parametrize("file", ["model.safetensors", "modules.json", "tokenizer.json", "1_Pooling/config.json"])
def test_an_incomplete_folder_is_not_supported(folder: Path, file: str) -> None:
    (folder / file).unlink()
    assert not supported(folder)


def test_modules_of_other_packages_are_not_supported(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["type"] = "custom_code.Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    assert not supported(folder)


def test_a_query_needs_no_torch(embedder_folder: Path, encoder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from loaders.onnx_encoder import load_onnx_embeddings;"
        f"load_onnx_embeddings(Path({str(embedder_folder)!r}), Path({str(encoder)!r})).embed_query('hello');"
        "assert not {'torch', 'transformers', 'sentence_transformers', 'onnx'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
