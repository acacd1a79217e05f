"""An index, a chat model and questions come in; what of their prompts is read, and how long that takes, goes out.

    RAG_STORE=… python benchmarks/prefix.py shares --questions data/sample/questions.jsonl
    RAG_STORE=… python benchmarks/prefix.py times --questions data/sample/questions.jsonl

shares: tokens are counted, nothing is read. times: `groups` sets of passages that the search brings, each asked about
by several questions; all ways take turns in one process, in rounds. Rows of the questions: {question, doc_id}.
"""

import argparse
import json
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise, permutations
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


def shares(llm: LlamaCppChat, found: Found, documents: dict[str, str]) -> None:
    """Print the share of a prompt that has to be read after another one: the mean, and how often it is under a half."""
    questions, batch = list(found), llm.engine.llama.n_batch

    def tokens(shown: list[Document], question: str, fence: Fence = FENCE) -> list[int]:
        return llm.render_prompt(message(shown, question, fence))

    def tell(name: str, pairs: list[tuple[list[int], list[int]]]) -> None:
        read = [1 - min(prefix._shared(a, b), len(b) - 1) // batch * batch / len(b) for a, b in pairs]
        half = sum(share < 0.5 for share in read) / len(read)
        print(f"| {name} | {len(pairs)} | {sum(read) / len(read):.2f} | {half:.2f} |")

    sizes = [len(tokens(shown, question)) for question, shown in found.items()]
    print(f"prompts of {min(sizes)} to {max(sizes)} tokens")
    follow_ups = list(pairwise(questions))
    tell("the same passages", [(tokens(found[a], a), tokens(found[a], b)) for a, b in follow_ups])
    new = [build_fence(secrets.token_bytes(8)) for _ in follow_ups]
    again = zip(follow_ups, new, strict=True)
    tell("the same, a fence for each request", [(tokens(found[a], a), tokens(found[a], b, f)) for (a, b), f in again])
    on_one = [(a, b) for a, b in permutations(questions, 2) if documents[a] and documents[a] == documents[b]]
    tell("questions on one document, passages by rank", [(tokens(found[a], a), tokens(found[b], b)) for a, b in on_one])
    placed = {q: sorted(shown, key=lambda p: (p.metadata["source"], p.metadata["start"])) for q, shown in found.items()}
    tell("the same, by place", [(tokens(placed[a], a), tokens(placed[b], b)) for a, b in on_one])


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["times", "shares"])
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--groups", type=int, default=3)
    parser.add_argument("--cpu", action="store_true", help="CPU time of one thread: on a machine that others use, too")
    options = parser.parse_args()
    settings = load_settings(answer_style="write")
    rows = [json.loads(line) for line in options.questions.read_text(encoding="utf-8").splitlines()]
    rows = rows[: 2 * options.groups] if options.what == "times" else rows
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
        shares(llm, found, {row["question"]: row.get("doc_id", "") for row in rows})
    llm.engine.close()


if __name__ == "__main__":
    main()
