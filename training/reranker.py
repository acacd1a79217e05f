"""Questions with the files that answer them come in; the folder of a small cross-encoder for RAG_RERANKER goes out."""

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document

from chains.reranking import cross_encoder
from errors import EvaluationError
from pipeline import embedder_folder, open_index
from searching import build_search
from settings import Settings
from training.mining import DEPTH, Group, mine, read_questions

if TYPE_CHECKING:
    import torch

FEWEST = 20  # groups
TOKENS = 96  # of question and passage together, special ones included
GROUPS = 4  # a step
WRONG = 3  # passages of a group in a step, drawn anew each time
RATE, HEAD_RATE = 2e-4, 1e-3
WARM_UP = 20  # steps
PRIOR = 4.0  # weight of the search's own score in the softmax
Progress = Callable[[int, int, float], None]  # steps done, steps in all, mean loss of late


def train_reranker(
    settings: Settings,
    questions: Path,
    target: Path,
    *,
    layers: int = 2,
    minutes: float = 30,
    on_progress: Progress = lambda done, total, loss: None,
) -> dict[str, Any]:
    """Train on questions about the index in use, and measure on a fifth of them that was kept apart.

    The measure is the mean reciprocal rank of the right passage in its group of ten, as the search ranks it and as
    the model does. Raise EvaluationError for unusable questions or a target that is not empty.
    """
    asked = read_questions(questions)
    if target.exists() and any(target.iterdir()):
        raise EvaluationError(target, "there is something in it", "name a new folder")
    # chunks as they come to a cross-encoder: not joined, widened or mixed yet
    plain: dict[str, Any] = {"reranker": "light", "merge": False, "parent_tokens": 0, "diversity": 0}
    search_settings = settings.model_copy(update=plain)
    with open_index(settings) as index:
        search = build_search(search_settings, index, limit=DEPTH)
        kept = mine(search, asked[::5])
        groups = mine(search, [question for at, question in enumerate(asked) if at % 5])
    encoder = embedder_folder(settings)
    loss = train_cross_encoder(groups, encoder, target, layers=layers, minutes=minutes, on_progress=on_progress)
    before, after = reciprocal_ranks(target, kept)
    return {
        "folder": str(target),
        "groups": len(groups),
        "loss": round(loss, 4),
        "kept_apart": len(kept),
        "mrr_search": round(before, 4),
        "mrr_reranked": round(after, 4),
        "pays": after > before,
    }


def reciprocal_ranks(folder: Path, groups: Sequence[Group]) -> tuple[float, float]:
    """Return the mean reciprocal rank of the right passages by the search's scores, and by the model's."""
    score = cross_encoder(folder)
    found = []
    for group in groups:
        passages = [
            Document(page_content=text, metadata={"score": fused})
            for text, fused in zip(group.passages, group.scores, strict=True)
        ]
        found.append((_reciprocal(group.scores), _reciprocal(score(group.query, passages))))
    before, after = (sum(column) / max(1, len(found)) for column in zip(*found, strict=True)) if found else (0.0, 0.0)
    return before, after


def _reciprocal(scores: Sequence[float]) -> float:
    return 1 / sum(score >= scores[0] for score in scores)


def train_cross_encoder(
    groups: Sequence[Group],
    encoder: Path,
    target: Path,
    *,
    layers: int = 2,
    minutes: float = 30,
    epochs: int = 2,
    threads: int = 0,
    seed: int = 0,
    on_progress: Progress = lambda done, total, loss: None,
) -> float:
    """Train the first `layers` layers of a BERT-like encoder to tell right passages; return the mean loss at the end.

    Listwise: the softmax over a group of the score plus PRIOR × the search's score in [0, 1], against the right
    passage; so the model learns what the search does not know yet, and the two are added up when it is used. Stops
    after `epochs` or `minutes`, the rate falling to 0 until then. The word vectors stay as they are: a few thousand
    questions would move only those of their own words. Raise EvaluationError for too few groups.
    """
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    if len(groups) < FEWEST:
        reason = f"{len(groups)} questions whose answer was found among the passages; {FEWEST} are needed"
        raise EvaluationError(target, reason, "give more questions, or check that doc_id names indexed files")
    torch.manual_seed(seed)
    if threads:
        torch.set_num_threads(threads)
    tokenizer: Any = AutoTokenizer.from_pretrained(str(encoder), local_files_only=True)
    tokenizer.model_max_length = TOKENS  # saved with it: who loads the model cuts where it was trained
    model: Any = AutoModelForSequenceClassification.from_pretrained(
        str(encoder), local_files_only=True, num_labels=1, num_hidden_layers=layers, dtype=torch.float32
    )
    model.base_model.embeddings.requires_grad_(False)
    loss = _fit(model, tokenizer, groups, epochs=epochs, seconds=minutes * 60, seed=seed, on_progress=on_progress)
    model.eval()
    model.config.search_weight = PRIOR
    model.config.sentence_transformers = {"activation_fn": "torch.nn.modules.linear.Identity"}
    model.save_pretrained(str(target))
    tokenizer.save_pretrained(str(target))
    return loss


def _fit(
    model: Any,
    tokenizer: Any,
    groups: Sequence[Group],
    *,
    epochs: int,
    seconds: float,
    seed: int,
    on_progress: Progress,
) -> float:
    import torch

    body = {id(weights) for weights in model.base_model.encoder.parameters()}
    free = [weights for weights in model.parameters() if weights.requires_grad]
    parts = [  # what the pretrained model lacks has further to go
        {"params": [weights for weights in free if id(weights) in body], "rate": RATE},
        {"params": [weights for weights in free if id(weights) not in body], "rate": HEAD_RATE},
    ]
    optimiser = torch.optim.AdamW(parts, lr=RATE, weight_decay=0.01)
    draw, began, recent = random.Random(seed), time.monotonic(), 0.0  # noqa: S311  (an order, not a secret)
    order = [at for _ in range(epochs) for at in draw.sample(range(len(groups)), len(groups))]
    steps = [order[at : at + GROUPS] for at in range(0, len(order), GROUPS)]
    model.train()
    for done, step in enumerate(steps, 1):
        share = max((done - 1) / len(steps), (time.monotonic() - began) / seconds)
        if share >= 1:
            break
        for part in optimiser.param_groups:
            part["lr"] = part["rate"] * min(1.0, done / WARM_UP) * (1 - share)
        loss = _loss(model, tokenizer, [_drawn(groups[at], draw) for at in step])
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        recent += (float(loss.detach()) - recent) * max(0.01, 1 / done)
        if done % 20 == 0 or done == len(steps):
            on_progress(done, len(steps), recent)
    return recent


def _drawn(group: Group, draw: random.Random) -> Group:
    chosen = [0, *draw.sample(range(1, len(group.passages)), min(WRONG, len(group.passages) - 1))]
    return Group(group.query, tuple(group.passages[at] for at in chosen), tuple(group.scores[at] for at in chosen))


def _loss(model: Any, tokenizer: Any, groups: Sequence[Group]) -> "torch.Tensor":
    import torch

    pairs = [(group.query, passage) for group in groups for passage in group.passages]
    batch = tokenizer(
        *map(list, zip(*pairs, strict=True)),
        padding=True,
        truncation="longest_first",
        max_length=TOKENS,
        return_tensors="pt",
    )
    scores = model(**batch).logits.view(len(groups), -1)
    prior = torch.tensor([group.scores for group in groups], dtype=scores.dtype)
    right = torch.zeros(len(groups), dtype=torch.long)
    return torch.nn.functional.cross_entropy(scores + PRIOR * prior, right)
