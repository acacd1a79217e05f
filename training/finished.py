"""A finished training's folder and its base's header come in; what it makes of the base's tensors goes out.

Names and order of rows are those of GGUF, as llama.cpp's own conversion has them (conversion/llama.py,
convert_lora_to_gguf.py).
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from errors import ModelError
from hashes import read_json
from inference.gguf_header import Header

Array = np.ndarray[Any, np.dtype[Any]]
Change = Callable[[Array], Array]  # a tensor of the base → what it is after the training, both float32

# architecture → whether the halves of a head that rotate together lie side by side in GGUF, apart in transformers
PAIRED = {"llama": True, "qwen2": False, "qwen3": False}
ROTATED = re.compile(r"blk\.(\d+)\.attn_([qk])\.")
PEFT = re.compile(r"base_model\.model\.(.+)\.(lora_A|lora_B|ia3_l)(?:\.weight)?")
# what peft 0.21 does without a trace in the tensors, and what it does to the base's weights before it trains
UNTOLD = ("rank_pattern", "alpha_pattern", "layer_replication", "alora_invocation_tokens", "fan_in_fan_out")
AS_THEY_WERE = (None, True, False, "gaussian", "orthogonal", "eva")
COMPUTED = "rope_freqs.weight"  # the converter's, from the configuration
REMEDY = "Name a folder that LoRA, (IA)3 or full fine-tuning wrote, and its own base"


@dataclass(frozen=True)
class LowRank:
    """A LoRA: W + alpha/rank · B A for each of the base's tensors that it names; A has rank × inputs, float32."""

    alpha: float
    pairs: dict[str, tuple[Array, Array]]


def method(folder: Path) -> str:
    """Return how the folder's weights were trained: lora, ia3 or full; raise ModelError for all else."""
    if (folder / "adapter_config.json").is_file():
        kind = str(read_json(folder / "adapter_config.json").get("peft_type", "")).lower()
        if kind in ("lora", "ia3"):
            return kind
        raise ModelError(folder, f"what {kind or 'a damaged adapter_config.json'} learns has no place in GGUF", REMEDY)
    if any(folder.glob("model*.safetensors")):
        return "full"
    raise ModelError(folder, "neither adapter_config.json nor model.safetensors is there", REMEDY)


def read_lora(folder: Path, header: Header) -> LowRank:
    """Read the adapter that peft saved; raise ModelError where it is not the base's or is more than W + s · B A."""
    config = read_json(folder / "adapter_config.json")
    rank, alpha, found = config.get("r", 0), config.get("lora_alpha", 0), _parts(folder, header)
    odd = [name for name in UNTOLD if config.get(name)]
    if config.get("init_lora_weights") not in AS_THEY_WERE:
        odd.append(f"init_lora_weights={config['init_lora_weights']}")
    if not isinstance(rank, int) or not isinstance(alpha, int | float) or not 0 < alpha < math.inf:
        odd.append(f"r={rank} with lora_alpha={alpha}")
    if odd:
        raise ModelError(folder, f"a LoRA with {', '.join(odd)} can't be told to llama.cpp", REMEDY)
    shapes, pairs = _shapes(header), {}
    for name, parts in found.items():
        a, b = parts.get("lora_A", np.zeros((0, 0))), parts.get("lora_B", np.zeros((0, 0)))
        if (len(b), *a.T.shape[:1]) != shapes[name] or not len(a) == b.shape[-1] == rank:
            raise ModelError(folder, f"its {name} has other shapes than the base's", REMEDY)
        pairs[name] = a, ordered(b, name, header)
    # llama.cpp divides by the rank, always (llama_adapter_lora_weight::get_scale)
    return LowRank(alpha * math.sqrt(rank) if config.get("use_rslora") else float(alpha), pairs)


def read_changes(folder: Path, header: Header) -> dict[str, Change]:
    """Return what becomes of the base's tensors, by their names; those that stay as they are have none."""
    return {"lora": _added, "ia3": _scaled, "full": _replaced}[method(folder)](folder, header)


def ordered(rows: Array, name: str, header: Header) -> Array:
    """Put the rows of transformers' Q and K, and what is by row, into the order that GGUF has for the architecture."""
    rotated = ROTATED.match(name)
    if not rotated or not PAIRED[header.architecture]:
        return rows
    heads = header.heads if rotated[2] == "q" else header.kv_heads[int(rotated[1])]
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def _added(folder: Path, header: Header) -> dict[str, Change]:
    lora = read_lora(folder, header)

    def add(a: Array, b: Array, weights: Array) -> Array:
        return weights + np.float32(lora.alpha / len(a)) * (b @ a)

    return {name: partial(add, a, b) for name, (a, b) in lora.pairs.items()}


