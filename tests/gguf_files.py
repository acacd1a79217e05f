"""Headers of well-known models, written with the gguf library: their shapes, without a weight."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import numpy as np

from inference.gguf_header import read_header

F32 = np.dtype(np.float32)
KINDS = gguf.GGMLQuantizationType


class Shape(NamedTuple):
    architecture: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head: int
    feed_forward: int
    vocabulary: int
    window: int = 0
    tied: bool = False  # the input embedding is the output matrix too


SHAPES = {
    "llama-2-7b": Shape("llama", 32, 4096, 32, 32, 128, 11008, 32000),
    "mistral-7b": Shape("llama", 32, 4096, 32, 8, 128, 14336, 32768),
    "qwen2.5-7b": Shape("qwen2", 28, 3584, 28, 4, 128, 18944, 152064),
    "gemma-2-2b": Shape("gemma2", 26, 2304, 8, 4, 256, 9216, 256000, 4096, tied=True),
    "gemma-3-4b": Shape("gemma3", 34, 2560, 8, 4, 256, 10240, 262144, 1024, tied=True),
    "one-kv-head": Shape("llama", 22, 2048, 32, 1, 64, 5632, 32000),
}


def write_header(path: Path, name: str, **changes: Any) -> Path:
    """Write the header of one of SHAPES, Q4_K with Q6_K for the output, as `llama-quantize Q4_K_M` roughly does."""
    shape = SHAPES[name]._replace(**changes)
    writer = gguf.GGUFWriter(path, shape.architecture)
    writer.add_name(name)
    writer.add_license("apache-2.0")
    writer.add_block_count(shape.layers)
    writer.add_context_length(32768)
    writer.add_embedding_length(shape.hidden)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head)
    writer.add_value_length(shape.head)
    writer.add_layer_norm_rms_eps(1e-5)
    if shape.window:
        writer.add_sliding_window(shape.window)
    writer.add_tokenizer_model("none")  # so that no token has to be written: the library takes 7 s for 262,144
    writer.add_vocab_size(shape.vocabulary)
    for tensor, dimensions, kind in _tensors(shape):
        block, size = gguf.GGML_QUANT_SIZES[kind]
        # the library turns the order of dimensions round
        writer.add_tensor_info(tensor, dimensions[::-1], F32, math.prod(dimensions) // block * size, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    return path


def write_model(path: Path, name: str, **changes: Any) -> Path:
    """Write the same as a file of full length, its weights a hole that takes no place on the disk."""
    os.truncate(write_header(path, name, **changes), read_header(path).file_bytes)
    return path


def _tensors(shape: Shape) -> Iterator[tuple[str, tuple[int, ...], gguf.GGMLQuantizationType]]:
    hidden, wide, keys = shape.hidden, shape.heads * shape.head, shape.kv_heads * shape.head
    gemma, gemma3 = shape.architecture.startswith("gemma"), shape.architecture == "gemma3"
    yield "token_embd.weight", (hidden, shape.vocabulary), KINDS.Q6_K if shape.tied else KINDS.Q4_K
    yield "output_norm.weight", (hidden,), KINDS.F32
    if not shape.tied:
        yield "output.weight", (hidden, shape.vocabulary), KINDS.Q6_K
    for n in range(shape.layers):
        block = {"attn_norm": (hidden,), "attn_q": (hidden, wide), "attn_k": (hidden, keys), "attn_v": (hidden, keys)}
        block |= {"attn_output": (wide, hidden), "ffn_norm": (hidden,), "ffn_gate": (hidden, shape.feed_forward)}
        block |= {"ffn_up": (hidden, shape.feed_forward), "ffn_down": (shape.feed_forward, hidden)}
        block |= {"post_attention_norm": (hidden,), "post_ffw_norm": (hidden,)} if gemma else {}
        block |= {"attn_q_norm": (shape.head,), "attn_k_norm": (shape.head,)} if gemma3 else {}
        for name, dimensions in block.items():
            yield f"blk.{n}.{name}.weight", dimensions, KINDS.Q4_K if len(dimensions) == 2 else KINDS.F32
        if shape.architecture == "qwen2":
            for name, width in (("attn_q", wide), ("attn_k", keys), ("attn_v", keys)):
                yield f"blk.{n}.{name}.bias", (width,), KINDS.F32
