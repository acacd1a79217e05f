"""A model, pairs to learn from and pairs held back come in; a trainer and what measures its gain go out."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.activations import Run
from training.arguments import trainer_arguments
from training.pairs import Pair
from training.progress import listener
from training.rewards import points_to
from training.scoring import answers_of, log_probabilities, mean, score_margins, share_over_zero

ANSWERS = 4  # to each prompt, that GRPO compares
ANSWER_TOKENS = 64
SHARED = (  # arguments of a Trainer that trl's kinds of it take as they are
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "bf16",
    "fp16",
    "optim",
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "num_train_epochs",
    "seed",
    "data_seed",
    "logging_steps",
    "save_total_limit",
    "dataloader_pin_memory",
    "ddp_find_unused_parameters",
    "use_cpu",
    "deepspeed",
    "report_to",
    "disable_tqdm",
)
Progress = Callable[[int, int, float], None]  # steps done, steps in all, mean loss of late


@dataclass(frozen=True)
class Teaching:
    """A trainer of trl, the model that it trains, and what measures it on the pairs held back.

    measure: the figures by name, the first being that which has to rise.
    """

    trainer: Any
    model: Any
    measure: Callable[[], dict[str, float]]


@dataclass(frozen=True)
class Course:
    """How to train: beta holds to the model as it was, rate is the highest learning rate, minutes the longest time."""

    run: Run
    folder: Path
    beta: float
    rate: float
    epochs: float
    minutes: float
    seed: int
    on_progress: Progress


def teach_dpo(model: Any, tokenizer: Any, learnt: Sequence[Pair], kept: Sequence[Pair], course: Course) -> Teaching:
    """Return what trains an adapter by Direct Preference Optimisation (Rafailov et al. 2023, arXiv 2305.18290).

    The model is held against itself with the adapter as it was, of which trl keeps a copy, and of nothing else.
    accuracy: the share of pairs whose better answer the training made likelier relative to the other, a tie counting
    half. chosen_logp: the mean log-probability of better answers; both can become less likely.
    """
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    trainer: Any = DPOTrainer(
        model=model,
        args=_arguments(DPOConfig, course, beta=course.beta, max_length=None),
        train_dataset=_conversations(learnt),
        eval_dataset=_conversations(kept),
        processing_class=tokenizer,
        callbacks=[_listener(course)],
    )
    rows = list(trainer.eval_dataset)
    before = log_probabilities(model, rows)

    def measure() -> dict[str, float]:
        now = log_probabilities(model, rows)
        moved = [(c - c0) - (r - r0) for (c, r), (c0, r0) in zip(now, before, strict=True)]
        return {
            "accuracy": share_over_zero(moved),
            "margin": course.beta * mean(moved),
            "chosen_logp": mean([chosen for chosen, _ in now]),
        }

    return Teaching(trainer, model, measure)


def teach_reward(model: Any, tokenizer: Any, learnt: Sequence[Pair], kept: Sequence[Pair], course: Course) -> Teaching:
    """Return what trains a model that scores answers, by the Bradley-Terry loss (Ouyang et al. 2022, section 3.5).

    model: `scorer_of` one. accuracy: the share of pairs whose better answer has the higher score, a tie counting half.
    """
    from trl.trainer.reward_config import RewardConfig
    from trl.trainer.reward_trainer import RewardTrainer

    trainer: Any = RewardTrainer(
        model=model,
        # scores that stay near 0 tell the margin as well, and don't drift (Eisenstein et al. 2023, arXiv 2312.09244)
        args=_arguments(RewardConfig, course, max_length=None, center_rewards_coefficient=0.01),
        train_dataset=_conversations(learnt),
        eval_dataset=_conversations(kept),
        processing_class=tokenizer,
        callbacks=[_listener(course)],
    )
    rows = list(trainer.eval_dataset)

    def measure() -> dict[str, float]:
        margins = score_margins(model, rows)
        return {"accuracy": share_over_zero(margins), "margin": mean(margins)}

    return Teaching(trainer, model, measure)


def teach_grpo(
    model: Any,
    tokenizer: Any,
    learnt: Sequence[Pair],
    kept: Sequence[Pair],
    course: Course,
    *,
    scorer: Any = None,
) -> Teaching:
    """Return what trains by the model's own answers, each against the others of its group (GRPO, arXiv 2402.03300).

    scorer: a reward model; without one the reward is `points_to` the better answer of the pair. points: of its
    likeliest answers, by that rule in either case, since a model that is trained to please a scorer comes to please
    nobody else (Gao et al. 2022, arXiv 2210.10760).
    """
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer

    def reward(completions: list[Any], chosen: list[str], **rest: Any) -> list[float | None]:
        return [points_to(answer[0]["content"], right) for answer, right in zip(completions, chosen, strict=True)]

    whole = math.lcm(course.run.batch, ANSWERS) // course.run.batch  # passes that hold whole groups
    prompts = {pair.prompt: pair for pair in learnt}.values()
    trainer: Any = GRPOTrainer(
        model=model,
        reward_funcs=[scorer or reward],
        args=_arguments(
            GRPOConfig,
            course,
            beta=course.beta,
            gradient_accumulation_steps=whole * course.run.accumulate,
            num_generations=ANSWERS,
            max_completion_length=ANSWER_TOKENS,
        ),
        train_dataset=_dataset([{"prompt": list(pair.messages), "chosen": pair.chosen} for pair in prompts]),
        processing_class=tokenizer,
        reward_processing_classes=[tokenizer],
        callbacks=[_listener(course)],
    )
    asked = list({pair.prompt: pair for pair in kept}.values())

    def measure() -> dict[str, float]:
        answers = answers_of(model, tokenizer, asked, ANSWER_TOKENS)
        return {"points": mean([points_to(a, pair.chosen) for a, pair in zip(answers, asked, strict=True)])}

    return Teaching(trainer, model, measure)


def _arguments(kind: Any, course: Course, **more: Any) -> Any:
    """Return trl's arguments: those that every training here has, and a checkpoint at each tenth of the way."""
    shared = trainer_arguments(
        course.run, course.folder, rate=course.rate, epochs=course.epochs, warmup=0.1, seed=course.seed, log=1
    )
    given = {name: getattr(shared, name) for name in SHARED}
    given["activation_checkpointing"] = course.run.checkpointing
    arguments = kind(str(course.folder), save_steps=0.1, **given | more)
    arguments._n_gpu = shared.n_gpu
    return arguments


def _listener(course: Course) -> Any:
    return listener(course.minutes * 60, lambda done, total, loss, left: course.on_progress(done, total, loss))


def _conversations(pairs: Sequence[Pair]) -> Any:
    def said(text: str) -> list[dict[str, str]]:
        return [{"role": "assistant", "content": text}]

    return _dataset(
        [{"prompt": list(p.messages), "chosen": said(p.chosen), "rejected": said(p.rejected)} for p in pairs]
    )


def _dataset(rows: list[dict[str, Any]]) -> Any:
    import datasets

    datasets.disable_progress_bars()
    return datasets.Dataset.from_list(rows)
