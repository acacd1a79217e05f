"""Two processes train a tiny Llama, beside one with twice the batch; how far their weights end up apart goes out.

    python benchmarks/data_parallel.py [--only "ZeRO 2"]

On the CPU: gloo carries the gradients, and DeepSpeed, where it is installed, builds what it needs with g++ and ninja,
once. Six AdamW updates of LoRA, and of all weights, in fp32, on rows whose answers differ in length.
"""

import argparse
import os
import socket
import tempfile
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PrinterCallback, Trainer

from training.activations import LINEAR, Run
from training.arguments import trainer_arguments
from training.methods import prepare

FULL = Run(targets=LINEAR, precision="fp32", batch=2, length=24)
LORA = replace(FULL, method="lora")
CASES = {
    "LoRA": LORA,
    "LoRA, two passes an update": replace(LORA, accumulate=2),
    "full": FULL,
    "full, ZeRO 1": replace(FULL, zero=1),
    "full, ZeRO 2": replace(FULL, zero=2),
    "full, ZeRO 3": replace(FULL, zero=3),
    "full, ZeRO 1, offload": replace(FULL, zero=1, offload=True),
    "full, ZeRO 2, offload": replace(FULL, zero=2, offload=True),
    "full, ZeRO 3, offload": replace(FULL, zero=3, offload=True),
    "LoRA, ZeRO 2": replace(LORA, zero=2),
    "LoRA, ZeRO 3": replace(LORA, zero=3),
}
WEIGHTS = dict[str, Any]


def train(run: Run, folder: str) -> WEIGHTS:
    """Return the trained weights."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sizes = {"vocab_size": 101, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2}
    model = LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, use_cache=False))
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 101, (48, run.length), generator=draw)
    rows: Any = [{"input_ids": row, "labels": row.where(torch.arange(24) > n % 20, -100)} for n, row in enumerate(ids)]
    arguments = trainer_arguments(run, Path(folder), rate=1e-3, steps=6, evaluated=False)  # first: ZeRO 3 asks for it
    trainer = Trainer(prepare(model, run), arguments, train_dataset=rows)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trained = {name: weights for name, weights in trainer.model.named_parameters() if weights.requires_grad}
    whole: Any = nullcontext()
    if run.zero == 3:
        from deepspeed.zero import GatheredParameters

        whole = GatheredParameters(list(trained.values()))
    with whole:
        return {name: weights.detach().float().numpy().copy() for name, weights in trained.items()}


def train_beside(rank: int, port: int, run: Run, folder: str) -> WEIGHTS:
    """Train as one of two processes, as torchrun would start them."""
    world = {"LOCAL_RANK": rank, "RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "OMP_NUM_THREADS": 1}
    os.environ |= {name: str(value) for name, value in world.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return train(run, folder)


def furthest(one: WEIGHTS, other: WEIGHTS) -> float:
    """Return the largest difference of two weights."""
    return max(float(np.abs(one[name] - other[name]).max()) for name in one)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="the ways whose name holds this")
    only = parser.parse_args().only
    context = get_context("forkserver")
    context.set_forkserver_preload(["peft", "transformers.trainer", "transformers.models.llama.modeling_llama"])
    print("| way | furthest apart, one process from the other | from one process with twice the batch |")
    print("|---|---|---|")
    for name, run in CASES.items():
        if only not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            with ProcessPoolExecutor(2, context) as pool:
                one, other = pool.map(train_beside, (0, 1), [port] * 2, [run] * 2, [folder] * 2)
            single = train(replace(run, batch=4, zero=0, offload=False), folder)
        print(f"| {name} | {furthest(one, other):.1e} | {furthest(one, single):.1e} |", flush=True)


if __name__ == "__main__":
    main()
