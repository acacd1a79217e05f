"""Questions about the index come in; the folder of an embedder for RAG_EMBEDDER that finds their answers goes out."""

import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from langchain_core.embeddings import Embeddings

from errors import ModelError
from loaders.cleaning import clean, searchable
from loaders.embeddings import load_embeddings
from loaders.pointer import CATALOG
from loaders.store import Store
from pipeline import embedder_folder, embedder_identity, open_index
from searching import build_search
from settings import Settings
from training.base import without_peft_warning
from training.descent import Progress, descend
from training.gain import check_enough, compare, judge, measure, split
from training.mining import DEPTH, PLAIN, Group, mine, read_questions
from training.saving import draft_of, refuse_full

if TYPE_CHECKING:
    import torch

BATCH = 16  # questions a step; each is told from the right passages of the others too
TOKENS = 160  # of a passage while training; it is embedded whole
RATE, LORA_RATE = 2e-5, 1e-3
PART = 512  # passages embedded at once


def train_embedder(
    settings: Settings,
    questions: Path,
    target: Path,
    *,
    layers: int = 0,
    rank: int = 0,
    epochs: int = 2,
    minutes: float = 30,
    on_progress: Progress = lambda done, total, loss: None,
) -> dict[str, Any]:
    """Fine-tune the embedder on four fifths of the questions; write it to `target` if the others gain by it.

    The fifth is searched for in the index as it is and in a copy of it with the new vectors, which lives in a temporary
    folder. Raise EvaluationError for unusable or too few questions, and for a target that is not empty.
    """
    refuse_full(target)
    if rank and not find_spec("peft"):
        raise ModelError("--rank", "peft is not installed", "run: pip install -c constraints.txt -e '.[training]'")
    settings = settings.model_copy(update={"query_adapter": ""})  # it belongs to the embedder of now
    identity = embedder_identity(settings)
    with open_index(settings) as index, draft_of(target) as draft:
        judged = judge(index.store, read_questions(questions), questions)
        held, *others = split([each.question for each in judged])
        search = build_search(settings.model_copy(update=PLAIN), index, limit=DEPTH)
        groups = mine(search, [judged[at].question for part in others for at in part], form=searchable)
        kept = [judged[at] for at in held]
        check_enough([*groups, *kept] if groups else groups, questions)
        way: Any = {"layers": layers, "rank": rank, "epochs": epochs, "minutes": minutes}
        prompts = (settings.query_prompt, settings.passage_prompt)
        loss = tune(groups, embedder_folder(settings), draft.path, prompts=prompts, **way, on_progress=on_progress)
        with TemporaryDirectory(prefix="groundwork-") as aside:
            form: Any = {"backend": identity.backend, "cache": Path(aside) / "encoder.onnx"}
            said: Any = {"query_prompt": prompts[0], "passage_prompt": prompts[1], "batch_size": settings.embed_batch}
            new = load_embeddings(draft.path, **form, **said)
            before = measure(settings, index, kept)
            with reembedded(index.store, new, Path(aside) / "store", settings.index) as store:
                after = measure(settings, replace(index, store=store, embeddings=new), kept)
        report = {"groups": len(groups), "held_back": len(kept), "loss": round(loss, 4)} | compare(before, after)
        if report["pays"]:
            draft.keep()
            report |= {"folder": str(target), "next": f"RAG_EMBEDDER={target}, then: python main.py ingest --rebuild"}
    return report


@contextmanager
def reembedded(store: Store, embeddings: Embeddings, directory: Path, kind: str) -> Iterator[Store]:
    """Open a copy of the store in `directory`, with the vectors that other embeddings give to its chunks."""
    directory.mkdir(parents=True)
    with closing(sqlite3.connect(directory / CATALOG)) as copy:
        store.catalog.connection.backup(copy)
        keys = store.catalog.vector_keys(id_ for ids, _ in store.catalog.stream_vectors() for id_ in ids)
        ids = list(keys)
        for at in range(0, len(ids), PART):
            chunks = store.chunks(ids[at : at + PART])
            vectors = np.asarray(embeddings.embed_documents([searchable(each) for each in chunks]), dtype=np.float32)
            rows = [(v.tobytes(), keys[str(each.id)]) for v, each in zip(vectors, chunks, strict=True)]
            copy.executemany("UPDATE vectors SET vector = ? WHERE key = ?", rows)
        copy.commit()
    other = Store(directory, kind=kind)  # whose index is not there yet, so that it is filled
    try:
        yield other
    finally:
        other.close()


