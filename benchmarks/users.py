"""Measure many users on one model: the queue against none, and parallel sequences against the queue.

    python benchmarks/users.py queue --users 4        throughput, waits and times to the first token
    python benchmarks/users.py batching --users 4     as many answers at a time in one llama.cpp batch

Prompts are the answer prompt around passages of data/sample, other ones for each request. What is compared takes turns
in one process. --cpu takes the processor's seconds with one thread: on a machine with other work these still tell.
"""

import argparse
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from langchain_core.messages import BaseMessage

from chat_models import locate
from inference.chat_model import LlamaCppChat, load_chat_model
from inference.loading import CPU_BATCH, Loading
from prompts import load_prompt
from settings import load_settings

ANSWER = 64  # tokens
ROUNDS = 1
clock = time.perf_counter
LENGTHS = {"rag": 750, "short": 10}  # words of context: 1,200 and 120 tokens of prompt


def requests(count: int, words: int) -> list[list[BaseMessage]]:
    """Return prompts that share their system message and nothing else."""
    text = " ".join(path.read_text() for path in sorted(Path("data/sample").glob("*.md"))).split()
    step = (len(text) - words) // count
    contexts = [" ".join(text[n * step : n * step + words]) for n in range(count)]
    return [load_prompt("answer").format_messages(context=c, question="What does this say?") for c in contexts]


def ask(llm: LlamaCppChat, messages: list[BaseMessage], who: str) -> tuple[float, float, int]:
    """Return the seconds to the first token, those to the last one, and all tokens."""
    began, first, tokens = clock(), 0.0, 0
    for chunk in llm.stream(messages, config={"metadata": {"user": who}}):
        first = first or clock() - began
        tokens += chunk.usage_metadata["total_tokens"] if chunk.usage_metadata else 0
    return first, clock() - began, tokens


def answer_alone(llm: LlamaCppChat, messages: list[BaseMessage]) -> tuple[float, float, int]:
    """Do the same without the queue, its thread and LangChain's callbacks."""
    began, first, tokens = clock(), 0.0, 0
    for chunk in llm._completion(messages, None, {})[0]:
        first = first or bool(chunk.text) * (clock() - began)
        message = chunk.message
        tokens += message.usage_metadata["total_tokens"] if getattr(message, "usage_metadata", None) else 0
    return first, clock() - began, tokens


def measure_queue(llm: LlamaCppChat, users: int, words: int) -> None:
    """Answer the same requests without the queue and for many users at once, in turns, and print both."""
    asked = requests(8, words)
    ask(llm, requests(1, 1)[0], "")  # reads the weights in

    def one_by_one() -> list[tuple[float, float, int]]:
        return [answer_alone(llm, messages) for messages in asked]

    def at_once() -> list[tuple[float, float, int]]:
        with ThreadPoolExecutor(users) as pool:
            return list(pool.map(lambda n: ask(llm, asked[n], f"user {n % users}"), range(len(asked))))

    spent: dict[str, list[float]] = {"alone": [], "queue": []}
    seen: list[tuple[float, float, int]] = []
    for _ in range(ROUNDS):
        for name, run in (("alone", one_by_one), ("queue", at_once)):
            began = clock()
            found = run()
            spent[name].append((clock() - began) / sum(tokens for *_, tokens in found))
            seen += found if name == "queue" else []
    firsts, totals = sorted(first for first, *_ in seen), sorted(total for _, total, _ in seen)
    p95 = round(0.95 * (len(seen) - 1))
    print("| users | tokens/s, one by one | queue | ratio | first token, median s | p95 | whole, median s | p95 |")
    before, now = (1 / median(spent[name]) for name in ("alone", "queue"))
    times = f"{median(firsts):.1f} | {firsts[p95]:.1f} | {median(totals):.1f} | {totals[p95]:.1f}"
    print(f"| {users} | {before:.0f} | {now:.0f} | {now / before:.2f} | {times} |")


