"""Examples come in; what each method of `finetune sft` takes and reaches in the same number of updates goes out.

    python benchmarks/training_methods.py TRAIN.jsonl VALIDATION.jsonl --examples 96

Each method is a process of its own, with the usual rate; peak: the most resident memory of it, libraries included.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from settings import ROOT

METHODS = ("lora", "qlora", "full", "ia3", "prefix", "prompt", "p-tuning")


def run(method: str, train: Path, validation: Path, folder: Path) -> tuple[dict[str, float], int]:
    """Return the report of a training and the most memory that it had, in bytes."""
    command = [sys.executable, str(ROOT / "main.py"), "finetune", "sft", str(train), str(folder), "--json"]
    command += ["--validation", str(validation), "--method", method, "--epochs", "1", "--every", "1000"]
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{' '.join(command)} failed")
        out.seek(0)
        return json.load(out), used.ru_maxrss * 1024


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("validation", type=Path)
    parser.add_argument("--examples", type=int, default=96)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    given = parser.parse_args()
    print("| method | trained numbers | peak GB | seconds an update | loss before | after |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as directory:
        part = Path(directory) / "part.jsonl"
        part.write_text("\n".join(given.train.read_text(encoding="utf-8").splitlines()[: given.examples]))
        for method in given.methods:
            report, peak = run(method, part, given.validation, Path(directory) / method)
            pace = report["seconds"] / report["updates"]
            losses = f"{report['loss_before']:.3f} | {report['loss_after']:.3f}"
            cells = (method, f"{report['trained_parameters']:,}", f"{peak / 1e9:.1f}", f"{pace:.1f}", losses)
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