def _scaled(folder: Path, header: Header) -> dict[str, Change]:
    """Liu et al. 2022 (arXiv 2205.05638): what goes into a feed-forward's matrix is scaled, else what comes out."""
    shapes, changes = _shapes(header), dict[str, Change]()
    for name, parts in _parts(folder, header).items():
        vector = parts.get("ia3_l", np.zeros((0, 0)))
        if vector.shape not in ((shapes[name][0], 1), (1, *shapes[name][1:])):
            raise ModelError(folder, f"its {name} has other shapes than the base's", REMEDY)
        by_row = ordered(vector, name, header) if vector.shape[1] == 1 else vector
        changes[name] = partial(np.multiply, by_row)
        bias = name.removesuffix("weight") + "bias"
        if bias in shapes and vector.shape[1] == 1:
            changes[bias] = partial(np.multiply, by_row[:, 0])
    return changes


def _replaced(folder: Path, header: Header) -> dict[str, Change]:
    named, shapes, changes = _naming(folder, header), _shapes(header), dict[str, Change]()

    def replace(key: str, name: str, path: Path, _: Array) -> Array:
        found = _load(path, key)
        if found.shape != shapes[name]:
            raise ModelError(folder, f"its {key} has other shapes than the base's", REMEDY)
        return ordered(found, name, header)

    for key, path in _stored(folder, "model*.safetensors").items():
        name = named(key)
        changes[name] = partial(replace, key, name, path)
    if missing := sorted(shapes.keys() - changes.keys() - {COMPUTED}):
        raise ModelError(folder, f"it lacks {missing[0]}, which the base has", REMEDY)
    return changes


def _parts(folder: Path, header: Header) -> dict[str, dict[str, Array]]:
    """Return what peft saved: the tensor that it belongs to → its part of the method → numbers."""
    named, parts = _naming(folder, header), dict[str, dict[str, Array]]()
    for key, path in sorted(_stored(folder, "adapter_model.safetensors").items()):
        if not (match := PEFT.fullmatch(key)):
            raise ModelError(folder, f"what it learnt as {key} has no place in GGUF", REMEDY)
        parts.setdefault(named(f"{match[1]}.weight"), {})[match[2]] = _load(path, key)
    if not parts:
        raise ModelError(folder, "there is no adapter_model.safetensors with numbers in it", REMEDY)
    return parts


def _naming(folder: Path, header: Header) -> Callable[[str], str]:
    """Return the function from a parameter's name in transformers to that of the base's tensor."""
    import gguf

    if header.architecture not in PAIRED:
        reason = f"how {header.architecture} lies in GGUF is not known here, but {', '.join(PAIRED)}"
        raise ModelError(folder, reason, REMEDY)
    known, shapes = {name: number for number, name in gguf.MODEL_ARCH_NAMES.items()}, _shapes(header)
    names = gguf.get_tensor_name_map(known[header.architecture], header.layers)

    def named(parameter: str) -> str:
        name = names.get_name(parameter, try_suffixes=(".weight", ".bias"))
        if name not in shapes:
            raise ModelError(folder, f"it changes {parameter}, which the base does not have", REMEDY)
        return name

    return named


def _shapes(header: Header) -> dict[str, tuple[int, ...]]:
    """Return the shapes as numpy has them: a matrix's outputs first."""
    return {tensor.name: tensor.shape[::-1] for tensor in header.tensors}


def _stored(folder: Path, pattern: str) -> dict[str, Path]:
    """Return which file holds each tensor."""
    from safetensors import SafetensorError, safe_open

    found: dict[str, Path] = {}
    for path in sorted(folder.glob(pattern)):
        try:
            with safe_open(path, framework="pt") as file:
                found |= dict.fromkeys(file.keys(), path)
        except (SafetensorError, OSError) as error:
            raise ModelError(path, f"it can't be read as safetensors ({error})", REMEDY) from None
    return found


def _load(path: Path, key: str) -> Array:
    """Read one tensor as float32; through PyTorch, because numpy has no bfloat16."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        numbers: Array = file.get_tensor(key).float().numpy()
    if not np.isfinite(numbers).all():
        raise ModelError(path, f"{key} holds what is no number", "Train again, at a lower learning rate")
    return numbers
