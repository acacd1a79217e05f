"""Pairs of better and worse answers come in; an adapter that prefers the better ones, or a model that scores, goes out.

dpo     an adapter that makes better answers likelier and worse ones unlikelier
reward  a model that scores answers
grpo    an adapter trained by its own answers, which rules or such a model reward

trl 1.16 has no PPO any more; GRPO has its clipped objective and does without the second model that PPO trains.
"""

import json
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from errors import EvaluationError, ModelError, one_line
from hashes import file_sha256
from settings import Settings
from training.activations import Run
from training.base import Base, dtype_of, load_base, without_peft_warning
from training.methods import prepare
from training.pairs import Pair, held_back, read_pairs
from training.preference_trainers import ANSWER_TOKENS, Course, Progress, Teaching, teach_dpo, teach_grpo, teach_reward
from training.progress import last_checkpoint
from training.scoring import build_scorer, load_scorer

Method = Literal["dpo", "reward", "grpo"]
RATES: dict[Method, float] = {"dpo": 5e-5, "reward": 1e-4, "grpo": 1e-5}
BETAS: dict[Method, float] = {"dpo": 0.1, "reward": 0.0, "grpo": 0.04}  # as in their papers
CHANCE = {"accuracy": 0.5}  # what is to be had by guessing
CHECKPOINTS, BEGUN = "checkpoints", "begun.json"


def train_preferences(
    settings: Settings,
    pairs: Path,
    target: Path,
    *,
    run: Run,
    method: Method = "dpo",
    base: str = "",
    adapter: Path | None = None,
    reward: Path | None = None,
    beta: float | None = None,
    rate: float | None = None,
    epochs: float = 1,
    minutes: float = 30,
    seed: int = 0,
    on_progress: Progress = lambda done, total, loss: None,
) -> dict[str, Any]:
    """Train on nine tenths of the prompts, measure on the rest, and write `target` only if that pays.

    base: as `load_base` has it. adapter: a LoRA adapter's folder to go on from, which is then the reference. reward:
    what `reward` wrote, for grpo. beta: how much the model is held to the reference. A pair over run.length tokens with
    its prompt is left out and counted. In a target where the same training was cut off, it goes on from its last
    checkpoint. Return the figures before and after. Raise EvaluationError for unusable pairs or a target with something
    else in it, ModelError for a model that is not the adapter's.
    """
    _check(run, method, reward)
    every = read_pairs(pairs)
    beta, rate = BETAS[method] if beta is None else beta, rate or RATES[method]
    facts: dict[str, Any] = {
        "base": base or settings.model,
        "method": run.method,
        "preferences": method,
        **_described(run),
    }
    facts |= {"beta": beta, "rate": rate, "epochs": epochs, "seed": seed, "pairs_sha256": file_sha256(pairs)}
    facts |= {"adapter_sha256": _sha256(adapter), "reward_sha256": _sha256(reward)}
    _check_target(target, facts)
    loaded = _load(settings, base, run, adapter=adapter, reward=reward)
    facts["base_sha256"] = loaded.sha256
    longest = run.length - (ANSWER_TOKENS if method == "grpo" else 0)
    fitting = [pair for pair in every if _tokens(loaded.tokenizer, pair, answers=method != "grpo") <= longest]
    learnt, kept = held_back(fitting, seed, of=pairs)
    course = Course(run, target / CHECKPOINTS, beta, rate, epochs, minutes, seed, on_progress)
    with without_peft_warning():
        scorer = load_scorer(_load(settings, base, run).model, reward) if reward else None
        teaching = _teach(method, loaded, learnt, kept, course, adapter=adapter, scorer=scorer)
        target.mkdir(parents=True, exist_ok=True)
        (target / BEGUN).write_text(json.dumps(facts), encoding="utf-8")
        before, after = _train(teaching, course.folder)
    told: dict[str, Any] = {"pairs": len(learnt), "kept_apart": len(kept), "too_long": len(every) - len(fitting)}
    told |= {"steps": teaching.trainer.state.global_step, **_compared(before, after)}
    first = next(iter(after))
    pays = after[first] > max(before[first], CHANCE.get(first, 0.0))
    _finish(target, teaching.model if pays else None, facts | told)
    return {"folder": str(target) if pays else "", **told, "pays": pays}


def _check(run: Run, method: Method, reward: Path | None) -> None:
    if missing := [name for name in ("peft", "trl") if not find_spec(name)]:
        raise ModelError(", ".join(missing), "not installed", "Run: pip install -c constraints.txt -e .[training]")
    if run.method != "lora" and (run.method != "qlora" or method == "reward"):
        raise ModelError(run.method, f"{method} trains LoRA adapters", "Take lora")
    if reward and method != "grpo":
        raise ModelError(reward, f"{method} asks no reward model", "Name it with grpo")


