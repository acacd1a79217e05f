"""Preferences: pairs made of graded answers, and what a tiny Llama learns of them by each method."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import main
from errors import EvaluationError, ModelError
from evaluation import answer_metrics
from settings import load_settings
from training.activations import Run
from training.base import load_base
from training.methods import prepare
from training.pairs import Pair, held_back, open_prompts, pairs_from_rows, read_pairs, write_pairs
from training.preference_trainers import Course, teach_grpo
from training.preferences import train_preferences
from training.rewards import points, points_to

# trl 1.16 and peft 0.21 ask transformers 5.23 by a name that goes in its version 6
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
RUN = Run("lora", rank=4, targets=("q", "v", "down"), batch=4, length=64, precision="fp32")
LONGER = replace(RUN, length=128)
LIKE_SQUAD = [
    ("the red kettle", "Red kettle!"),
    ("a lamp", "two lamps"),
    ("12 euros a day", "12 euros"),
    ("No.", "Yes"),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a random model of Llama's form with a tokenizer of a few words."""
    folder = tmp_path_factory.mktemp("base")
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    special, letters = ["<|im_start|>", "<|im_end|>"], pre_tokenizers.ByteLevel.alphabet()
    texts = ["user assistant What colour is number", "It is red [1]. I do not know"]
    words.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=330, special_tokens=special, initial_alphabet=letters, show_progress=False),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<|im_end|>", chat_template=TEMPLATE)
    sizes: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True}
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes, **heads, eos_token_id=1, bos_token_id=0))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def some_pairs(count: int) -> list[Pair]:
    return [
        Pair(({"role": "user", "content": f"What colour is number {n}?"},), f"It is red {n} [1].", f"I do not know {n}")
        for n in range(count)
    ]


@pytest.fixture
def train(base: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    write_pairs(tmp_path / "pairs.jsonl", some_pairs(22))
    fixed: dict[str, Any] = {"run": RUN, "base": str(base), "rate": 1e-2}
    return partial(train_preferences, load_settings(store=tmp_path / "store"), tmp_path / "pairs.jsonl", **fixed)


def test_points_are_those_of_squad_with_a_citation_or_a_right_refusal() -> None:
    for answer, reference in LIKE_SQUAD:
        assert points(answer, [reference]) == pytest.approx(answer_metrics.f1(answer, [reference]))
    assert points("Not in these documents.", []) == 1
    assert points("Not in these documents.", ["12 euros"]) == points("12 euros", []) == 0
    assert points("12 euros [2].", ["12 euros"], [2, 3]) == 1
    assert points("12 euros [1].", ["12 euros"], [2, 3]) == points("12 euros", ["12 euros"], [2]) == 0.8
    assert points("[1] [2] [3]", ["12 euros"], [2]) == 0
    assert points_to("It is 12 euros [2]", "It is 12 euros [2]") == 1
    assert points_to("Not in these documents.", "Not in these documents.") == 1


def answered(answer: str, **changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"question": "How much?", "answers": ["12 euros"], "answerable": True, "abstained": False}
    return row | {"answer": answer, "contexts": ["See the list.", "It costs 12 euros."]} | changes


def as_user(row: dict[str, Any]) -> tuple[dict[str, str], ...]:
    return ({"role": "user", "content": f"{' '.join(row['contexts'])} {row['question']}"},)


def test_the_better_of_two_answers_to_the_same_prompt_is_chosen() -> None:
    rows = [answered("A lot [2]."), answered("12 euros [2]."), answered("12 euros."), answered("A lot [2].")]
    rows += [answered("12 euros [2].", contexts=["Other passages: 12 euros."]), answered("", contexts=[])]
    pairs = pairs_from_rows(rows, as_user)
    assert [(pair.chosen, pair.rejected) for pair in pairs] == [("12 euros [2].", "A lot [2].")]
    assert pairs[0].messages == as_user(rows[0])
    assert len(pairs_from_rows(rows, as_user, margin=0.1)) == 2
    refused = answered("Not in these documents. Ask elsewhere.", abstained=True, answerable=False)
    [pair] = pairs_from_rows([refused, answered("12 euros", answerable=False)], as_user)
    assert (pair.chosen, pair.rejected) == ("Not in these documents.", "12 euros")


def test_a_reference_is_chosen_where_no_answer_is_good_and_the_model_reads_it() -> None:
    bad = answered("A lot [1].")
    assert pairs_from_rows([bad], as_user) == []
    assert [pair.chosen for pair in pairs_from_rows([bad], as_user, references=True)] == ["12 euros [2]"]
    hidden = pairs_from_rows([bad], lambda row: ({"role": "user", "content": "See the list."},), references=True)
    assert hidden == []


def test_the_prompt_is_that_of_the_chain() -> None:
    with open_prompts(load_settings(answer_style="write")) as messages:
        system, human = messages(answered("A lot."))
    assert (system["role"], human["role"]) == ("system", "user")
    assert system["content"].startswith("You answer questions from numbered passages.")
    assert human["content"].index("[1]") < human["content"].index("[2]") < human["content"].index("It costs 12 euros.")
    assert human["content"].endswith("answer briefly: How much?")


def test_the_command_makes_pairs_of_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, answer in (("a", "A lot [2]."), ("b", "12 euros [2].")):
        (tmp_path / name).write_text(json.dumps(answered(answer)), encoding="utf-8")
    out = tmp_path / "pairs.jsonl"
    files = [str(tmp_path / name) for name in "ab"]
    assert main.main(["finetune", "pairs", *files, "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"rows": 2, "prompts": 1, "pairs": 1}
    [pair] = read_pairs(out)
    assert (pair.chosen, pair.rejected) == ("12 euros [2].", "A lot [2].")
    (tmp_path / "b").write_text('{"question": "How much?"}', encoding="utf-8")
    assert main.main(["finetune", "pairs", *files]) == 1
    assert "b, row 1: it lacks answer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rejected": " It is red."}, "are the same"),
        ({"chosen": ""}, "not two texts"),
        ({"messages": [{"role": "assistant", "content": "Hello"}]}, "user's last"),
        ({"messages": "What colour?"}, "not as expected"),
    ],
)
def test_a_row_that_is_no_pair_is_named(changes: dict[str, Any], reason: str, tmp_path: Path) -> None:
    good = {"messages": [{"role": "user", "content": "What?"}], "chosen": "It is red.", "rejected": "No."}
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, [good, good, good | changes])), encoding="utf-8")
    with pytest.raises(EvaluationError, match=rf"p\.jsonl, row 3: .*{reason}"):
        read_pairs(tmp_path / "p.jsonl")
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, [good, good])), encoding="utf-8")
    assert len(read_pairs(tmp_path / "p.jsonl")) == 1


