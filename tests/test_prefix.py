"""What was read of a prompt is not read again, and what is answered never depends on it."""

import copy
from collections.abc import Iterator

import pytest
from langchain_core.messages import HumanMessage

from inference.chat_model import LlamaCppChat
from inference.engine import Engine
from inference.prefix import State, evaluate_prompt

ALIKE = "The sea is wide and the kettle is small. " * 11
PROMPTS = [f"{who} says: {ALIKE} {asked}" for who in ("Ada", "Otto", "Maria") for asked in ("Who?", "How wide is it?")]


@pytest.fixture
def engine(llm: LlamaCppChat) -> Iterator[Engine]:
    """Give the shared context, empty and with room for states, and leave it as it was."""
    engine, before = llm.engine, llm.engine.states_bytes
    forget(engine)
    yield engine
    forget(engine)
    engine.states_bytes = before


def forget(engine: Engine) -> None:
    engine.prompt_size = 0
    engine.states.clear()


def tokens_read(llm: LlamaCppChat, prompt: str) -> int:
    """Evaluate a prompt; return how many of its tokens were read for that."""
    batches = sum(1 for _ in evaluate_prompt(llm.engine, llm.render_prompt([HumanMessage(prompt)])))
    return batches * llm.engine.llama.n_batch


def test_an_answer_is_the_same_whatever_was_read_before(llm: LlamaCppChat, engine: Engine) -> None:
    fresh = []
    for prompt in PROMPTS[:4]:
        forget(engine)
        fresh.append(llm.invoke(prompt, max_tokens=6).content)
    for at in (0, 2, 1, 3, 0):
        assert llm.invoke(PROMPTS[at], max_tokens=6).content == fresh[at]
    assert len(engine.states) == 2


def test_users_in_turn_do_not_make_the_model_read_their_prompts_again(llm: LlamaCppChat, engine: Engine) -> None:
    batch = engine.llama.n_batch
    cold = [tokens_read(llm, PROMPTS[at]) for at in (0, 2)]
    assert min(cold) >= 2 * batch
    assert [tokens_read(llm, PROMPTS[at]) for at in (1, 3, 0, 2)] == [0, 0, 0, 0], "all but the last, partial batch"
    engine.states_bytes = 0
    forget(engine)
    assert [tokens_read(llm, PROMPTS[at]) for at in (0, 2, 0)] == [*cold, cold[0]]


def test_states_take_no_more_than_they_may_and_the_longest_unused_goes(llm: LlamaCppChat, engine: Engine) -> None:
    def kept() -> list[list[int]]:
        return [state.tokens for state in engine.states]

    for at in (0, 2, 4, 0, 2):
        tokens_read(llm, PROMPTS[at])
    ada, otto, maria = (tokens(llm, engine, PROMPTS[at]) for at in (0, 2, 4))
    assert kept() == [maria, ada, otto]
    engine.states_bytes = 2 * len(engine.states[0].data)
    tokens_read(llm, "Nobody says: " + ALIKE)
    tokens_read(llm, "Hi")
    assert sum(len(state.data) for state in engine.states) <= engine.states_bytes
    assert kept()[0] == otto and maria not in kept()


def tokens(llm: LlamaCppChat, engine: Engine, prompt: str) -> list[int]:
    """Return the whole batches of a prompt."""
    whole = llm.render_prompt([HumanMessage(prompt)])
    return whole[: len(whole) // engine.llama.n_batch * engine.llama.n_batch]


def test_questions_on_the_same_passages_share_one_state(llm: LlamaCppChat, engine: Engine) -> None:
    for at in (0, 1, 2, 1, 3, 0):
        tokens_read(llm, PROMPTS[at])
    assert len(engine.states) == 2


def test_a_state_that_llama_cpp_does_not_take_is_read_afresh(llm: LlamaCppChat, engine: Engine) -> None:
    fresh = llm.invoke(PROMPTS[0], max_tokens=6).content
    llm.invoke(PROMPTS[2], max_tokens=6)
    [state] = engine.states
    damaged = copy.copy(state.data)
    damaged[:64] = [255] * 64
    engine.states[:] = [State(state.tokens, damaged)]
    assert llm.invoke(PROMPTS[0], max_tokens=6).content == fresh
