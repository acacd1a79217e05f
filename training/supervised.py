"""Examples come in; a model's weights, or an adapter of it, that answer like them go out, with the loss on others."""

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from errors import EvaluationError, ModelError
from training.activations import SOFT, Run
from training.arguments import default_rate, trainer_arguments
from training.base import Base
from training.batches import IGNORED, Collator, packed, rows_of
from training.examples import Example
from training.methods import prepare
from training.progress import Progress, last_checkpoint, listener

FEWEST = 8  # examples
CHECKPOINTS, RECORD = "checkpoints", "training.json"


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train; rate 0: the usual one; minutes 0: no limit; patience: checks without gain."""

    epochs: float = 3.0
    rate: float = 0.0
    warmup: float = 0.05
    minutes: float = 0.0
    patience: int = 3
    every: int = 50  # updates between two checks
    alpha: float = 0.0  # of LoRA; 0: 2 × rank
    dropout: float = 0.0
    packing: bool = False
    workers: int = 0
    seed: int = 0


def train_supervised(
    base: Base,
    examples: Sequence[Example],
    validation: Sequence[Example],
    target: Path,
    run: Run,
    plan: Plan,
    *,
    record: Mapping[str, Any],
    on_progress: Progress = lambda done, total, loss, left: None,
) -> dict[str, Any]:
    """Train on the completions alone, keep what has the least loss on `validation`, and say what was reached.

    target: a new folder, or one in which the same training was cut off, which then goes on from its last checkpoint. In
    the end it holds the adapter as peft saves it, or the whole model, with `training.json` (what is asked and reached,
    and `record`), and the losses as loss.png. Examples longer than run.length tokens are left out and counted. Raise
    EvaluationError for too few examples, or a folder with something else in it.
    """
    from transformers import EarlyStoppingCallback, PrinterCallback, set_seed

    asked = {"run": asdict(run), "plan": asdict(plan), **record}
    rows, kept = (rows_of(base.tokenizer, some, run.length) for some in (examples, validation))
    if len(rows) < FEWEST:
        reason = f"{len(rows)} examples of at most {run.length} tokens; {FEWEST} are needed"
        raise EvaluationError(target, reason, "give more, or raise --length")
    if plan.packing and run.method in (*SOFT, "prefix"):
        raise ModelError(f"{run.method} with --packing", "what it adds stands before a sequence", "Leave it out")
    set_seed(plan.seed)
    rate = plan.rate or default_rate(run, base.model.num_parameters())
    arguments = trainer_arguments(
        run,
        target / CHECKPOINTS,
        rate=rate,
        epochs=plan.epochs,
        warmup=plan.warmup,
        seed=plan.seed,
        every=plan.every,
        evaluated=bool(kept),
        workers=plan.workers,
    )
    with arguments.main_process_first():  # the others find what it wrote
        begun = _claim(target, asked)
    # accelerate 1.15 leaves a model that was evaluated before alone: each of several processes would train its own
    arguments.eval_on_start = bool(kept) and not begun
    prompt = base.tokenizer(examples[0].messages[0]["content"])["input_ids"]
    model = prepare(base.model, run, alpha=plan.alpha or None, dropout=plan.dropout, prompt=prompt)
    if run.method != "full":  # peft would ask the hub how many words the base knows
        model.save_pretrained = partial(model.save_pretrained, save_embedding_layers=False)
    heard = listener(plan.minutes * 60 or math.inf, on_progress)
    stoppers = [EarlyStoppingCallback(plan.patience)] if kept else []
    trainer = _trainer()(
        model=model,
        args=arguments,
        train_dataset=packed(rows, run.length) if plan.packing else rows,
        eval_dataset=kept or None,
        data_collator=Collator(base.tokenizer.pad_token_id or 0, masked=run.method in (*SOFT, "prefix")),
        callbacks=[heard, *stoppers],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.shift = run.virtual_tokens if run.method in SOFT else 0
    trainer.train(resume_from_checkpoint=begun)
    after = trainer.evaluate()["eval_loss"] if kept else None
    trainer.save_model(str(target))
    log = trainer.state.log_history
    before = next((row["eval_loss"] for row in log if "eval_loss" in row), None)
    report = asked | {
        "rate": rate,
        "examples": len(rows),
        "too_long": len(examples) + len(validation) - len(rows) - len(kept),
        "validation": len(kept),
        "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "updates": trainer.state.global_step,
        "epochs": round(trainer.state.epoch or 0.0, 2),
        "loss_before": _rounded(before),
        "loss_after": _rounded(after),
        "seconds": round(heard.seconds, 1),
        "log": log,
    }
    if trainer.is_world_process_zero():
        base.tokenizer.save_pretrained(str(target))
        (target / RECORD).write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        draw_losses(log, target / "loss.png")
        shutil.rmtree(target / CHECKPOINTS)
    return {name: value for name, value in report.items() if name != "log"} | {"folder": str(target)}


def _rounded(loss: float | None) -> float | None:
    return None if loss is None else round(float(loss), 4)


def _claim(target: Path, asked: Mapping[str, Any]) -> str | None:
    """Make the folder this training's, and return its last whole checkpoint if it is begun already."""
    note = target / CHECKPOINTS / "asked.json"
    if note.is_file() and json.loads(note.read_text(encoding="utf-8")) == json.loads(json.dumps(asked)):
        return last_checkpoint(note.parent)
    if target.exists() and any(target.iterdir()):
        reason = "another training was cut off in it" if note.is_file() else "there is something in it"
        raise EvaluationError(target, reason, "name a new folder, or the very settings of that training")
    note.parent.mkdir(parents=True)
    note.write_text(json.dumps(asked), encoding="utf-8")
    return None


