"""An index, a chat model and questions come in; how long the first token takes, cold and over what was read, goes out.

    RAG_STORE=… python benchmarks/prefix.py times --questions data/sample/questions.jsonl
    RAG_STORE=… python benchmarks/prefix.py order --questions data/sample/questions.jsonl

times: `groups` sets of passages that the search brings, each asked about by several questions; all ways take turns in
one process, in rounds. order: which share of a prompt need not be read again after a question on the same document,
with the passages by rank and in an order of their own; tokens are counted, nothing is read. Rows of the questions:
{question, doc_id}.
"""

import argparse
import json
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from statistics import median

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage

import pipeline
from chains.fences import Fence, build_fence
from chains.queries import Query
from chains.retrieval_qa import show_passages
from chat_models import locate
from inference import prefix
from inference.chat_model import LlamaCppChat, load_chat_model
from inference.loading import Loading
from prompts import load_prompt
from searching import build_search
from settings import load_settings

FENCE = build_fence(b"benchmark")
CLOCKS = [time.perf_counter]  # the last one counts
Found = dict[str, list[Document]]  # question → passages


def message(passages: list[Document], question: str, fence: Fence = FENCE) -> list[BaseMessage]:
    """Return the prompt of style write."""
    return load_prompt("answer").format_messages(context=show_passages(passages, fence=fence), question=question)


def first_token(llm: LlamaCppChat, messages: list[BaseMessage]) -> float:
    """Return the milliseconds to the first token."""
    began = CLOCKS[-1]()
    stream = llm.stream(messages, max_tokens=1)
    next(iter(stream))
    took = CLOCKS[-1]() - began
    list(stream)
    return took * 1000


def forget(llm: LlamaCppChat) -> None:
    """Make the model begin as if it had read nothing."""
    llm.engine.prompt_size = 0
    llm.engine.states.clear()


def times(llm: LlamaCppChat, found: Found, rounds: int, groups: int) -> None:
    """Print the medians of each way: the share of the prompt that is read, the time, its ratio to the cold one."""
    questions = list(found)[: 2 * groups]
    passages = [found[question] for question in questions[::2]]
    size = [len(llm.render_prompt(message(shown, questions[0]))) for shown in passages]
    print(f"{groups} sets of passages; prompts of {min(size)} to {max(size)} tokens; batch {llm.engine.llama.n_batch}")
    took: dict[str, list[float]] = {}
    read: dict[str, list[float]] = {}
    evaluate, parts = llm.engine.llama.eval, []

    def counted(tokens: list[int]) -> None:
        parts.append(len(tokens))
        evaluate(tokens)

    llm.engine.llama.eval = counted

    def note(name: str, messages: list[BaseMessage]) -> None:
        parts.clear()
        took.setdefault(name, []).append(first_token(llm, messages))
        read.setdefault(name, []).append(sum(parts) / len(llm.render_prompt(messages)))
        print(f"{name}: {took[name][-1]:.0f} ms", file=sys.stderr)

    room = llm.engine.states_bytes
    for n in range(rounds):
        one, other = passages[n % groups], passages[(n + 1) % groups]
        first, second, third = (questions[(2 * n + at) % len(questions)] for at in range(3))
        forget(llm)
        note("cold", message(one, first))
        note("same passages", message(one, second))
        note("same passages, a fence for each request", message(one, third, build_fence(secrets.token_bytes(8))))
        note("other passages, the same system prompt", message(other, first))
        for name, limit in (("users in turn, states kept", room), ("users in turn, none kept", 0)):
            forget(llm)
            llm.engine.states_bytes = limit
            first_token(llm, message(one, first)), first_token(llm, message(other, first))
            note(name, message(one, second))
        llm.engine.states_bytes = room
    cold = median(took["cold"])
    for name, values in took.items():
        print(f"| {name} | {median(read[name]):.2f} | {median(values):.0f} ms | {median(values) / cold:.2f} |")
    print(", ".join(state_costs(llm, message(passages[0], questions[0]), message(passages[1], questions[0]))))


def state_costs(llm: LlamaCppChat, one: list[BaseMessage], other: list[BaseMessage]) -> Iterator[str]:
    """Yield what a state takes: megabytes, and milliseconds to keep and to fetch."""
    forget(llm)
    engine, prompt = llm.engine, llm.render_prompt(one)
    first_token(llm, one)
    whole = prompt[: len(prompt) // engine.llama.n_batch * engine.llama.n_batch]
    saving, restoring = [], []
    for _ in range(5):
        engine.states.clear()
        saving.append(timed(lambda: prefix._save(engine, whole)))
        [state] = engine.states
        restoring.append(timed(lambda: prefix._restore(engine, state)))  # noqa: B023
    yield f"a state of {len(whole)} tokens: {len(engine.states[0].data) / 1e6:.1f} MB"
    yield f"kept in {median(saving):.0f} ms"
    yield f"fetched in {median(restoring):.0f} ms"


def timed(do: Callable[[], None]) -> float:
    """Return the milliseconds that something takes."""
    began = CLOCKS[-1]()
    do()
    return (CLOCKS[-1]() - began) * 1000


def order(llm: LlamaCppChat, found: Found, documents: dict[str, str]) -> None:
    """Print the share of a prompt that another question on its document left, and how often that is more than half."""
    ways: dict[str, Callable[[list[Document]], list[Document]]] = {
        "by rank": list,
        "by place": lambda shown: sorted(shown, key=lambda each: (each.metadata["source"], each.metadata["start"])),
    }
    pairs = [(a, b) for a, b in permutations(found, 2) if documents[a] == documents[b]]
    same = [sorted(str(p.id) for p in found[a]) == sorted(str(p.id) for p in found[b]) for a, b in pairs]
    print(f"{len(pairs)} pairs of questions on one document; {sum(same)} bring the same passages")
    for name, arrange in ways.items():
        prompts = {q: llm.render_prompt(message(arrange(shown), q)) for q, shown in found.items()}
        shares = [prefix._shared(prompts[a], prompts[b]) / len(prompts[b]) for a, b in pairs]
        print(f"| {name} | {sum(shares) / len(shares):.3f} | {sum(s > 0.5 for s in shares) / len(shares):.2f} |")


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["times", "order"])
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--groups", type=int, default=3)
    parser.add_argument("--cpu", action="store_true", help="CPU time of one thread: on a machine that others use, too")
    options = parser.parse_args()
    settings = load_settings(answer_style="write")
    rows = [json.loads(line) for line in options.questions.read_text(encoding="utf-8").splitlines()]
    rows = rows[: 2 * options.groups] if options.what == "times" else [row for row in rows if row.get("doc_id")]
    with pipeline.open_index(settings) as index:
        search = build_search(settings, index, limit=settings.top_k)
        found = {row["question"]: search.invoke([Query(row["question"])]) for row in rows}
    if options.cpu:
        CLOCKS.append(time.process_time)
    threads = 1 if options.cpu else 0
    llm = load_chat_model(locate(settings), loading=Loading(context_tokens=2048, threads=threads))
    if options.what == "times":
        times(llm, found, options.rounds, options.groups)
    else:
        order(llm, found, {row["question"]: row["doc_id"] for row in rows})
    llm.engine.close()


if __name__ == "__main__":
    main()
