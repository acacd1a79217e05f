"""A GGUF file and a weight type come in; the same model in that type, a checked file that is made once, goes out."""

import ctypes
import math
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from errors import ModelError, one_line
from hashes import file_sha256
from inference.engine import usable_cpus
from inference.gguf_header import read_header

# llama.cpp's number of the type (llama_ftype), and the most bits a weight: it keeps some tensors finer than asked.
WEIGHT_TYPES = {"q8_0": (7, 9), "q4_0": (2, 8), "q4_k_m": (15, 8), "q5_k_m": (17, 8), "f16": (1, 17)}
SECONDS = 600  # longest time to make a file
SCRATCH = ".requantising-"
REMEDY = "RAG_TUNE=false runs the file as it is"
CHILD = (
    "import sys, pathlib, inference.requantising as r;"
    "r.write(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3])"
)
PROBE = (
    "The contract may be ended with three months' notice. Water boils at 100 °C at sea level, and at about 93 °C at "
    "2,000 m. Invoice 2024-0173: EUR 1,249.00 incl. 19 % VAT. def add(a, b): return a + b"
)


def requantise(path: Path, weight_type: str, cache: Path) -> Path:
    """Return the model in another type of weights: a file in the folder `cache`, made in a process of its own.

    The file is named by the hash of its source and appears whole, on the disk and loaded once, or not at all. Raises
    ModelError where there is no room for it, and where llama.cpp can't make it or run it.
    """
    target = cache / f"{path.stem}.{file_sha256(path)[:16]}.{weight_type}.gguf"
    if target.is_file():
        return target
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _clear(cache)
        scratch = TemporaryDirectory(dir=cache, prefix=SCRATCH)
    except OSError as error:
        raise ModelError(cache, f"nothing can be written there ({one_line(error)})", REMEDY) from error
    with scratch as folder:
        needed, free = read_header(path).parameters * WEIGHT_TYPES[weight_type][1] // 8, shutil.disk_usage(cache).free
        if free < 2 * needed:
            raise ModelError(cache, f"{needed >> 20} MB are needed twice over, {free >> 20} MB are free", REMEDY)
        draft = Path(folder) / "draft.gguf"
        command = [sys.executable, "-c", CHILD, str(path.resolve()), str(draft.resolve()), weight_type]
        try:
            done = subprocess.run(  # noqa: S603
                command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, timeout=SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise ModelError(path, f"no {weight_type} file within {SECONDS} s", REMEDY) from error
        if done.returncode:
            told = re.findall("failed.*", done.stderr) or done.stderr.strip().splitlines()[-1:]
            reason = told[0] if told else f"exit code {done.returncode}"
            raise ModelError(path, f"no {weight_type} file could be made ({reason})", REMEDY)
        draft.replace(target)
    return target


def write(source: Path, target: Path, weight_type: str) -> None:
    """Write the file in this process, and run it once; raise ModelError where either fails."""
    import llama_cpp

    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype, options.allow_requantize = WEIGHT_TYPES[weight_type][0], True
    options.nthread = usable_cpus()
    if llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(options)):
        raise ModelError(source, f"llama.cpp can't write it as {weight_type}", REMEDY)
    if not math.isfinite(float(next_token_logits(target, PROBE).sum())):
        raise ModelError(source, f"as {weight_type} it computes no numbers", REMEDY)
    with target.open("rb") as stream:
        os.fsync(stream.fileno())  # a rename may reach the disk before the data does


def next_token_logits(path: Path, text: str, room: int = 128) -> Any:
    """Return what the model expects after each of a text's first `room` tokens: float32, tokens × vocabulary."""
    import llama_cpp

    options: dict[str, Any] = {"n_gpu_layers": 0, "n_threads_batch": usable_cpus(), "verbose": False}
    with closing(llama_cpp.Llama(str(path), n_ctx=room, logits_all=True, **options)) as llama:
        tokens = llama.tokenize(text.encode())[:room]
        llama.eval(tokens)
        return llama.scores[: len(tokens)].copy()


def _clear(cache: Path) -> None:
    """Remove what processes that were killed left behind."""
    for scratch in cache.glob(f"{SCRATCH}*"):
        if scratch.stat().st_mtime < time.time() - 2 * SECONDS:
            shutil.rmtree(scratch, ignore_errors=True)
