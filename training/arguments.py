"""A way to train comes in; the arguments of transformers' Trainer that make it so go out."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import ModelError, one_line
from training.activations import Run

if TYPE_CHECKING:
    from transformers import TrainingArguments

DEEPSPEED = Path(__file__).parent / "deepspeed"
OPTIMISERS = {"adamw": "adamw_torch_fused", "adamw-8bit": "adamw_bnb_8bit"}
# (IA)³: Liu et al. 2022; the prompt methods: peft's examples, whose P-tuning has matrices, which take smaller steps.
RATES = {"ia3": 3e-3, "prefix": 3e-2, "prompt": 3e-2, "p-tuning": 1e-3}


def default_rate(run: Run, parameters: int) -> float:
    """Return the highest learning rate of a run: a tenth of pre-training's for full tuning, ten times that for LoRA.

    Pre-training's is 6e-4 of 125 million parameters, falling with the power of 0.4: within a third of Brown et al.
    2020, table 2.1, up to 13 billion. LoRA's factor: Schulman et al. 2025, "LoRA Without Regret".
    """
    full = 0.1 * 6e-4 * (125e6 / parameters) ** 0.4
    return {"full": full, "lora": 10 * full, "qlora": 10 * full}.get(run.method) or RATES[run.method]


def trainer_arguments(
    run: Run,
    folder: Path,
    *,
    rate: float,
    steps: int = 0,
    epochs: float = 1.0,
    warmup: float = 0.05,
    seed: int = 0,
    every: int = 50,
    log: int = 10,
    evaluated: bool = True,
    workers: int = 0,
) -> "TrainingArguments":
    """Return the arguments of a Trainer whose model `training.methods.prepare` made, checkpointing included.

    folder: of the checkpoints, one `every` so many updates, of which the last and the best stay; evaluated: whether
    there are validation rows, whose loss is taken then, the best model being loaded at the end. steps: updates, in
    place of epochs; the rate rises for a share `warmup` of them and falls to 0 with a cosine. workers: processes that
    prepare batches ahead. Nothing is reported or uploaded. Raise ModelError for what can't be done here: fp16 without a
    GPU, ZeRO without DeepSpeed, 8-bit moments without bitsandbytes.
    """
    import torch
    from transformers import TrainingArguments

    cpu = not torch.accelerator.is_available()
    _refuse(run, cpu)
    given: dict[str, Any] = {"eval_strategy": "steps", "load_best_model_at_end": True} if evaluated else {}
    if run.zero:
        given["deepspeed"] = str(DEEPSPEED / f"zero{run.zero}{'_offload' if run.offload else ''}.json")
    try:
        arguments = TrainingArguments(
            str(folder),
            per_device_train_batch_size=run.batch,
            per_device_eval_batch_size=run.batch,
            gradient_accumulation_steps=run.accumulate,
            # Frozen weights are in bf16 already; scaling the loss needs autocast, and DeepSpeed its own conversion.
            bf16=run.precision == "bf16" and (run.method == "full" or run.zero > 0),
            fp16=run.precision == "fp16",
            optim=OPTIMISERS[run.optimiser],
            learning_rate=rate,
            lr_scheduler_type="cosine",
            warmup_steps=warmup,
            max_steps=steps or -1,
            num_train_epochs=epochs,
            seed=seed,
            data_seed=seed,
            save_steps=every,
            eval_steps=every,
            logging_steps=log,
            save_total_limit=2,
            restore_callback_states_from_checkpoint=True,
            dataloader_num_workers=workers,
            dataloader_persistent_workers=workers > 0,
            dataloader_pin_memory=not cpu,
            ddp_find_unused_parameters=False,
            use_cpu=cpu,
            train_sampling_strategy="group_by_length",  # so that little is padded
            label_names=["labels"],  # Trainer can't tell from peft's models
            report_to="none",
            disable_tqdm=True,
            **given,
        )
    except ValueError as error:
        raise ModelError(f"a {run.precision} training", one_line(error), "Change its settings") from None
    arguments._n_gpu = min(1, arguments.n_gpu)  # several would be threads of one process; torchrun makes processes
    return arguments


def _refuse(run: Run, cpu: bool) -> None:
    refused = {
        "fp16": (run.precision == "fp16" and cpu, "its loss is scaled on a GPU only", "Train in bf16 or fp32"),
        f"ZeRO {run.zero}": (
            run.zero > 0 and not find_spec("deepspeed"),
            "it needs DeepSpeed",
            "Install the extra training",
        ),
        "adamw-8bit": (
            run.optimiser == "adamw-8bit" and not find_spec("bitsandbytes"),
            "it needs bitsandbytes",
            "Install the extra training, or train with adamw",
        ),
        "offload": (
            run.offload and run.optimiser != "adamw",
            "DeepSpeed's optimiser on the host keeps moments in 32 bits",
            "Train with adamw",
        ),
    }
    for value, (wrong, reason, remedy) in refused.items():
        if wrong:
            raise ModelError(value, reason, remedy)
