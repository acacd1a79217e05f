"""Export: what transformers and peft compute after a training, llama.cpp computes from the file that is written."""

import json
import math
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import gguf
import llama_cpp
import numpy as np
import peft
import pytest
import torch
from gguf_files import write_header
from safetensors.torch import load_file, save_file

import main
from errors import ModelError
from hashes import file_sha256
from inference.adapters import BASE, attach_adapter
from inference.gguf_header import read_header
from settings import load_settings
from training.base import load_base
from training.export import export_adapter, locate_base, merge

# peft 0.21 asks transformers 5.23 by a name that goes in its version 6
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LAYERS, HIDDEN, HEADS, KV_HEADS, WIDE = 2, 48, 4, 2, 64
SIZES = {"llama": 16, "qwen2": HIDDEN // HEADS, "qwen3": 128}  # of a head; transformers 5.23 reads llama's alone
TOKENS = [7, 3, 12, 30, 4, 4, 25, 9, 18, 1, 33, 16]
BASES = {"tied": ("llama", True), "untied": ("llama", False), "qwen2": ("qwen2", True), "qwen3": ("qwen3", False)}
CLOSE = 1e-5  # of logits up to about 5, all in float32
Logits = np.ndarray[Any, np.dtype[np.float32]]


def write_base(path: Path, architecture: str, *, tied: bool) -> Path:
    """Write a random model: the rows of Q and K have no order, so that two who read them have to agree on one."""
    random, writer = np.random.default_rng(0), gguf.GGUFWriter(path, architecture)
    size = SIZES[architecture]
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
        if architecture == "qwen3":
            shapes |= {f"blk.{n}.{name}_norm.weight": (size,) for name in ("attn_q", "attn_k")}
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
    options: Any = {"r": 3, "lora_alpha": 7, "target_modules": LINEAR, "task_type": "CAUSAL_LM"} | changed
    return peft.LoraConfig(**options)


def export(folder: Path, base: Path) -> Path:
    """Export an adapter and merged weights in float32; return the merged file, which lies beside adapter.gguf."""
    export_adapter(folder, folder / "adapter.gguf", base, kind="f32")
    merge(folder, folder / "merged.gguf", base, kind="f32")
    return folder / "merged.gguf"


@pytest.fixture(scope="module")
def finished(bases: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Logits]:
    """Return the folder of a LoRA of the base `tied`, with its notes, and its logits."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, train(bases["tied"], folder, lora(), name="Tiny of us", licence="cc-by-sa-4.0")


@pytest.mark.parametrize("name", BASES)
def test_a_lora_computes_in_llama_cpp_what_it_does_in_peft(bases: dict[str, Path], tmp_path: Path, name: str) -> None:
    base, folder = bases[name], tmp_path / "lora"
    wanted, plain = train(base, folder, lora(use_rslora=name == "untied")), run(base)
    merged = export(folder, base)
    found = {"adapter": apart(run(base, folder / "adapter.gguf"), wanted), "merged": apart(run(merged), wanted)}
    assert max(found.values()) < CLOSE, found
    assert apart(plain, wanted) > 1
    assert np.array_equal(run(base, folder / "adapter.gguf", scale=0), plain)


@pytest.mark.parametrize("name", BASES)
def test_full_fine_tuning_computes_the_same_in_llama_cpp(bases: dict[str, Path], tmp_path: Path, name: str) -> None:
    wanted = train(bases[name], tmp_path / "full", None)
    merge(tmp_path / "full", tmp_path / "merged.gguf", bases[name], kind="f32")
    assert (found := apart(run(tmp_path / "merged.gguf"), wanted)) < CLOSE, found
    with pytest.raises(ModelError, match="no LoRA"):
        export_adapter(tmp_path / "full", tmp_path / "adapter.gguf", bases[name])


@pytest.mark.parametrize("name", ["untied", "qwen2"])  # the second scales biases too
def test_scaled_activations_are_merged(bases: dict[str, Path], tmp_path: Path, name: str) -> None:
    scaled = ["q_proj", "k_proj", "v_proj", "down_proj"]
    config = peft.IA3Config(task_type="CAUSAL_LM", target_modules=scaled, feedforward_modules=["down_proj"])
    wanted = train(bases[name], tmp_path / "ia3", config)
    merge(tmp_path / "ia3", tmp_path / "merged.gguf", bases[name], kind="f32")
    assert (found := apart(run(tmp_path / "merged.gguf"), wanted)) < CLOSE, found


def test_smaller_types_come_close(bases: dict[str, Path], finished: tuple[Path, Logits], tmp_path: Path) -> None:
    folder, wanted = finished
    export_adapter(folder, tmp_path / "adapter.gguf", bases["tied"])
    found = {"adapter": apart(run(bases["tied"], tmp_path / "adapter.gguf"), wanted)}
    for kind in ("f16", "q8_0"):
        merge(folder, tmp_path / f"{kind}.gguf", bases["tied"], kind=kind)
        found[kind] = apart(run(tmp_path / f"{kind}.gguf"), wanted)
    assert max(found["adapter"], found["f16"]) < 0.01 and found["q8_0"] < 0.1, found
    types = {tensor.name: tensor.type for tensor in read_header(tmp_path / "q8_0.gguf").tensors}
    # the second's rows of 48 are no whole blocks
    assert [types[f"blk.0.{name}.weight"] for name in ("ffn_down", "attn_q", "attn_norm")] == ["Q8_0", "F16", "F32"]


def test_a_file_says_what_it_is_and_equal_input_makes_equal_bytes(
    bases: dict[str, Path], finished: tuple[Path, Logits], tmp_path: Path
) -> None:
    for name in ("one", "two"):
        export_adapter(finished[0], tmp_path / f"{name}.gguf", bases["tied"])
        merge(finished[0], tmp_path / f"merged-{name}.gguf", bases["tied"])
    for name in ("", "merged-"):
        assert file_sha256(tmp_path / f"{name}one.gguf") == file_sha256(tmp_path / f"{name}two.gguf")
    adapter, merged, base = (
        {key: field.contents() for key, field in gguf.GGUFReader(path).fields.items()}
        for path in (tmp_path / "one.gguf", tmp_path / "merged-one.gguf", bases["tied"])
    )
    told = {"general.name": "Tiny of us", "general.license": "cc-by-sa-4.0"}
    assert adapter["general.type"] == "adapter" and adapter["adapter.lora.alpha"] == 7
    assert adapter[BASE] == file_sha256(bases["tied"])
    assert {key: adapter[key] for key in told} == told
    written = {"general.file_type": gguf.LlamaFileType.MOSTLY_F16, "GGUF.kv_count": base["GGUF.kv_count"] + 1}
    assert merged == base | told | written


def test_the_command_prints_the_settings_that_use_the_file(
    finished: tuple[Path, Logits], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter, merged = tmp_path / "adapter.gguf", tmp_path / "merged.gguf"
    given = ["finetune", "export", str(finished[0])]
    assert main.main([*given, str(adapter)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-2:] == [f"RAG_ADAPTER={adapter}", f"RAG_ADAPTER_SHA256={file_sha256(adapter)}"]
    assert main.main([*given, str(merged), "--merge", "--type", "q8_0", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["bytes"] == merged.stat().st_size
    assert report["env"] == [f"RAG_MODEL={merged}", f"RAG_MODEL_SHA256={file_sha256(merged)}"]
    for options, word in (([str(adapter)], "there already"), (["a.gguf", "--type", "q8_0"], "goes with --merge")):
        assert main.main([*given, *options]) == 1
        assert word in capsys.readouterr().err


def spoil(folder: Path, name: str, **changed: Any) -> None:
    found = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(found | changed))


def fill(folder: Path, name: str, number: float) -> None:
    tensors = load_file(folder / "adapter_model.safetensors")
    key = next(key for key in tensors if name in key)
    save_file(tensors | {key: torch.full_like(tensors[key], number)}, folder / "adapter_model.safetensors")


def rename(folder: Path, old: str, new: str) -> None:
    tensors = load_file(folder / "adapter_model.safetensors")
    renamed = {key.replace(old, new): tensor for key, tensor in tensors.items()}
    save_file(renamed, folder / "adapter_model.safetensors")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: shutil.rmtree(folder), "names no GGUF file"),
        (lambda folder: (folder / "training.json").unlink(), "--base"),
        (lambda folder: spoil(folder, "training.json", base="no.gguf"), "no such model file"),
        (lambda folder: spoil(folder, "training.json", base_sha256="0" * 64), "not 000"),
        (lambda folder: (folder / "adapter_config.json").unlink(), "neither adapter_config.json"),
        (lambda folder: spoil(folder, "adapter_config.json", peft_type="PREFIX_TUNING"), "prefix_tuning learns has no"),
        (lambda folder: spoil(folder, "adapter_config.json", rank_pattern={"q_proj": 2}), "rank_pattern"),
        (lambda folder: spoil(folder, "adapter_config.json", init_lora_weights="pissa"), "init_lora_weights=pissa"),
        (lambda folder: spoil(folder, "adapter_config.json", lora_alpha=0), "lora_alpha=0"),
        (lambda folder: spoil(folder, "adapter_config.json", r=4), "other shapes"),
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), "no adapter_model.safetensors"),
        (lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"no"), "read as safetensors"),
        (lambda folder: fill(folder, "lora_B", math.nan), "what is no number"),
        (lambda folder: rename(folder, "layers.1", "layers.7"), "layers.7.*which the base does not have"),
        (lambda folder: rename(folder, "lora_A", "lora_magnitude_vector"), "lora_magnitude_vector.weight has no place"),
        (lambda folder: rename(folder, "q_proj", "o_proj"), "other shapes"),
    ],
)
def test_what_llama_cpp_could_not_run_is_refused(
    finished: tuple[Path, Logits], tmp_path: Path, damage: Callable[[Path], Any], reason: str
) -> None:
    folder, target = tmp_path / "lora", tmp_path / "out" / "adapter.gguf"
    shutil.copytree(finished[0], folder)
    damage(folder)
    with pytest.raises(ModelError, match=reason):
        export_adapter(folder, target, locate_base(load_settings(), folder))
    assert not target.parent.exists() or not list(target.parent.iterdir())


def test_another_base_and_part_of_the_weights_are_refused(bases: dict[str, Path], tmp_path: Path) -> None:
    train(bases["untied"], tmp_path / "full", None)
    with pytest.raises(ModelError, match=r"lm_head\.weight, which the base does not have"):
        merge(tmp_path / "full", tmp_path / "merged.gguf", bases["tied"])
    path = tmp_path / "full" / "model.safetensors"
    save_file({key: tensor for key, tensor in load_file(path).items() if "layers.0" in key}, path)
    with pytest.raises(ModelError, match="it lacks blk"):
        merge(tmp_path / "full", tmp_path / "merged.gguf", bases["untied"])
    unknown = write_header(tmp_path / "unknown.gguf", "gemma-3-4b")
    with pytest.raises(ModelError, match="how gemma3 lies in GGUF is not known"):
        merge(tmp_path / "full", tmp_path / "merged.gguf", unknown)
    assert not (tmp_path / "merged.gguf").exists()