def tune(
    groups: Sequence[Group],
    encoder: Path,
    target: Path,
    *,
    prompts: tuple[str, str] = ("", ""),
    layers: int = 0,
    rank: int = 0,
    epochs: int = 2,
    minutes: float = 30,
    seed: int = 0,
    on_progress: Progress = lambda done, total, loss: None,
) -> float:
    """Train the last `layers` layers (0: all), or LoRA of `rank` in them; write the whole model; return the last loss.

    The loss is sentence-transformers' MultipleNegativesRankingLoss: the softmax of 20 × cosine over the right passage,
    a hard wrong one drawn anew each time, and those of the other questions in the step (Henderson et al. 2017). Its
    trainer is not used: it knows no time limit, and needs datasets and accelerate for a loop of twenty lines. The word
    vectors stay as they are: a few thousand questions would move only those of their own words.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from sentence_transformers.util import batch_to_device

    torch.manual_seed(seed)
    model = SentenceTransformer(str(encoder), local_files_only=True)
    merge = _free(model, layers, rank)
    longest, model.max_seq_length = model.max_seq_length, min(TOKENS, model.max_seq_length or TOKENS)
    draw, loss_of = random.Random(seed), MultipleNegativesRankingLoss(model)  # noqa: S311  (an order, not a secret)
    free = [weights for weights in model.parameters() if weights.requires_grad]
    optimiser = torch.optim.AdamW([{"params": free, "rate": LORA_RATE if rank else RATE}], weight_decay=0.01)

    def loss(step: Sequence[Group]) -> "torch.Tensor":
        texts = (
            [prompts[0] + clean(group.query) for group in step],
            [prompts[1] + group.passages[0] for group in step],
            [prompts[1] + draw.choice(group.passages[1:]) for group in step],
        )
        features = [batch_to_device(model.preprocess(list(column)), model.device) for column in texts]
        found: torch.Tensor = loss_of(features, None)
        return found

    model.train()
    steps = [step for _ in range(epochs) for step in batches(groups, draw)]
    last = descend(optimiser, steps, loss, seconds=minutes * 60, on_progress=on_progress)
    merge()
    model.max_seq_length = longest
    model.eval().save(str(target), create_model_card=False)
    return last


def batches(groups: Sequence[Group], draw: random.Random) -> list[list[Group]]:
    """Return all groups in steps of at most BATCH, drawn; no step has a question or a right passage twice.

    In a step every other question's right passage is taken for wrong: its own must not be among them.
    """
    steps: list[list[Group]] = []
    for group in draw.sample(list(groups), len(groups)):
        said = {group.query, group.passages[0]}
        room = (s for s in steps if len(s) < BATCH and not any(said & {g.query, g.passages[0]} for g in s))
        step = next(room, None)
        steps.append([group]) if step is None else step.append(group)
    return [step for step in steps if len(step) > 1] or steps


def _free(model: Any, layers: int, rank: int) -> Any:
    """Freeze all but the last layers, or but LoRA in them; return what is to be done when they are trained."""
    import torch

    body = model[0].auto_model
    stacks = [(name, part) for name, part in body.named_modules() if isinstance(part, torch.nn.ModuleList)]
    if not stacks:
        raise ModelError(type(body).__name__, "no list of layers in it", "train another embedder")
    name, stack = max(stacks, key=lambda each: len(each[1]))
    chosen = range(len(stack))[-layers:]
    model.requires_grad_(False)
    if not rank:
        for at in chosen:
            stack[at].requires_grad_(True)
        return lambda: None
    import peft

    inside = tuple(f"{name}.{at}." for at in chosen)
    linear = [path for path, part in body.named_modules() if isinstance(part, torch.nn.Linear)]
    targets = [path for path in linear if path.startswith(inside)]
    config = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets)
    with without_peft_warning():
        return peft.get_peft_model(body, config).merge_and_unload
