"""Ways to train, on a tiny Llama: which weights move, from where they start, and that saving memory changes nothing."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, PrinterCallback, Trainer

from errors import ModelError
from training.activations import LINEAR, Run, Shape
from training.arguments import DEEPSPEED, default_rate, trainer_arguments
from training.base import Base
from training.examples import Example
from training.memory import trained_parameters
from training.methods import prepare
from training.supervised import Plan, train_supervised

METHODS = ("full", "lora", "qlora", "ia3", "prefix", "prompt", "p-tuning")
RUN = Run(rank=4, targets=LINEAR, virtual_tokens=5, precision="fp32", batch=2, length=12)
SHAPE = Shape(2, 64, 4, (2, 2), 16, 16, 160, 101, 0, tied=True)


def tiny() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=101,
        hidden_size=64,
        intermediate_size=160,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        use_cache=False,
    )
    return LlamaForCausalLM(config)


def tokens(rows: int = 2) -> torch.Tensor:
    return torch.randint(0, 101, (rows, 12), generator=torch.Generator().manual_seed(1))


def trained(model: Any) -> dict[str, torch.Tensor]:
    return {name: weights for name, weights in model.named_parameters() if weights.requires_grad}


def backward(model: Any, ids: torch.Tensor) -> dict[str, Any]:
    model(input_ids=ids, labels=ids).loss.backward()
    return {name: weights.grad for name, weights in trained(model).items()}


@pytest.mark.parametrize("method", METHODS)
def test_the_methods_weights_move_and_no_others(method: str) -> None:
    run, model = replace(RUN, method=method), tiny()
    shape = replace(SHAPE, parameters=sum(weights.numel() for weights in model.parameters()))
    model = prepare(model, run)
    before = {name: weights.detach().clone() for name, weights in model.named_parameters()}
    assert sum(weights.numel() for weights in trained(model).values()) == trained_parameters(shape, run)
    optimiser = torch.optim.AdamW(trained(model).values(), lr=1e-2)
    for _ in range(3):
        backward(model, tokens())
        optimiser.step()
        optimiser.zero_grad()
    moved = {name for name, weights in model.named_parameters() if not torch.equal(weights, before[name])}
    assert moved == trained(model).keys()


@pytest.mark.parametrize("method", ["lora", "ia3"])
def test_nothing_is_changed_at_the_start(method: str) -> None:
    expected = tiny()(tokens()).logits
    model = prepare(tiny(), replace(RUN, method=method))
    assert torch.equal(model(input_ids=tokens()).logits, expected)


def test_qlora_holds_matrices_in_four_bits_near_the_base() -> None:
    model = prepare(tiny(), replace(RUN, method="qlora"))
    packed = [module.base_layer.weight for module in model.modules() if hasattr(module, "lora_A")]
    assert len(packed) == 2 * len(LINEAR)
    assert sum(weights.numel() for weights in packed) * 2 == sum(map(SHAPE.matrices, range(2)))
    assert all(weights.quant_state.nested for weights in packed)  # the scales are quantised too
    assert (model(input_ids=tokens()).logits - tiny()(tokens()).logits).abs().max() < 0.1


def test_frozen_weights_are_short_and_trained_ones_long() -> None:
    model = prepare(tiny(), replace(RUN, method="lora", precision="bf16"))
    assert {weights.dtype for weights in trained(model).values()} == {torch.float32}
    assert {weights.dtype for weights in model.parameters() if not weights.requires_grad} == {torch.bfloat16}


def test_alpha_scales_what_lora_adds() -> None:
    for given, factor in ((None, 2.0), (2.0, 0.5)):
        model = prepare(tiny(), replace(RUN, method="lora"), alpha=given)
        assert {part.scaling["default"] for part in model.modules() if hasattr(part, "lora_A")} == {factor}


def test_a_prompt_starts_from_the_words_of_a_text() -> None:
    base = tiny()
    model = prepare(base, replace(RUN, method="prompt"), prompt=[7, 8])
    expected = base.get_input_embeddings()(torch.tensor([7, 8, 7, 8, 7]))
    assert torch.equal(model.prompt_encoder["default"].embedding.weight, expected)


@pytest.mark.parametrize("method", ["full", "lora", "qlora", "prompt"])
def test_checkpointing_gives_the_same_gradients(method: str) -> None:
    plain = backward(prepare(tiny(), run := replace(RUN, method=method), prompt=[7, 8]), tokens())
    again = backward(prepare(tiny(), replace(run, checkpointing=True), prompt=[7, 8]), tokens())
    # LoRA's A is drawn in the same order after the same seed
    assert plain.keys() == again.keys()
    assert all(torch.allclose(plain[name], again[name], atol=1e-6) for name in plain)


@pytest.mark.parametrize(
    ("change", "word"),
    [({"method": "prefix", "checkpointing": True}, "checkpointing"), ({"method": "lora", "targets": ("x",)}, "x_proj")],
)
def test_what_peft_refuses_is_one_line(change: dict[str, Any], word: str) -> None:
    with pytest.raises(ModelError, match=word):
        prepare(tiny(), replace(RUN, **change))


def train(run: Run, folder: Path) -> dict[str, Any]:
    """Return the trained weights after four updates on rows whose answers differ in length."""
    ids = tokens(16)
    rows = [{"input_ids": row, "labels": row.where(torch.arange(12) >= n % 9, -100)} for n, row in enumerate(ids)]
    arguments = trainer_arguments(run, folder, rate=1e-2, steps=4, evaluated=False, seed=3)
    trainer = Trainer(prepare(tiny(), run), arguments, train_dataset=rows)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return {name: weights.detach().numpy() for name, weights in trained(trainer.model).items()}


def furthest(one: dict[str, Any], other: dict[str, Any]) -> float:
    assert one.keys() == other.keys()
    return max(float(np.abs(one[name] - other[name]).max()) for name in one)


def test_two_passes_of_two_rows_are_one_of_four(tmp_path: Path) -> None:
    run = replace(RUN, method="lora")
    whole = train(replace(run, batch=4), tmp_path)
    assert furthest(train(replace(run, accumulate=2), tmp_path), whole) < 1e-6
    assert furthest(train(run, tmp_path), whole) > 1e-3


def supervised(folder: Path, batch: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the weights that `finetune sft` adds to a tiny model, and its report."""
    words = {"<end>": 0, "?": 1} | {str(number): number for number in range(2, 101)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words, "?")),
        eos_token="<end>",
        pad_token="<end>",
        chat_template="{% for message in messages %}{{ message.content }}{% endfor %}",
    )
    tokenizer.backend_tokenizer.pre_tokenizer = WhitespaceSplit()
    asked = ({"role": "user", "content": "3 4"},)
    examples = [Example("", "answer", asked, " 7 8 9 10 11"[: 2 + 2 * (n % 3)]) for n in range(16)]
    base = Base(tiny(), tokenizer, Path("tiny"), "")
    run, plan = replace(RUN, method="lora", batch=batch), Plan(epochs=1, rate=1e-2)
    report = train_supervised(base, examples, examples[:4], folder, run, plan, record={})
    return {name: weights.detach().numpy() for name, weights in trained(base.model).items()}, report


