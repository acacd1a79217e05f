"""One llama.cpp context comes in with a prompt's tokens; the same context goes out with all but their end read."""

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference.engine import Engine

# Prompts that share so much of the shorter one are one conversation, and one state stands for both: questions about
# the same passages share 0.9 and more, others hardly more than the system prompt.
SAME = 0.75


@dataclass(frozen=True, eq=False)
class State:
    """The whole batches that a prompt began with, and llama.cpp's keys and values of them."""

    tokens: list[int]
    data: "ctypes.Array[ctypes.c_uint8]"


def evaluate_prompt(engine: "Engine", prompt: list[int]) -> Iterator[None]:
    """Read a prompt but for its last, partial batch; yield after each batch.

    What it has in common with the last prompt, or with one whose state was kept, is not read again. Batches of another
    size round differently: with Llama.generate's own reuse of any common prefix, a greedy answer depended on what had
    been asked before (measured). Only whole batches of prompts are reused here, which leaves the same batches, hence
    the same answer, as reading the prompt afresh.
    """
    llama = engine.llama
    done = _forget_after(engine, _recall(engine, prompt))
    engine.prompt_size = len(prompt)
    for start in range(done, len(prompt) - llama.n_batch, llama.n_batch):
        llama.eval(prompt[start : start + llama.n_batch])
        yield


def _recall(engine: "Engine", prompt: list[int]) -> int:
    """Make the context begin with as much of the prompt as was read before; return how many tokens that are."""
    llama, batch = engine.llama, engine.llama.n_batch

    def reusable(tokens: Sequence[int]) -> int:
        return min(_shared(tokens, prompt), len(prompt) - 1) // batch * batch

    whole = min(engine.prompt_size, llama.n_tokens) // batch * batch  # what was generated came token by token
    live: list[int] = llama.input_ids[:whole].tolist()
    here = reusable(live)
    if here < SAME * len(live):
        _save(engine, live)
    best = max(engine.states, key=lambda state: reusable(state.tokens), default=None)
    if best and reusable(best.tokens) > here:
        _restore(engine, best)
        here = reusable(best.tokens)
    return min(here, llama.n_tokens)  # 0 where llama.cpp gave up the context


def _forget_after(engine: "Engine", size: int) -> int:
    """Forget all but the first `size` tokens; return how many are left: recurrent models can only forget all."""
    import llama_cpp

    memory = llama_cpp.llama_get_memory(engine.llama.ctx)
    if not size or not llama_cpp.llama_memory_seq_rm(memory, -1, size, -1):
        engine.llama.reset()  # type: ignore[no-untyped-call]
        return 0
    engine.llama.n_tokens = size
    return size


def _save(engine: "Engine", tokens: list[int]) -> None:
    """Keep the state of the tokens that the context begins with, in the place of the same; the longest unused go."""
    import llama_cpp

    same = [state for state in engine.states if _shared(state.tokens, tokens) >= SAME * len(state.tokens)]
    if any(_shared(state.tokens, tokens) == len(tokens) for state in same):
        return
    if not engine.states_bytes or not _forget_after(engine, len(tokens)):
        return
    size = llama_cpp.llama_state_seq_get_size(engine.llama.ctx, 0)
    kept = [state for state in engine.states if state not in same]
    while kept and size + sum(len(state.data) for state in kept) > engine.states_bytes:
        kept.pop(0)
    engine.states[:] = kept
    if size <= engine.states_bytes:
        data = (ctypes.c_uint8 * size)()
        if llama_cpp.llama_state_seq_get_data(engine.llama.ctx, data, size, 0):
            engine.states.append(State(tokens, data))


def _restore(engine: "Engine", state: State) -> None:
    """Make the context hold a kept state and nothing else; only nothing where llama.cpp does not take it."""
    import llama_cpp

    llama, size = engine.llama, len(state.tokens)
    _forget_after(engine, 0)
    engine.states.remove(state)
    if llama_cpp.llama_state_seq_set_data(llama.ctx, state.data, len(state.data), 0):
        engine.states.append(state)
        llama.input_ids[:size] = state.tokens
        llama.n_tokens = size


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many tokens two prompts begin with alike."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