class Sequences:
    """A context of several sequences, by llama.cpp's batch API; greedy, and blind to the end of an answer."""

    def __init__(self, llama: Any, size: int, parallel: int, threads: int) -> None:
        """Open a second context on the weights that `llama` has loaded; `size` tokens a sequence."""
        import llama_cpp as lib

        self.lib, options = lib, lib.llama_context_default_params()
        options.n_ctx, options.n_batch, options.n_ubatch = size * (parallel + 1), 512, 512
        options.n_seq_max, options.kv_unified = parallel + 1, True
        options.n_threads = options.n_threads_batch = threads
        self.vocabulary = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(llama.model))
        self.context = lib.llama_init_from_model(llama.model, options)
        self.memory, self.batch = lib.llama_get_memory(self.context), lib.llama_batch_init(512, 0, 1)

    def decode(self, tokens: list[tuple[int, int, int]], wanted: list[int]) -> list[int]:
        """Read (token, position, sequence) rows; return the likeliest token after each of the `wanted` rows."""
        import numpy as np

        self.batch.n_tokens = len(tokens)
        for row, (token, position, sequence) in enumerate(tokens):
            self.batch.token[row], self.batch.pos[row], self.batch.n_seq_id[row] = token, position, 1
            self.batch.seq_id[row][0], self.batch.logits[row] = sequence, row in wanted
        assert self.lib.llama_decode(self.context, self.batch) == 0
        shape = (self.vocabulary,)
        logits = [self.lib.llama_get_logits_ith(self.context, row) for row in wanted]
        return [int(np.argmax(np.ctypeslib.as_array(one, shape=shape))) for one in logits]

    def read(self, prompt: list[int], start: int, sequence: int) -> int:
        """Read a prompt from `start` on, in the batches that the engine uses; return the first token of its answer."""
        found = [0]
        for at in range(start, len(prompt), CPU_BATCH):
            part = prompt[at : at + CPU_BATCH]
            found = self.decode([(token, at + n, sequence) for n, token in enumerate(part)], [len(part) - 1])
        return found[0]

    def answer(self, prompts: list[list[int]], shared: int, parallel: int) -> Iterator[tuple[float, float, list[int]]]:
        """Yield, for groups of `parallel` prompts, the seconds of reading and of writing, and the tokens written."""
        self.lib.llama_memory_clear(self.memory, True)
        self.read(prompts[0][:shared], 0, 0)  # the system message, kept in sequence 0
        for first in range(0, len(prompts), parallel):
            group = prompts[first : first + parallel]
            began = clock()
            for sequence in range(1, len(group) + 1):
                self.lib.llama_memory_seq_rm(self.memory, sequence, -1, -1)
                self.lib.llama_memory_seq_cp(self.memory, 0, sequence, -1, -1)
            written = [[self.read(prompt, shared, n)] for n, prompt in enumerate(group, 1)]
            read = clock()
            for step in range(ANSWER - 1):
                rows = [(w[-1], len(p) + step, n) for n, (p, w) in enumerate(zip(group, written, strict=True), 1)]
                for mine, token in zip(written, self.decode(rows, [*range(len(rows))]), strict=True):
                    mine.append(token)
            yield read - began, clock() - read, [token for mine in written for token in mine]


def measure_batching(llm: LlamaCppChat, parallel: int, words: int) -> None:
    """Answer prompts one after the other and together, in turns, and print the seconds of both."""
    prompts = [llm.render_prompt(messages) for messages in requests(parallel, words)]
    sequences = Sequences(llm.engine.llama, 2048, parallel, llm.engine.llama.n_threads)
    shared = next(n for n in range(len(prompts[0])) if len({prompt[n] for prompt in prompts}) > 1)
    seen: dict[int, list[tuple[float, float]]] = {1: [], parallel: []}
    texts: dict[int, list[int]] = {}
    for _ in range(ROUNDS):
        for group, times in seen.items():
            parts = list(sequences.answer(prompts, shared, group))
            times.append((sum(read for read, *_ in parts), sum(wrote for _, wrote, _ in parts)))
            texts[group] = [token for *_, tokens in parts for token in tokens]
    cut = [slice(n * ANSWER, (n + 1) * ANSWER) for n in range(parallel)]
    equal = sum(texts[1][one] == texts[parallel][one] for one in cut)
    print("| prompt tokens | at a time | reading s | writing s | tokens/s written | whole, ratio | equal answers |")
    for group, times in seen.items():
        read, wrote = (median(column) for column in zip(*times, strict=True))
        ratio = median(map(sum, seen[1])) / median(map(sum, times))
        size, speed = median(map(len, prompts)), parallel * ANSWER / wrote
        print(
            f"| {size:.0f} | {group} | {read:.2f} | {wrote:.2f} | {speed:.0f} | {ratio:.2f} | {equal} of {parallel} |"
        )


def main() -> None:
    """Print the table that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["queue", "batching"])
    parser.add_argument("--users", type=int, default=4)
    parser.add_argument("--length", choices=LENGTHS, default="rag")
    parser.add_argument("--cpu", action="store_true")
    given, settings = parser.parse_args(), load_settings()
    if given.cpu:
        globals()["clock"] = time.process_time
    # No states are kept: the second to read the same prompts would not have to.
    loading = Loading(threads=1 if given.cpu else settings.threads, states_mb=0)
    llm = load_chat_model(locate(settings), loading=loading, max_tokens=ANSWER)
    (measure_queue if given.what == "queue" else measure_batching)(llm, given.users, LENGTHS[given.length])
    llm.engine.close()


if __name__ == "__main__":
    main()
