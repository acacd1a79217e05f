"""Settings and a file of questions or examples come in; the model taught with them, and what it cost, go out."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from langchain_core.messages import BaseMessage, convert_to_openai_messages

from chains.synonyms import load_synonyms
from errors import EvaluationError, one_line
from hashes import file_sha256
from settings import ROOT, Settings
from training.activations import Run
from training.base import load_base, load_tokenizer
from training.care import clean_examples, refuse_contamination, with_general, with_synonyms
from training.examples import Example, Progress, build_examples, read_examples
from training.mining import read_questions
from training.progress import Progress as Told
from training.supervised import Plan, train_supervised

LIBRARIES = ("torch", "transformers", "peft")


@dataclass(frozen=True)
class Material:
    """Where examples come from: files of questions or examples, and a folder of documents in place of the index.

    validation: what the training is judged by, in place of a tenth of the questions. evaluation: a file of questions
    that may not be learnt. general: examples mixed in, `general_share` of all. synonyms: whether RAG_SYNONYMS' words
    make copies. refusals: the share of examples without their documents.
    """

    questions: Path
    documents: Path | None = None
    validation: Path | None = None
    evaluation: Path | None = None
    general: Path | None = None
    general_share: float = 0.1
    synonyms: bool = False
    refusals: float = 0.15


def finetune(
    settings: Settings,
    material: Material,
    target: Path,
    run: Run,
    plan: Plan,
    *,
    base: str = "",
    on_made: Progress = lambda done, total, made: None,
    on_progress: Told = lambda done, total, loss, left: None,
) -> dict[str, Any]:
    """Teach RAG_MODEL, or the weights of the folder or hub:OWNER/REPO `base`; see `train_supervised` for the folder.

    Raise EvaluationError for rows that can't be read, too few examples, and questions of the evaluation among them.
    """
    loaded = load_base(settings, base)
    count = counter(loaded.tokenizer)
    examples, skipped = gather(settings, material, count, seed=plan.seed, on_made=on_made)
    if material.validation:
        kept = read_any(settings, material.validation, material, count, seed=plan.seed)[0]
    else:
        examples, kept = split(examples, plan.seed)
    files = (material.questions, material.validation, material.evaluation, material.general)
    record = {
        "base": base or settings.model,
        "base_sha256": loaded.sha256,
        "method": run.method,
        "seed": plan.seed,
        "style": settings.answer_style,
        "data_sha256": {file.name: file_sha256(file) for file in files if file},
        "left_out": skipped,
        "versions": {name: version(name) for name in LIBRARIES},
    }
    return train_supervised(loaded, examples, kept, target, run, plan, record=record, on_progress=on_progress)


def examples_of(
    settings: Settings, material: Material, *, seed: int = 0, on_made: Progress = lambda done, total, made: None
) -> tuple[list[Example], dict[str, int]]:
    """Return the examples that RAG_MODEL would learn from, without loading its weights."""
    count = counter(load_tokenizer(settings))
    return read_any(settings, material.questions, material, count, seed=seed, on_made=on_made)


def gather(
    settings: Settings,
    material: Material,
    count_tokens: Callable[[list[BaseMessage]], int],
    *,
    seed: int = 0,
    on_made: Progress = lambda done, total, made: None,
) -> tuple[list[Example], dict[str, int]]:
    """Return the examples to learn from, cleaned and mixed, and how many were left out, by reason."""
    examples, skipped = read_any(settings, material.questions, material, count_tokens, seed=seed, on_made=on_made)
    if material.evaluation:
        tests = [question.text for question in read_questions(material.evaluation, unanswerable=True)]
        refuse_contamination(examples, tests, material.evaluation)
    if material.synonyms:
        if not settings.synonyms:
            raise EvaluationError("--synonyms", "RAG_SYNONYMS names no file of them", "set it, or leave the option out")
        examples = with_synonyms(examples, load_synonyms(ROOT / Path(settings.synonyms).expanduser()))
    examples, gone = clean_examples(examples)
    if material.general:
        general = read_examples(material.general, kind="general")
        examples = with_general(examples, general, material.general_share, seed)
    return examples, skipped | gone


def read_any(
    settings: Settings,
    path: Path,
    material: Material,
    count_tokens: Callable[[list[BaseMessage]], int],
    *,
    seed: int,
    on_made: Progress = lambda done, total, made: None,
) -> tuple[list[Example], dict[str, int]]:
    """Return the examples of a file, or those made of its questions; a row with "messages" is an example."""
    try:
        first = next(filter(str.strip, path.read_text(encoding="utf-8").splitlines()), "{}")
    except OSError as error:
        raise EvaluationError(path, one_line(error), "name a file of questions or examples") from None
    if '"messages"' in first:
        return read_examples(path), {}
    questions = read_questions(path, unanswerable=True)
    return build_examples(
        settings,
        questions,
        documents=material.documents,
        refusals=material.refusals,
        seed=seed,
        count_tokens=count_tokens,
        on_progress=on_made,
    )


def split(examples: Sequence[Example], seed: int) -> tuple[list[Example], list[Example]]:
    """Return the examples and a tenth of them that is kept apart, all of one question on the same side."""
    asked = list(dict.fromkeys(example.question for example in examples))
    kept = set(random.Random(seed).sample(asked, len(asked) // 10))  # noqa: S311  (a sample, not a secret)
    return [e for e in examples if e.question not in kept], [e for e in examples if e.question in kept]


def counter(tokenizer: Any) -> Callable[[list[BaseMessage]], int]:
    """Return what counts the tokens of messages, as the model's template writes them."""

    def count(messages: list[BaseMessage]) -> int:
        turns: Any = convert_to_openai_messages(messages)
        return len(tokenizer.apply_chat_template(turns, add_generation_prompt=True)["input_ids"])

    return count
