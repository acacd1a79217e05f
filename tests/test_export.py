"""Export: what transformers and peft compute after a training, llama.cpp computes from the file that is written."""

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import gguf
import llama_cpp
import numpy as np
import peft
import pytest
import torch

import main
from errors import ModelError
from hashes import file_sha256
from inference.adapters import BASE, attach_adapter
from settings import load_settings
from training.base import load_base
from training.export import export_adapter, locate_base, merge

# peft 0.21 asks transformers 5.23 by a name that goes in its version 6
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LAYERS, HIDDEN, HEADS, KV_HEADS, SIZE, WIDE = 2, 48, 4, 2, 16, 64  # a head's size is no hidden / heads
TOKENS = [7, 3, 12, 30, 4, 4, 25, 9, 18, 1, 33, 16]
BASES = {"tied": ("llama", True), "untied": ("llama", False), "qwen2": ("qwen2", True)}
CLOSE = 1e-5  # of logits up to about 5, all in float32
Logits = np.ndarray[Any, np.dtype[np.float32]]


def write_base(path: Path, architecture: str, *, tied: bool) -> Path:
    """Write a random model; its rows of Q and K are in any order, so that it is whoever reads them that has to agree."""
    random, writer = np.random.default_rng(0), gguf.GGUFWriter(path, architecture)
    size = SIZE if architecture == "llama" else HIDDEN // HEADS
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name("Tiny")
    writer.add_block_count(LAYERS)
    writer.add_context_length(256)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(WIDE)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_rope_dimension_count(size)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    letters = [chr(letter) for letter in range(ord("A"), ord("A") + 33)]
    writer.add_token_list([*letters, "AB", "<end>"])
    writer.add_token_types([gguf.TokenType.NORMAL] * 34 + [gguf.TokenType.USER_DEFINED])
    writer.add_token_merges(["A B"])
    writer.add_bos_token_id(34)
    writer.add_eos_token_id(34)
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (35, HIDDEN), "output_norm.weight": (HIDDEN,)}
    shapes |= {} if tied else {"output.weight": (35, HIDDEN)}
    for n in range(LAYERS):
        block: dict[str, tuple[int, ...]] = {"attn_norm": (HIDDEN,), "ffn_norm": (HIDDEN,)}
        block |= {"attn_q": (HEADS * size, HIDDEN), "attn_k": (KV_HEADS * size, HIDDEN)}
        block |= {"attn_v": (KV_HEADS * size, HIDDEN), "attn_output": (HIDDEN, HEADS * size)}
        block |= {"ffn_gate": (WIDE, HIDDEN), "ffn_up": (WIDE, HIDDEN), "ffn_down": (HIDDEN, WIDE)}
        shapes |= {f"blk.{n}.{name}.weight": shape for name, shape in block.items()}
        if architecture == "qwen2":
            shapes |= {f"blk.{n}.{name}.bias": block[name][:1] for name in ("attn_q", "attn_k", "attn_v")}
    for name, shape in shapes.items():
        numbers = random.normal(1 if name.endswith("norm.weight") else 0, 0.2, shape)
        writer.add_tensor(name, numbers.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    return {name: write_base(folder / f"{name}.gguf", kind, tied=tied) for name, (kind, tied) in BASES.items()}


@pytest.fixture(params=BASES)
def base(request: pytest.FixtureRequest, bases: dict[str, Path]) -> Path:
    return bases[request.param]


def train(base: Path, folder: Path, config: peft.PeftConfig | None, **notes: Any) -> Logits:
    """Save what a training could have left, all trained weights random; return the logits that transformers has."""
    model = load_base(load_settings(model=str(base))).model.eval()
    torch.manual_seed(1)
    if config:
        model = peft.get_peft_model(model, config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
        logits: Logits = model(torch.tensor([TOKENS])).logits[0].numpy()
    model.save_pretrained(folder, **{"save_embedding_layers": False} if config else {})  # peft would ask the hub
    notes = {"base": str(base), "base_sha256": file_sha256(base)} | notes
    (folder / "training.json").write_text(json.dumps(notes))
    return logits


def run(weights: Path, adapter: Path | None = None, scale: float = 1.0) -> Logits:
    """Return the logits that llama.cpp has, nothing of it in less than float32."""
    exact: Any = {"type_k": llama_cpp.GGML_TYPE_F32, "type_v": llama_cpp.GGML_TYPE_F32, "flash_attn": False}
    with closing(llama_cpp.Llama(str(weights), n_ctx=64, logits_all=True, verbose=False, **exact)) as llama:
        if adapter:
            attach_adapter(llama, adapter, scale)
        llama.eval(TOKENS)
        logits: Logits = llama.scores[: len(TOKENS)].copy()
        return logits


def apart(some: Logits, others: Logits) -> float:
    return float(np.abs(some - others).max())


def lora(**changed: Any) -> peft.LoraConfig:
    return peft.LoraConfig(**{"r": 3, "lora_alpha": 7, "target_modules": LINEAR, "task_type": "CAUSAL_LM"} | changed)


@pytest.mark.parametrize("rslora", [False, True])
def test_an_adapter_computes_in_llama_cpp_what_it_does_in_peft(base: Path, tmp_path: Path, rslora: bool) -> None:
    wanted = train(base, tmp_path / "lora", lora(use_rslora=rslora))
    adapter, merged = tmp_path / "adapter.gguf", tmp_path / "merged.gguf"
    export_adapter(tmp_path / "lora", adapter, base, kind="f32")
    merge(tmp_path / "lora", merged, base, kind="f32")
    plain = run(base)
    assert apart(plain, wanted) > 1
    found = {"adapter": apart(run(base, adapter), wanted), "merged": apart(run(merged), wanted)}
    print(found)
    assert max(found.values()) < CLOSE
    assert np.array_equal(run(base, adapter, scale=0), plain)