def test_no_prompt_is_learnt_from_and_measured_on() -> None:
    pairs = some_pairs(40)
    learnt, kept = held_back([*pairs, *pairs], 0, of=Path("p.jsonl"))
    assert (len(learnt), len(kept)) == (72, 8)
    assert not {pair.prompt for pair in learnt} & {pair.prompt for pair in kept}
    with pytest.raises(EvaluationError, match="20 are needed"):
        held_back(pairs[:19], 0, of=Path("p.jsonl"))


def test_dpo_prefers_the_better_answers_and_goes_on_where_it_was_interrupted(
    train: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    whole = train(tmp_path / "whole")
    assert (whole["pairs"], whole["kept_apart"], whole["steps"], whole["too_long"]) == (19, 3, 5, 0)
    assert (whole["accuracy_before"], whole["accuracy_after"]) == (0.5, 1)
    assert whole["margin_after"] > whole["margin_before"] == 0
    assert whole["pays"]

    def interrupt(done: int, total: int, loss: float) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "part", on_progress=interrupt)
    with pytest.raises(EvaluationError, match="something in it"):
        train(tmp_path / "whole")
    with pytest.raises(EvaluationError, match="begun with another seed"):
        train(tmp_path / "part", seed=1)
    steps: list[int] = []
    part = train(tmp_path / "part", on_progress=lambda done, total, loss: steps.append(done))
    assert steps == [4, 5]
    assert part | {"folder": ""} == whole | {"folder": ""}
    weights = [load_file(tmp_path / name / "adapter_model.safetensors") for name in ("whole", "part")]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert {path.name for path in (tmp_path / "part").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "training.json",
    }
    facts = json.loads((tmp_path / "part" / "training.json").read_text(encoding="utf-8"))
    assert (facts["method"], facts["targets"], facts["seed"]) == ("lora", "down,q,v", 0)

    on = train(tmp_path / "on", adapter=tmp_path / "part", run=replace(RUN, precision="bf16"))
    assert on["chosen_logp_before"] == pytest.approx(whole["chosen_logp_after"], abs=0.5)  # it is held to the adapter
    assert (on["accuracy_before"], on["margin_before"]) == (0.5, 0)


def test_nothing_is_written_where_it_does_not_pay(train: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    report = train(tmp_path / "none", rate=1e-12, epochs=0.3)
    assert (report["pays"], report["folder"]) == (False, "")
    assert not (tmp_path / "none").exists()
    with pytest.raises(EvaluationError, match="0 prompts with pairs that fit"):
        train(tmp_path / "none", run=replace(RUN, length=8))
    with pytest.raises(ModelError, match="trains LoRA adapters"):
        train(tmp_path / "none", run=Run("ia3"))
    assert not (tmp_path / "none").exists()


def test_a_reward_model_learns_which_answer_is_better_and_rewards_it(
    train: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    report = train(tmp_path / "reward", method="reward", epochs=1, rate=3e-2)
    assert report["accuracy_after"] == 1
    assert report["pays"]
    assert "base_model.model.score.weight" in load_file(tmp_path / "reward" / "adapter_model.safetensors")
    asked = train(tmp_path / "grpo", method="grpo", reward=tmp_path / "reward", epochs=0.1, run=LONGER)
    assert (asked["steps"], asked["pairs"]) == (2, 19)
    with pytest.raises(ModelError, match="asks no reward model"):
        train(tmp_path / "dpo", reward=tmp_path / "reward")


def test_grpo_moves_the_adapters_alone(base: Path, tmp_path: Path) -> None:
    loaded = load_base(load_settings(), str(base))
    loaded.tokenizer.pad_token = loaded.tokenizer.eos_token
    model = prepare(loaded.model, LONGER)
    before = {name: weights.clone() for name, weights in model.named_parameters()}
    course = Course(LONGER, tmp_path, 0.04, 1e-2, 0.4, 10, 0, lambda done, total, loss: None)
    # rewarded is a letter: a random model hits no word of an answer
    pairs = [Pair(pair.messages, "e", "x") for pair in some_pairs(5)]
    teaching = teach_grpo(model, loaded.tokenizer, pairs, pairs[:1], course)
    teaching.trainer.train()
    assert teaching.trainer.state.global_step == 2
    assert 0 <= teaching.measure()["points"] <= 1
    moved = {
        name for name, weights in model.named_parameters() if name in before and not torch.equal(weights, before[name])
    }
    assert moved
    assert all(".default." in name for name in moved)
