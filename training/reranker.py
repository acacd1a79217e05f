"""Questions with the files that answer them come in; the folder of a small cross-encoder for RAG_RERANKER goes out."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from langchain_core.documents import Document

from chains.reranking import cross_encoder
from pipeline import embedder_folder, open_index
from searching import build_search
from settings import Settings
from training.descent import Progress, descend
from training.gain import check_enough, interval, split
from training.mining import DEPTH, PLAIN, Group, mine, read_questions
from training.saving import draft_of

if TYPE_CHECKING:
    import torch

TOKENS = 96  # of question and passage together, special ones included
GROUPS = 4  # a step
WRONG = 3  # passages of a group in a step, drawn anew each time
RATE, HEAD_RATE = 2e-4, 1e-3
PRIOR = 4.0  # weight of the search's own score in the softmax


def train_reranker(
    settings: Settings,
    questions: Path,
    target: Path,
    *,
    layers: int = 2,
    minutes: float = 30,
    on_progress: Progress = lambda done, total, loss: None,
) -> dict[str, Any]:
    """Train on questions about the index in use; write the model to `target` if a fifth that was kept apart gains.

    The measure is the reciprocal rank of the right passage in its group of ten, as the search ranks it and as the model
    does. Raise EvaluationError for unusable or too few questions, and for a target that is not empty.
    """
    asked = read_questions(questions)
    with draft_of(target) as draft:
        with open_index(settings) as index:
            search = build_search(settings.model_copy(update=PLAIN), index, limit=DEPTH)
            held, *others = split(asked)
            kept = mine(search, [asked[at] for at in held])
            groups = mine(search, [asked[at] for part in others for at in part])
        check_enough([*groups, *kept], questions)
        encoder = embedder_folder(settings)
        loss = train_cross_encoder(groups, encoder, draft.path, layers=layers, minutes=minutes, on_progress=on_progress)
        before, after = reciprocal_ranks(draft.path, kept)
        low, high = interval(after - before)
        if pays := low > 0:
            draft.keep()
    return {
        "groups": len(groups),
        "loss": round(loss, 4),
        "kept_apart": len(kept),
        "mrr_search": round(float(before.mean()), 4),
        "mrr_reranked": round(float(after.mean()), 4),
        "gain_95": [round(low, 4), round(high, 4)],
        "pays": pays,
    } | ({"folder": str(target), "next": f"RAG_RERANKER={target}"} if pays else {})


def reciprocal_ranks(folder: Path, groups: Sequence[Group]) -> tuple[np.ndarray, np.ndarray]:
    """Return the reciprocal rank of each right passage by the search's scores, and by the model's."""
    score = cross_encoder(folder)
    found = []
    for group in groups:
        passages = [
            Document(page_content=text, metadata={"score": fused})
            for text, fused in zip(group.passages, group.scores, strict=True)
        ]
        found.append((_reciprocal(group.scores), _reciprocal(score(group.query, passages))))
    before, after = np.array(found).reshape(-1, 2).T
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
    questions would move only those of their own words.
    """
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

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
    draw = random.Random(seed)  # noqa: S311  (an order, not a secret)
    order = [at for _ in range(epochs) for at in draw.sample(range(len(groups)), len(groups))]
    steps = [order[at : at + GROUPS] for at in range(0, len(order), GROUPS)]
    model.train()

    def loss_of(step: list[int]) -> "torch.Tensor":
        return _loss(model, tokenizer, [_drawn(groups[at], draw) for at in step])

    return descend(optimiser, steps, loss_of, seconds=seconds, on_progress=on_progress)


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
