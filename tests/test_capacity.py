"""The command plan, this machine's memory, and RAG_GPU_LAYERS=auto."""

import json
import logging
from pathlib import Path

import psutil
import pytest
from gguf_files import write_header

import chat_models
import main
from errors import ModelError
from inference.fitting import Room
from inference.room import free_room, parse_sizes
from settings import load_settings


def test_plan_reports_bytes_and_the_best_settings_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["plan", "--context", "2048", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["weights_bytes"] == 96_576_768
    assert report["kv_cache_bytes"] == 2 * 30 * 2048 * 192 * 2
    assert report["total_bytes"] == sum(report[f"{kind}_bytes"] for kind in ("weights", "kv_cache", "compute"))
    assert (report["gpu_layers"], report["context"], report["fits"]) == (0, 2048, True)
    assert Path(report["model_path"]).is_file()


def test_plan_for_a_gpu_that_is_not_here_needs_the_header_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_header(tmp_path / "partial.gguf", "mistral-7b")
    assert main.main(["plan", "--model", str(path), "--vram", "4GB,4GB", "--users", "2"]) == 0
    told = capsys.readouterr().out
    assert "GPU1" in told
    assert "RAG_GPU_LAYERS=" in told
    assert "each of 2 conversations" in told


def test_a_size_that_is_none_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["plan", "--vram", "much"]) == 1
    assert "Write 8GB" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "sizes"), [("8GB", (8 * 10**9,)), ("8G, 24gb", (8 * 10**9, 24 * 10**9)), ("1.5GiB", (3 * 2**29,))]
)
def test_sizes_are_read(text: str, sizes: tuple[int, ...]) -> None:
    assert parse_sizes(text) == sizes


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(ModelError):
        parse_sizes("-8GB")


def test_the_room_of_this_machine_is_within_what_it_has() -> None:
    room = free_room()
    assert 0 < room.ram <= psutil.virtual_memory().total
    assert all(isinstance(size, int) for size in room.gpus)


def test_auto_means_what_the_gpus_hold_and_a_number_is_kept() -> None:
    settings = load_settings(gpu_layers="auto", cache_type="q8_0", context_tokens=1024)
    path = chat_models.locate(settings)
    chosen = chat_models.fit_loading(settings, path, Room(8 * 10**9, (8 * 10**9,)))
    assert (chosen.gpu_layers, chosen.cache_type, chosen.context_tokens) == (31, "q8_0", 1024)
    assert chat_models.fit_loading(settings, path, Room(8 * 10**9)).gpu_layers == 0
    kept = chat_models.fit_loading(load_settings(gpu_layers=7), path, Room(8 * 10**9, (8 * 10**9,)))
    assert kept.gpu_layers == 7


def test_too_little_ram_is_one_warning_with_the_figure(caplog: pytest.LogCaptureFixture) -> None:
    settings = load_settings()
    with caplog.at_level(logging.WARNING):
        chat_models.fit_loading(settings, chat_models.locate(settings), Room(6 * 10**8))
    (record,) = caplog.records
    assert "0.6 GB are free" in record.getMessage()
    assert "\n" not in record.getMessage()
