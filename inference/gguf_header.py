"""A GGUF file's path comes in; what its header tells of the model goes out."""

import math
import mmap
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from errors import ModelError
from inference.gguf_layout import LAYERS, Tensor, read_layout

# architecture → layers of which one sees the whole context; it is their last, or their first (load_swa_pattern's calls)
LAST = {"gemma2": 2, "gemma3": 6, "gemma3n": 5, "cohere2": 4, "exaone4": 4, "exaone-moe": 4, "gpt-oss": 2, "olmo2": 4}
LAST |= {"llama4": 4, "afmoe": 4, "mellum": 4, "plamo3": 8}
FIRST = {"cohere2moe": 4, "laguna": 4, "smallthinker": 4}
BLOCK = re.compile(r"blk\.(\d{1,4})\.")
REMEDY = "Download the file again, or choose another"


@dataclass(frozen=True)
class Header:
    """What a GGUF file says of its model; 0 and "" where it says nothing."""

    architecture: str
    name: str
    licence: str
    layers: int
    hidden: int  # embedding length
    heads: int  # of the layer that has most
    kv_heads: tuple[int, ...]  # one a layer
    key_size: int  # of one head
    value_size: int
    feed_forward: int  # of the layer that has most
    experts_used: int  # of a mixture, for each token
    vocabulary: int
    context_trained: int
    sliding_window: int  # tokens; 0: every layer sees the whole context
    sliding: tuple[bool, ...]  # which layers see the window only
    has_chat_template: bool
    file_bytes: int  # that the file has when it is whole
    tensors: tuple[Tensor, ...]

    @property
    def parameters(self) -> int:
        """Count the weights."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors)

    @property
    def weights_bytes(self) -> int:
        """Return what all tensors take."""
        return sum(tensor.bytes for tensor in self.tensors)

    @cached_property
    def layer_bytes(self) -> tuple[int, ...]:
        """Return the bytes of each layer's tensors, then those of the output's, then of the rest."""
        found = [0] * (self.layers + 2)
        for tensor in self.tensors:
            block = BLOCK.match(tensor.name)
            place = min(int(block[1]), self.layers) if block else self.layers + (not tensor.name.startswith("output"))
            found[place] += tensor.bytes
        return tuple(found)

    @cached_property
    def is_tied(self) -> bool:
        """Tell whether the input embedding is the output matrix too."""
        return not any(tensor.name == "output.weight" for tensor in self.tensors)

    @cached_property
    def largest_bytes(self) -> int:
        """Return the bytes of the largest tensor of a layer."""
        return max((tensor.bytes for tensor in self.tensors if BLOCK.match(tensor.name)), default=0)

    @property
    def quantisation(self) -> str:
        """Name the type that most of the bytes have."""
        sizes: Counter[str] = Counter()
        for tensor in self.tensors:
            sizes[tensor.type] += tensor.bytes
        return max(sizes, key=lambda name: sizes[name], default="")


def read_header(path: Path) -> Header:
    """Read a GGUF header, also of a file whose tensors have not arrived yet; of a split model's first, all headers.

    Raises ModelError for a file that is no GGUF, is cut within its header, or states what can't be.
    """
    try:
        facts, tensors, file_bytes = _layout(path)
        if isinstance(count := facts.get("split.count"), int) and count > 1:
            if not path.name.endswith(f"-00001-of-{count:05}.gguf"):
                raise ValueError(f"it is one of {count} parts, and not the first by its name")
            for n in range(2, count + 1):
                _, more, size = _layout(path.with_name(path.name.replace("-00001-of-", f"-{n:05}-of-")))
                tensors, file_bytes = tensors + more, file_bytes + size
        return _describe(facts, tensors, file_bytes)
    except FileNotFoundError as error:
        raise ModelError(error.filename, "there is no such file", REMEDY) from None
    except (ValueError, OSError) as error:  # mmap's for an empty file and for a folder, among them
        raise ModelError(path, f"its GGUF header can't be read ({error})", REMEDY) from None


def _layout(path: Path) -> tuple[dict[str, Any], tuple[Tensor, ...], int]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return read_layout(data)


def _describe(facts: dict[str, Any], tensors: tuple[Tensor, ...], file_bytes: int) -> Header:
    if not isinstance(architecture := facts.get("general.architecture"), str):
        raise ValueError("it names no architecture")

    def number(key: str, default: int = 0) -> int:
        value = facts.get(f"{architecture}.{key}", default)
        value = max(value, default=0) if isinstance(value, tuple) else value
        if not isinstance(value, int) or not 0 <= value < 1 << 31:
            raise ValueError(f"{architecture}.{key} is {value}")
        return value

    layers, hidden, heads = number("block_count"), number("embedding_length"), number("attention.head_count")
    if layers > LAYERS:
        raise ValueError(f"{layers} layers are too many")
    kv_heads = facts.get(f"{architecture}.attention.head_count_kv")
    if not isinstance(kv_heads, tuple):
        kv_heads = (number("attention.head_count_kv", heads),) * layers
    if len(kv_heads) != layers or any(not isinstance(n, int) or not 0 <= n < 1 << 16 for n in kv_heads):
        raise ValueError(f"key/value heads {kv_heads} for {layers} layers")
    window = number("attention.sliding_window", 4096 if architecture == "gemma2" else 0)
    tokens = facts.get("tokenizer.ggml.tokens")
    return Header(
        architecture=architecture,
        name=str(facts.get("general.name", "")),
        licence=str(facts.get("general.license", "")),
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        key_size=number("attention.key_length", hidden // heads if heads else 0),
        value_size=number("attention.value_length", hidden // heads if heads else 0),
        feed_forward=number("feed_forward_length"),
        experts_used=number("expert_used_count"),
        vocabulary=tokens if isinstance(tokens, int) else number("vocab_size"),
        context_trained=number("context_length"),
        sliding_window=window,
        sliding=_sliding(facts, architecture, layers) if window else (False,) * layers,
        has_chat_template="tokenizer.chat_template" in facts,
        file_bytes=file_bytes,
        tensors=tensors,
    )


def _sliding(facts: dict[str, Any], architecture: str, layers: int) -> tuple[bool, ...]:
    """Tell which layers slide, as llama.cpp's load_swa_pattern and set_swa_pattern do."""
    pattern = facts.get(f"{architecture}.attention.sliding_window_pattern")
    if isinstance(pattern, tuple) and len(pattern) == layers:
        return tuple(map(bool, pattern))
    first = FIRST.get(architecture, 0)
    every = first or LAST.get(architecture, 0)
    if not every:  # such as llama and qwen2, whose window llama.cpp passes over
        return (False,) * layers
    every = pattern if isinstance(pattern, int) and pattern > 0 else every
    return tuple(layer % every != (0 if first else every - 1) for layer in range(layers))
