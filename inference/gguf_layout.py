"""The bytes of a GGUF file come in; its entries and its list of tensors go out, no weight read.

An own parser: gguf.GGUFReader makes an object of every token, 70 s for a vocabulary of 262,144 where this takes 0.2 s;
and ggml's own C functions put an untrusted file into this process, which they can crash. This one steps over arrays.
"""

import math
import mmap
import struct
from dataclasses import dataclass
from typing import Any

# ggml's number of a tensor type → name, elements in a block, bytes of a block (type_traits in ggml.c)
TYPES = {0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22)}
TYPES |= {7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110)}
TYPES |= {12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 16: ("IQ2_XXS", 256, 66)}
TYPES |= {17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18)}
TYPES |= {21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1)}
TYPES |= {25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56)}
TYPES |= {30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17)}
TYPES |= {40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18)}
# GGUF's number of a value type → its form for struct; 8 is a string, 9 an array
FORMS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY, FLOAT64 = 8, 9, 12
# Bounds of a sound file: entries, tensors, things in an array, layers (llama.cpp's LLAMA_MAX_LAYERS)
ENTRIES, TENSORS, MOST, LAYERS = 1 << 12, 1 << 16, 1 << 24, 512
KEPT = 1000  # bytes of a string
CUT = "it ends within its header"


class Double(float):
    """A number that the file has in 64 bits, where llama.cpp may end the process for want of 32."""


@dataclass(frozen=True)
class Tensor:
    """One tensor of the file."""

    name: str
    shape: tuple[int, ...]  # as GGUF has it: the inputs of a matrix come first
    type: str
    bytes: int


def read_layout(data: mmap.mmap) -> tuple[dict[str, Any], tuple[Tensor, ...], int]:
    """Return the entries, the tensors and the bytes that the whole file has; raise ValueError for what can't be.

    An entry is a number, a string, a tuple with at most LAYERS numbers, or the length of any other array.
    Source of the layout: docs/gguf.md and gguf.cpp of ggml.
    """
    if data.read(4) != b"GGUF":
        raise ValueError("it is not a GGUF file")
    version, tensors, entries = _take(data, "IQQ")
    if version not in (2, 3):
        raise ValueError(f"version {version} is not known")
    if tensors > TENSORS or entries > ENTRIES:
        raise ValueError(f"{tensors} tensors and {entries} entries are too many")
    facts: dict[str, Any] = {}
    for _ in range(entries):
        key = _string(data)
        facts[key] = _value(data, *_take(data, "I"))
    alignment = facts.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise ValueError(f"an alignment of {alignment}")
    found: list[Tensor] = []
    size = 0
    for _ in range(tensors):
        tensor, offset = _tensor(data)
        if offset != size:
            raise ValueError(f"tensor {tensor.name} starts at {offset}, not at {size}")
        size += -(-tensor.bytes // alignment) * alignment
        found.append(tensor)
    return facts, tuple(found), -(-data.tell() // alignment) * alignment + size


def _tensor(data: mmap.mmap) -> tuple[Tensor, int]:
    name = _string(data)
    (dimensions,) = _take(data, "I")
    if dimensions > 4:
        raise ValueError(f"tensor {name} has {dimensions} dimensions")
    *shape, kind, offset = _take(data, f"{dimensions}QIQ")
    if kind not in TYPES:
        raise ValueError(f"tensor {name} is of an unknown type, {kind}")
    type_name, block, block_bytes = TYPES[kind]
    elements = math.prod(shape)
    if elements >= 1 << 48 or (shape and shape[0] % block):
        raise ValueError(f"tensor {name} has the shape {tuple(shape)}")
    return Tensor(name, tuple(shape), type_name, elements // block * block_bytes), offset


def _value(data: mmap.mmap, kind: int) -> Any:
    if kind == STRING:
        return _string(data)
    if kind != ARRAY:
        (number,) = _take(data, _form(kind))
        return Double(number) if kind == FLOAT64 else number
    kind, count = _take(data, "IQ")
    if count > MOST:
        raise ValueError(f"an array of {count} entries")
    if kind == STRING:
        position, end = data.tell(), len(data) - 8
        read_length = struct.Struct("<Q").unpack_from
        for _ in range(count):
            if position > end:
                raise ValueError(CUT)
            position += 8 + read_length(data, position)[0]
        _skip(data, position - data.tell())
        return count
    form = _form(kind)
    if count <= LAYERS:
        return _take(data, f"{count}{form}")
    _skip(data, struct.calcsize(f"<{count}{form}"))
    return count


def _form(kind: int) -> str:
    if kind not in FORMS:
        raise ValueError(f"a value of the unknown type {kind}")
    return FORMS[kind]


def _string(data: mmap.mmap) -> str:
    """Return the beginning of a string; a chat template of megabytes is nothing to keep."""
    (length,) = _take(data, "Q")
    raw = data.read(min(length, KEPT))
    _skip(data, length - len(raw))
    return raw.decode("utf-8", "replace")


def _skip(data: mmap.mmap, size: int) -> None:
    if size > len(data) - data.tell():
        raise ValueError(CUT)
    data.seek(size, 1)


def _take(data: mmap.mmap, form: str) -> tuple[Any, ...]:
    raw = data.read(struct.calcsize(f"<{form}"))
    if len(raw) < struct.calcsize(f"<{form}"):
        raise ValueError(CUT)
    return struct.unpack(f"<{form}", raw)