def supervised_beside(rank: int, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train as one of two processes that torchrun would start."""
    world = {"LOCAL_RANK": rank, "RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "OMP_NUM_THREADS": 1}
    os.environ |= {name: str(value) for name, value in world.items()}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    try:
        return supervised(folder / "two", batch=2)
    finally:
        torch.distributed.destroy_process_group()


def test_two_processes_train_as_one_with_twice_the_batch(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["peft", "transformers.trainer", "transformers.models.llama.modeling_llama"])
    with ProcessPoolExecutor(2, context) as pool:
        (weights, report), (same, _) = pool.map(supervised_beside, (0, 1), (tmp_path, tmp_path))
    alone, expected = supervised(tmp_path / "one", batch=4)
    assert furthest(weights, same) == 0
    assert furthest(weights, alone) < 1e-6
    assert report["updates"] == expected["updates"] == 4
    assert report["loss_after"] == pytest.approx(expected["loss_after"], abs=1e-2)
    assert report["loss_after"] < report["loss_before"]


def test_the_best_model_is_kept_with_moments_of_eight_bits(tmp_path: Path) -> None:
    run = replace(RUN, targets=("down",), rank=64, optimiser="adamw-8bit", method="lora")
    rows: list[Any] = [{"input_ids": row, "labels": row} for row in tokens(8)]
    arguments = trainer_arguments(run, tmp_path, rate=1e-2, steps=6, every=2)
    trainer = Trainer(prepare(tiny(), run), arguments, train_dataset=rows, eval_dataset=rows[:4])
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    assert len(losses) == 3
    assert trainer.evaluate()["eval_loss"] == min(losses) == trainer.state.best_metric
    assert trainer.optimizer
    moments = [state["state1"].dtype for state in trainer.optimizer.state.values() if state["state1"].numel() >= 4096]
    assert moments
    assert set(moments) == {torch.uint8}


def test_rates_follow_the_usual_rule() -> None:
    assert default_rate(Run("full"), 125_000_000) == pytest.approx(6e-5)
    assert default_rate(Run("full"), 6_700_000_000) == pytest.approx(1.2e-5, rel=0.1)  # a tenth of GPT-3 6.7B's
    assert default_rate(Run("lora"), 125_000_000) == default_rate(Run("qlora"), 125_000_000) == pytest.approx(6e-4)
    assert all(default_rate(Run(method), 125_000_000) > 6e-4 for method in METHODS[3:])


@pytest.mark.parametrize(
    ("change", "reason", "here"),
    [
        ({"precision": "fp16"}, "on a GPU only", torch.accelerator.is_available()),
        ({"zero": 2}, "it needs DeepSpeed", find_spec("deepspeed")),
        ({"zero": 2, "offload": True, "optimiser": "adamw-8bit"}, "DeepSpeed", False),
    ],
)
def test_what_can_not_be_done_here_is_one_line(change: dict[str, Any], reason: str, here: bool, tmp_path: Path) -> None:
    if here:
        pytest.skip("it can be done here")
    with pytest.raises(ModelError, match=reason):
        trainer_arguments(replace(RUN, **change), tmp_path, rate=1e-4)


@pytest.mark.parametrize("offload", [False, True])
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_deepspeed_reads_its_files(stage: int, offload: bool, tmp_path: Path) -> None:
    config = pytest.importorskip("deepspeed.runtime.config", reason="it is in the extra training")
    from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig

    arguments = trainer_arguments(replace(RUN, accumulate=3, precision="bf16"), tmp_path, rate=1e-4)
    file = DEEPSPEED / f"zero{stage}{'_offload' if offload else ''}.json"
    filled: Any = HfTrainerDeepSpeedConfig(str(file))  # type: ignore[no-untyped-call]
    filled.trainer_config_process(arguments)
    filled.trainer_config_finalize(arguments, tiny(), 4)
    read = config.DeepSpeedConfig(filled.config)
    assert (read.zero_config.stage, read.train_batch_size, read.bfloat16_config.enabled) == (stage, 6, True)
    assert bool(read.zero_config.offload_optimizer) == offload