def _trainer() -> Any:
    """Return the Trainer that computes logits only where a label is: of 170 tokens of an example some 10 have one.

    Rows of like length come together, so that little is padded, in an order that an epoch's number and the seed decide:
    transformers' own sampler draws it anew when a training goes on.
    """
    import torch
    from transformers import Trainer
    from transformers.trainer_pt_utils import LengthGroupedSampler

    class Grouped(LengthGroupedSampler):
        seed = 0

        def set_epoch(self, epoch: int) -> None:
            self.generator = torch.Generator().manual_seed(self.seed + epoch)

    class CompletionTrainer(Trainer):
        shift = 0  # virtual tokens before the sequence

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            rows: Any = train_dataset or self.train_dataset
            lengths = [len(row["input_ids"]) for row in rows]
            sampler = Grouped(self.args.train_batch_size * self.args.gradient_accumulation_steps, lengths=lengths)
            sampler.seed = self.args.seed
            return sampler

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            labels = inputs.pop("labels")
            at = (labels[:, 1:] != IGNORED).any(0).nonzero()[:, 0]
            outputs = model(**inputs, logits_to_keep=at + self.shift)
            wanted = labels[:, at + 1].flatten()
            total = torch.nn.functional.cross_entropy(
                outputs.logits.float().flatten(0, 1), wanted, ignore_index=IGNORED, reduction="sum"
            )
            # the items are those of all processes, whose gradients are then averaged
            share = None if num_items_in_batch is None else num_items_in_batch / self.accelerator.num_processes
            loss = total / ((wanted != IGNORED).sum() if share is None else share)
            return (loss, outputs) if return_outputs else loss

        def prediction_step(self, model: Any, inputs: Any, *rest: Any, **options: Any) -> Any:
            with torch.no_grad():
                loss = self.compute_loss(model, self._prepare_inputs(inputs))
            return loss.detach().mean(), None, None

    return CompletionTrainer


def draw_losses(log: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw the losses of a Trainer's log, of training and validation by updates, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    for name, words in (("loss", "training"), ("eval_loss", "validation")):
        points = [(row["step"], row[name]) for row in log if name in row and math.isfinite(row[name])]
        if points:
            axes.plot(*zip(*points, strict=True), label=words)
    axes.set(xlabel="updates", ylabel="loss per token")
    if axes.lines:
        axes.legend()
    figure.savefig(path, dpi=120)
