"""A model and pairs come in; the likelihood, the scores or the model's own answers go out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from training.activations import Run
from training.pairs import Pair

Row = dict[str, Any]  # a pair as token numbers, as trl prepares it


def build_scorer(model: Any, run: Run) -> Any:
    """Return a model that scores texts, made of a causal language model, with adapters: these and its head are trained.

    The weights are the model's own, not copied; the head takes the place of its output.
    """
    import peft

    names = [f"{name}_proj" for name in run.targets]
    config = peft.LoraConfig(r=run.rank, lora_alpha=2 * run.rank, target_modules=names, task_type="SEQ_CLS")
    return peft.get_peft_model(_with_head(model), config)


def load_scorer(model: Any, folder: Path) -> Any:
    """Return what was trained so and saved in `folder`, its adapters merged into the model's weights."""
    import peft

    scorer: Any = peft.PeftModel.from_pretrained(_with_head(model), str(folder))
    return scorer.merge_and_unload().eval()


def _with_head(model: Any) -> Any:
    import torch
    from transformers import AutoModelForSequenceClassification

    class Head(torch.nn.Linear):
        """Score in fp32, whatever the frozen weights are held in: small updates would be lost in bf16."""

        def forward(self, hidden: Any) -> Any:
            return super().forward(hidden.float())

    model.config.num_labels = 1
    build: Any = AutoModelForSequenceClassification.from_config
    with torch.device("meta"):
        scorer = build(model.config)
    setattr(scorer, scorer.base_model_prefix, model.base_model)
    scorer.score = Head(model.config.hidden_size, 1, bias=False, device=model.device)
    torch.nn.init.normal_(scorer.score.weight, std=model.config.initializer_range)
    return scorer


def log_probabilities(model: Any, rows: Sequence[Row]) -> list[tuple[float, float]]:
    """Return the log-probability of each row's better and worse answer after its prompt, in nats."""
    import torch

    def of(prompt: list[int], answer: list[int]) -> float:
        ids = torch.tensor([prompt + answer], device=model.device)
        logits = model(input_ids=ids, logits_to_keep=len(answer) + 1, use_cache=False).logits[0, :-1].float()
        return float(logits.log_softmax(-1).gather(1, ids[0, -len(answer) :, None]).sum())

    with _resting(model):
        return [(of(row["prompt_ids"], row["chosen_ids"]), of(row["prompt_ids"], row["rejected_ids"])) for row in rows]


def score_margins(scorer: Any, rows: Sequence[Row]) -> list[float]:
    """Return by how much each row's better text scores above its worse one."""
    import torch

    def of(ids: list[int]) -> float:
        return float(scorer(input_ids=torch.tensor([ids], device=scorer.device), use_cache=False).logits[0, 0])

    with _resting(scorer):
        return [of(row["chosen_ids"]) - of(row["rejected_ids"]) for row in rows]


def answers_of(model: Any, tokenizer: Any, pairs: Sequence[Pair], longest: int) -> list[str]:
    """Return the likeliest answer to each pair's prompt, of at most `longest` tokens."""
    answers = []
    with _resting(model):
        for pair in pairs:
            asked = tokenizer.apply_chat_template(
                list(pair.messages), add_generation_prompt=True, return_dict=True, return_tensors="pt"
            ).to(model.device)
            tokens = model.generate(**asked, do_sample=False, max_new_tokens=longest, use_cache=True)
            answers.append(tokenizer.decode(tokens[0, asked["input_ids"].shape[1] :], skip_special_tokens=True))
    return answers


def share_over_zero(numbers: Sequence[float]) -> float:
    """Return the share of numbers over 0, each 0 counting half."""
    return mean([(number > 0) + 0.5 * (number == 0) for number in numbers])


def mean(numbers: Sequence[float]) -> float:
    """Return the arithmetic mean."""
    return sum(numbers) / len(numbers)


@contextmanager
def _resting(model: Any) -> Iterator[None]:
    """Keep no gradients and drop nothing out, and put the model back to training."""
    import torch

    model.eval()
    with torch.no_grad():
        yield
    model.train()
