"""The callbacks of one run come in; the milliseconds of its stages and the tokens that it used go out."""

import time
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult

STAGES = ("rewrite", "retrieve", "rerank", "fit", "generate", "check")


class Trace(BaseCallbackHandler):
    """Collect `timings` (stage → ms, `first_token` since the start of the run) and `usage` (tokens) of one run."""

    run_inline = True  # in the chain's own thread: a queue would hold the times up

    def __init__(self) -> None:
        """Start the clock."""
        self._started = self._stage_began = time.perf_counter()
        self._names: dict[UUID, str] = {}
        self.timings: dict[str, float] = {}
        self.usage: dict[str, int] = {}

    def total(self) -> dict[str, float]:
        """Return the timings so far, and the whole run's."""
        return {f"{k}_ms": round(v, 1) for k, v in (self.timings | {"total": self._since(self._started)}).items()}

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: UUID, name: str | None = None, **_: Any) -> None:
        """Note which run is which stage."""
        if name in STAGES:
            self._names[run_id] = name

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **_: Any) -> None:
        """Note how long a stage took since the one before it: a streamed run starts all its stages at once."""
        if run_id in self._names:
            self.timings[self._names.pop(run_id)] = self._since(self._stage_began)
            self._stage_began = time.perf_counter()

    def on_llm_new_token(self, token: Any, **_: Any) -> None:
        """Note when the first token of the answer came."""
        self.timings.setdefault("first_token", self._since(self._started))

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        """Add up the tokens that the model counted."""
        for generation in response.generations[0]:
            message = generation.message if isinstance(generation, ChatGeneration) else None
            used = message.usage_metadata if isinstance(message, AIMessage) else None
            for key, tokens in (used or {}).items():
                if isinstance(tokens, int):
                    self.usage[key] = self.usage.get(key, 0) + tokens

    @staticmethod
    def _since(began: float) -> float:
        return (time.perf_counter() - began) * 1000