def _teach(
    method: Method,
    base: Base,
    learnt: Sequence[Pair],
    kept: Sequence[Pair],
    course: Course,
    *,
    adapter: Path | None,
    scorer: Any,
) -> Teaching:
    """Return what trains by this method, its adapters drawn by the seed or those of a folder."""
    import peft
    from transformers import set_seed

    set_seed(course.seed)
    if method == "reward":
        return teach_reward(build_scorer(base.model, course.run), base.tokenizer, learnt, kept, course)
    if adapter:
        model: Any = peft.PeftModel.from_pretrained(base.model, str(adapter), is_trainable=True)
    else:
        model = prepare(base.model, course.run)
    if method == "dpo":
        return teach_dpo(model, base.tokenizer, learnt, kept, course)
    return teach_grpo(model, base.tokenizer, learnt, kept, course, scorer=scorer)


def _train(teaching: Teaching, folder: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Train, on from the last checkpoint if there is one, and return the figures before and after."""
    from transformers import PrinterCallback

    teaching.trainer.remove_callback(PrinterCallback)
    before = teaching.measure()
    teaching.trainer.train(resume_from_checkpoint=last_checkpoint(folder))
    return before, teaching.measure()


def _compared(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, figure in after.items():
        found |= {f"{name}_before": round(before[name], 4), f"{name}_after": round(figure, 4)}
    return found


def _described(run: Run) -> dict[str, Any]:
    """Return what decides the result, flat."""
    batch = run.batch * run.accumulate
    precise = {"length": run.length, "precision": run.precision, "optimiser": run.optimiser}
    return {"rank": run.rank, "targets": ",".join(run.targets), "batch": batch, **precise}


def _check_target(target: Path, facts: dict[str, Any]) -> None:
    """Raise EvaluationError for a folder with something in it that is not the same training, cut off."""
    there = {path.name for path in target.iterdir()} if target.exists() else set()
    if there <= {CHECKPOINTS, BEGUN} and not any(target.glob(f"{CHECKPOINTS}/checkpoint-*")):
        return  # whatever was begun there, nothing is lost
    remedy = "name a new folder, or the very settings of what was cut off"
    if not (target / BEGUN).is_file():
        raise EvaluationError(target, "there is something in it", remedy)
    begun = json.loads((target / BEGUN).read_text(encoding="utf-8"))
    if other := [name for name, fact in facts.items() if begun.get(name) != fact]:
        raise EvaluationError(target, f"it was begun with another {', '.join(other)}", remedy)


def _load(settings: Settings, base: str, run: Run, adapter: Path | None = None, reward: Path | None = None) -> Base:
    """Return the base; raise ModelError where an adapter is of another kind, or was made for other weights."""
    loaded = load_base(settings, base, dtype=dtype_of(run.precision))
    for folder, wanted in ((adapter, "LORA CAUSAL_LM"), (reward, "LORA SEQ_CLS")):
        if folder is None:
            continue
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        if (kind := f"{config['peft_type']} {config['task_type']}") != wanted:
            raise ModelError(folder, f"it is of the kind {kind}, not {wanted}", "Name another folder")
        made = folder / "training.json"
        known = json.loads(made.read_text(encoding="utf-8")).get("base_sha256", "") if made.is_file() else ""
        if known and known != loaded.sha256:
            reason = f"it was made for the weights {known}, not for {loaded.path}"
            raise ModelError(folder, reason, "Set RAG_MODEL to them")
    if loaded.tokenizer.pad_token is None:
        loaded.tokenizer.pad_token = loaded.tokenizer.eos_token
    return loaded


def _sha256(folder: Path | None) -> str:
    """Return the SHA-256 of an adapter's weights, "" for none."""
    try:
        return file_sha256(folder / "adapter_model.safetensors") if folder else ""
    except OSError as error:
        raise ModelError(folder, f"no adapter is there ({one_line(error)})", "Name one that training wrote") from None


def _tokens(tokenizer: Any, pair: Pair, *, answers: bool) -> int:
    """Return the tokens of the prompt, with the longer answer if wanted, as the chat template writes them."""
    ends = [[{"role": "assistant", "content": text}] for text in (pair.chosen, pair.rejected)] if answers else [[]]
    prompts = [[*pair.messages, *end] for end in ends]
    return max(len(tokenizer.apply_chat_template(p, return_dict=True)["input_ids"]) for p in prompts)


def _finish(target: Path, model: Any, facts: dict[str, Any]) -> None:
    """Leave the adapter and training.json in the folder, or no folder where there is no model to save."""
    if model is None:
        shutil.rmtree(target)
        return
    config = model.peft_config["default"]
    config.base_model_name_or_path = facts["base"]  # not where it lies on this machine
    targets = sorted(name.removesuffix("_proj") for name in config.target_modules)
    facts |= {"rank": config.r, "targets": ",".join(targets)}  # those of the adapter that was gone on from
    model.save_pretrained(str(target), selected_adapters=["default"], save_embedding_layers=False)
    (target / "README.md").unlink()  # peft's form to fill in
    (target / "training.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(target / CHECKPOINTS)  # last: whatever interrupts this, the same command mends it
    (target / BEGUN).unlink()
