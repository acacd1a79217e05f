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
        self._started = time.perf_counter()
        self._open: dict[UUID, tuple[str, float]] = {}
        self.timings: dict[str, float] = {}
        self.usage: dict[str, int] = {}

    def total(self) -> dict[str, float]:
        """Return the timings so far with the whole run's."""
        return {f"{k}_ms": round(v, 1) for k, v in (self.timings | {"total": self._since(self._started)}).items()}

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: UUID, name: str | None = None, **_: Any) -> None:
        """Note when a stage begins."""
        if name in STAGES:
            self._open[run_id] = (name, time.perf_counter())

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **_: Any) -> None:
        """Note how long a stage took."""
        if run_id in self._open:
            name, began = self._open.pop(run_id)
            self.timings[name] = self._since(began)

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
