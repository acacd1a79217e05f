"""The packaged chat model comes in; how fast it runs in each way of loading it, and what each costs, goes out.

    python benchmarks/model.py loading                  threads, batches, attention, caches, mmap
    python benchmarks/model.py weights                  types of weights: speed
    python benchmarks/model.py loss data/sample/*.md    types of weights: what they lose
    python benchmarks/model.py speculation --questions qa.jsonl --paragraphs corpus.jsonl

All ways take turns in one process: compare the ratios. --cpu: on one thread, and in its own CPU time, which other work
on the machine changes least; without it, all cores and the clock. Re-quantised files are kept in RAG_CACHE.
speculation, on one thread and in CPU time: what followed the last NGRAM tokens where they occurred before is checked in
one batch with the next token. Rows of the questions: {question, para_id}, of the paragraphs: {_id, text}.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import mean, median
from typing import Any

import llama_cpp
import numpy as np
from langchain_core.messages import BaseMessage

import models
from inference.chat_model import LlamaCppChat, load_chat_model
from inference.gguf_header import read_header
from inference.loading import Loading
from inference.measuring import Pace, Way, measure
from inference.requantising import WEIGHT_TYPES, next_token_logits, requantise
from prompts import load_prompt
from settings import ROOT, load_settings

LOADINGS = {
    "**as it is by default**": Loading(),
    "1 thread": Loading(threads=1, prompt_threads=1),
    "batches of 16": Loading(batch=16),
    "batches of 128": Loading(batch=128),
    "batches of 512": Loading(batch=512),
    "batches of 2048": Loading(batch=2048),
    "flash attention": Loading(flash_attention=True),
    "flash attention, cache q8_0": Loading(flash_attention=True, cache_type="q8_0"),
    "no mmap": Loading(mmap=False),
}
NGRAM = 3
DRAFTS = (0, 2, 4, 8)


def weights() -> Path:
    """Return the file that RAG_MODEL names."""
    settings = load_settings()
    return models.locate_weights(settings.model, base=ROOT, offline=settings.offline)


def files() -> dict[str, Path]:
    """Return the file and its copies in other types of weights."""
    source, cache = weights(), load_settings().cache
    return {"**packaged (Q4_1)**": source} | {kind: requantise(source, kind, cache) for kind in WEIGHT_TYPES}


def print_speed(ways: Mapping[str, Way], prompt: int, answer: int, rounds: int, cpu: bool) -> None:
    """Print a table of tokens/s, and the median over the rounds of the ratio to the first way."""
    clock: Callable[[], float] = time.process_time if cpu else time.perf_counter
    if cpu:
        ways = {name: (path, replace(loading, threads=1)) for name, (path, loading) in ways.items()}
    paces = measure(ways, prompt_tokens=prompt, answer_tokens=answer, rounds=rounds, clock=clock)
    first = next(iter(paces.values()))
    print(f"| {prompt} + {answer} tokens | prompt tokens/s | times | answer tokens/s | times | first token (s) |")
    print("|---|---|---|---|---|---|")
    for name, own in paces.items():
        best = Pace(min(p.reading for p in own), min(p.writing for p in own))
        reading = median(a.reading / b.reading for a, b in zip(first, own, strict=True))
        writing = median(a.writing / b.writing for a, b in zip(first, own, strict=True))
        told = f"{1 / best.reading:.0f} | {reading:.2f} | {1 / best.writing:.0f} | {writing:.2f}"
        print(f"| {name} | {told} | {best.of_answer(prompt, 1):.2f} |", flush=True)


def log_probabilities(path: Path, texts: Sequence[str], room: int) -> np.ndarray:
    """Return ln p of every next token: tokens × vocabulary."""
    logits = np.concatenate([next_token_logits(path, text, room) for text in texts])
    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return logits


def print_loss(paths: Sequence[Path], room: int) -> None:
    """Print how far each type's expectation of the next token is from that of f16, and of the file as it comes.

    f16 holds what the file's weights stand for, and rounds no activations to 8 bits, as the others do.
    """
    texts = [path.read_text(encoding="utf-8") for path in paths]
    kinds = files()
    with closing(llama_cpp.Llama(str(weights()), n_ctx=room, verbose=False)) as llama:
        tokens = [llama.tokenize(text.encode())[:room] for text in texts]
    starts = np.cumsum([0, *map(len, tokens)])
    at = np.concatenate([np.arange(start, start + len(of) - 1) for start, of in zip(starts, tokens, strict=False)])
    following = np.concatenate([of[1:] for of in tokens])
    exact, given = (log_probabilities(path, texts, room)[at] for path in (kinds["f16"], weights()))
    print(f"| {len(at):,} tokens | bits | KL from f16 | same choice as f16 | KL from Q4_1 | same choice | perplexity |")
    print("|---|---|---|---|---|---|---|")
    for name, path in kinds.items():
        found = log_probabilities(path, texts, room)[at]
        told = [f"{path.stat().st_size * 8 / read_header(path).parameters:.1f}"]
        for base in (exact, given):
            told.append(f"{(np.exp(base) * (base - found)).sum(axis=1).mean():.4f}")
            told.append(f"{np.mean(base.argmax(axis=1) == found.argmax(axis=1)):.3f}")
        print(
            f"| {name} | {' | '.join(told)} | {np.exp(-found[np.arange(len(at)), following].mean()):.2f} |", flush=True
        )


def draft(tokens: Sequence[int], most: int) -> list[int]:
    """Return up to `most` tokens that followed the last NGRAM ones where they last occurred before."""
    last = list(tokens[-NGRAM:])
    for at in range(len(tokens) - NGRAM - 1, -1, -1) if most else ():
        if tokens[at] == last[0] and list(tokens[at : at + NGRAM]) == last:
            return list(tokens[at + NGRAM : at + NGRAM + most])
    return []


def greedy(model: LlamaCppChat, prompt: list[int], most: int, drafted: int) -> tuple[list[int], float, int]:
    """Return the likeliest tokens after a prompt, the seconds after the first of them, and how many batches it took.

    All of the prompt but its last token may have been read already.
    """
    llama = model.engine.llama
    vocab = llama_cpp.llama_model_get_vocab(llama.model)
    size = llama_cpp.llama_vocab_n_tokens(vocab)
    ends = {token for token in range(size) if llama_cpp.llama_vocab_is_eog(vocab, token)}
    batch = llama_cpp.llama_batch_init(1 + max(DRAFTS), 0, 1)

    def likeliest(row: int) -> int:
        return int(np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(llama.ctx, row), shape=(size,)).argmax())

    if llama.input_ids[: len(prompt) - 1].tolist() != prompt[:-1]:
        llama.reset()  # type: ignore[no-untyped-call]
        llama.eval(prompt[:-1])
    llama.n_tokens = len(prompt) - 1
    llama.eval(prompt[-1:])
    token, written, batches, done = likeliest(-1), [], 0, len(prompt)
    began = time.process_time()
    while len(written) < most and token not in ends:
        written.append(token)
        guess = draft(prompt + written, drafted)
        batch.n_tokens = 1 + len(guess)
        for row, one in enumerate([token, *guess]):
            batch.token[row], batch.pos[row], batch.logits[row] = one, done + row, 1
            batch.n_seq_id[row], batch.seq_id[row][0] = 1, 0
        llama_cpp.llama_decode(llama.ctx, batch)
        batches, row, token = batches + 1, 0, likeliest(0)
        while row < len(guess) and guess[row] == token not in ends and len(written) < most:
            written.append(token)
            row, token = row + 1, likeliest(row + 1)
        done += 1 + row
        llama_cpp.llama_memory_seq_rm(llama_cpp.llama_get_memory(llama.ctx), 0, done, -1)
    seconds = time.process_time() - began
    llama_cpp.llama_batch_free(batch)
    return written, seconds, batches


def print_speculation(questions: Path, paragraphs: Path, limit: int) -> None:
    """Print what drafts of each length gain, for each prompt and two types of weights."""
    rows = [json.loads(line) for line in questions.read_text(encoding="utf-8").splitlines()]
    texts = {r["_id"]: r["text"] for r in map(json.loads, paragraphs.read_text(encoding="utf-8").splitlines())}
    picked = rows[:: max(1, len(rows) // limit)][:limit]
    print(
        "| weights, prompt | draft | times as fast | tokens a batch | same answer | tokens |\n|---|---|---|---|---|---|"
    )
    for kind, path in list(files().items())[:2]:
        model = load_chat_model(path, loading=Loading(context_tokens=1024, threads=1))
        for style in ("answer", "brief"):
            asked: dict[int, list[Any]] = {drafted: [] for drafted in DRAFTS}
            for row in picked:
                context = texts[row["para_id"]]
                messages: list[BaseMessage] = load_prompt(style).format_messages(
                    context=context[:1200], question=row["question"]
                )
                prompt = model.render_prompt(messages)
                for drafted in DRAFTS:
                    asked[drafted].append(greedy(model, prompt, 48, drafted))
            plain = asked[0]
            for drafted, got in asked.items():
                times = median(a[1] / b[1] for a, b in zip(plain, got, strict=True) if a[0] and b[1])
                length = sum(len(tokens) for tokens, _, _ in got)
                a_batch = length / sum(n for _, _, n in got)
                same = mean(a[0] == b[0] for a, b in zip(plain, got, strict=True))
                print(
                    f"| {kind}, {style} | {drafted} | {times:.2f} | {a_batch:.2f} | {same:.2f} | {length} |", flush=True
                )
        model.engine.close()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("loading", "weights", "loss", "speculation"))
    parser.add_argument("texts", type=Path, nargs="*")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--answer", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--room", type=int, default=384)
    parser.add_argument("--questions", type=Path)
    parser.add_argument("--paragraphs", type=Path)
    parser.add_argument("--limit", type=int, default=30)
    given = parser.parse_args()
    if given.what == "loading":
        ways = {name: (weights(), loading) for name, loading in LOADINGS.items()}
        print_speed(ways, given.prompt, given.answer, given.rounds, given.cpu)
    elif given.what == "weights":
        print_speed(
            {name: (path, Loading()) for name, path in files().items()},
            given.prompt,
            given.answer,
            given.rounds,
            given.cpu,
        )
    elif given.what == "loss":
        print_loss(given.texts, given.room)
    else:
        print_speculation(given.questions, given.paragraphs, given.limit)


if __name__ == "__main__":
    main()
