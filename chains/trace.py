"""The callbacks of one run come in; the milliseconds of its stages and the tokens that it used go out."""

import time
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult

STAGES = ("rewrite", "retrieve", "fit", "generate", "check")  # one after the other: together they are the whole
RANKING = ("fuse", "light", "rerank", "diversify", "passages", "cut")  # steps that give out passages, best first
STEPS = ("normalise", "follow_up", "correct", "decompose", "synonyms", "expand", "legs", *RANKING, "highlight")


class Trace(BaseCallbackHandler):
    """Collect `timings` (stage or step → ms, `first_token` since the start) and `usage` (tokens) of one run.

    `finish_reason` is why the answer's model stopped: stop, length, repetition; "" where none wrote.
    The first two stages consist of steps, so that their times are counted in both.
    """

    run_inline = True  # in the chain's own thread: a queue would hold the times up

    def __init__(self) -> None:
        """Start the clock."""
        self._started = self._stage_began = self._step_began = time.perf_counter()
        self._names: dict[UUID, str] = {}
        self.timings: dict[str, float] = {}
        self.usage: dict[str, int] = {}
        self.finish_reason = ""

    def total(self) -> dict[str, float]:
        """Return the timings so far, and the whole run's."""
        return {f"{k}_ms": round(v, 1) for k, v in (self.timings | {"total": self._since(self._started)}).items()}

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: UUID, name: str | None = None, **_: Any) -> None:
        """Note which run is which stage or step."""
        if name in STAGES or name in STEPS:
            self._names[run_id] = str(name)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **_: Any) -> None:
        """Note how long a stage or step took since the one before it: a streamed run starts all of them at once."""
        if name := self._names.pop(run_id, ""):
            self.timings[name] = self._since(self._stage_began if name in STAGES else self._step_began)
            self._step_began = time.perf_counter()
            if name in STAGES:
                self._stage_began = self._step_began
            if name == "rewrite":
                self.finish_reason = ""  # a model that wrote queries

    def on_llm_new_token(self, token: Any, **_: Any) -> None:
        """Note when the first token of the answer came."""
        self.timings.setdefault("first_token", self._since(self._started))

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        """Add up the tokens that the model counted."""
        for generation in response.generations[0]:
            message = generation.message if isinstance(generation, ChatGeneration) else None
            used = message.usage_metadata if isinstance(message, AIMessage) else None
            about = message.response_metadata if isinstance(message, AIMessage) else {}
            self.finish_reason = str(about.get("finish_reason") or "")
            for key, tokens in (used or {}).items():
                if isinstance(tokens, int):
                    self.usage[key] = self.usage.get(key, 0) + tokens

    @staticmethod
    def _since(began: float) -> float:
        return (time.perf_counter() - began) * 1000
