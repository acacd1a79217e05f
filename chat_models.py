"""Settings come in; the chat model that they name, open, goes out."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage

import models
from errors import ModelError
from hub.names import HUB
from inference.chat_model import LlamaCppChat, load_chat_model
from inference.fitting import Room, fit, fit_as_asked
from inference.gguf_header import read_header
from inference.loading import Loading
from inference.offload import Offload
from inference.remote_model import estimate_tokens, failures, remote_model, told_context
from inference.room import free_room
from inference.tuning import tune
from settings import ROOT, Settings

# Under this many weights a model is not asked, unless an adapter taught it to answer briefly. Of 92 questions, as it
# comes SmolLM2-135M lost seven that the quote answers and won none, at ten times the time (benchmarks/answers.md).
SMALL_MODEL = 1_000_000_000
UNNAMED = ("", "off", "auto")  # values of RAG_ADAPTER that name no file
ADAPTERS = ROOT / "adapters"  # NAME.gguf is for the packaged model NAME


@dataclass(frozen=True)
class ChatModel:
    """A chat model, how many tokens its prompt and answer may have together, and how they are counted."""

    llm: BaseChatModel
    context_tokens: int
    count_tokens: Callable[[list[BaseMessage]], int]
    is_small: bool
    errors: Callable[[], AbstractContextManager[None]] = nullcontext  # turns a server's failures into ModelErrors

    def json_form(self, schema: dict[str, Any] | None) -> dict[str, Any]:
        """Return the response_format by which it answers in JSON, by a schema if there is one."""
        if schema is None:
            return {"type": "json_object"}
        if isinstance(self.llm, LlamaCppChat):
            return {"type": "json_object", "schema": schema}
        return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


@contextmanager
def open_model(settings: Settings) -> Iterator[ChatModel]:
    """Open the chat model: llama.cpp in this process, freed in the end, or the server that RAG_MODEL_URL names."""
    if settings.model_url:
        if settings.adapter not in UNNAMED:
            reason = "RAG_MODEL_URL names a server, which has to load it itself"
            raise ModelError(f"RAG_ADAPTER={settings.adapter}", reason, "Unset one of the two")
        with remote_model(
            settings.model_url,
            settings.model,
            key=settings.model_key.get_secret_value(),
            temperature=settings.temperature,
            max_tokens=settings.max_answer_tokens,
            seed=settings.seed,
        ) as remote:
            if 0 < (told := told_context(remote)) < settings.context_tokens:
                reason = f"the context of {settings.model} at {settings.model_url} holds {told}"
                raise ModelError(
                    f"{settings.context_tokens} context tokens", reason, f"Set RAG_CONTEXT_TOKENS to {told} or less"
                )
            errors = partial(failures, settings.model_url, settings.model)
            yield ChatModel(remote, settings.context_tokens, estimate_tokens, is_small=False, errors=errors)
        return
    path, adapter = locate(settings), locate_adapter(settings)
    loading = fit_loading(settings, path, free_room())
    if settings.tune:
        path, loading = tune(path, loading, settings.cache, requantised=not adapter)
    llm = load_chat_model(
        path,
        loading=replace(
            loading,
            queue=settings.queue,
            states_mb=settings.states_mb,
            adapter=adapter,
            adapter_scale=settings.adapter_scale,
        ),
        temperature=settings.temperature,
        max_tokens=settings.max_answer_tokens,
        seed=settings.seed,
    )
    try:
        if short := offload_shortfall(settings, llm.engine.offload):
            logging.getLogger(__name__).warning(short)
        is_small = llm.engine.parameters < SMALL_MODEL
        yield ChatModel(llm, llm.context_tokens, llm.get_num_tokens_from_messages, is_small=is_small)
    finally:
        llm.engine.close()


def wanted_loading(settings: Settings) -> Loading:
    """Return how the settings want the model loaded, RAG_GPU_LAYERS=auto taken for all."""
    layers = -1 if settings.gpu_layers == "auto" else settings.gpu_layers
    return Loading(layers, settings.context_tokens, settings.threads, cache_type=settings.cache_type)


def fit_loading(settings: Settings, path: Path, room: Room) -> Loading:
    """Return the same, RAG_GPU_LAYERS=auto resolved by the GPUs' free memory; warn where RAM can't hold the rest."""
    wanted, header = wanted_loading(settings), read_header(path)
    found = fit(header, wanted, room) if settings.gpu_layers == "auto" else fit_as_asked(header, wanted, room)
    if not found.fits:
        logging.getLogger(__name__).warning("%s: %s", path.name, " ".join(found.advice))
    return found.loading


def answer_style(settings: Settings) -> str:
    """Return how answers are made: write, brief or quote, RAG_ANSWER_STYLE=auto resolved by the model's size.

    A small one with an adapter answers briefly.
    """
    if settings.answer_style != "auto":
        return settings.answer_style
    if settings.model_url or read_header(locate(settings)).parameters >= SMALL_MODEL:
        return "write"
    return "brief" if shipped_adapter(settings) or settings.adapter not in UNNAMED else "quote"


def locate(settings: Settings) -> Path:
    """Return the verified GGUF file that the settings name."""
    return models.locate_weights(
        settings.model, base=ROOT, sha256=settings.model_sha256, offline=settings.offline, cache=settings.cache
    )


def locate_adapter(settings: Settings) -> Path | None:
    """Return the LoRA adapter that the settings name, its hash checked where they give one.

    auto: the one that comes with a packaged model, where answers are brief, which is all that it was taught.
    """
    if settings.adapter == "auto":
        return shipped_adapter(settings) if answer_style(settings) == "brief" else None
    if settings.adapter in UNNAMED:
        return None
    if not (settings.adapter.startswith(HUB) or (ROOT / Path(settings.adapter).expanduser()).is_file()):
        raise ModelError(settings.adapter, "no such adapter file", "Set RAG_ADAPTER to a GGUF file's path")
    return models.locate_weights(
        settings.adapter, base=ROOT, sha256=settings.adapter_sha256, offline=settings.offline, cache=settings.cache
    )


def shipped_adapter(settings: Settings) -> Path | None:
    """Return the adapter that comes with the packaged model, where the settings name this and leave that to us."""
    path = ADAPTERS / f"{settings.model}.gguf"
    return path if settings.adapter == "auto" and "/" not in settings.model and path.is_file() else None


def offload_shortfall(settings: Settings, offload: Offload) -> str:
    """Say what a number in RAG_GPU_LAYERS asks for and did not happen; auto asks for nothing that may not."""
    return "" if settings.gpu_layers == "auto" else offload.shortfall
