"""A chat completion that is asked for in OpenAI's form comes in; its chunks in the same form go out."""

import time
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

from chains.answers import Answer
from chains.sanitising import plain
from chat_models import ChatModel
from errors import ModelBusy, ModelError, QuestionError
from serving.requests import SOURCES, Chat

Event = dict[str, Any]
# OpenAI's clients know no reason "repetition"; a text whose repeats were cut off is not whole either.
REASONS = {"length": "length", "repetition": "length"}


async def complete(asked: Chat, model: ChatModel, user: str) -> AsyncGenerator[Event]:
    """Yield the chunks of the bare model's answer, the usage last; raise QuestionError for what it can't do."""
    about, reason, usage = _about(asked), "", Event()
    config: Any = {"metadata": {"user": user}}
    with model.errors():
        stream: Any = model.llm.astream(asked.langchain_messages(), config=config, **_options(asked, model))
        try:
            async with aclosing(stream):
                async for chunk in stream:
                    reasoning = chunk.additional_kwargs.get("reasoning_content")
                    if chunk.text or reasoning:
                        yield _chunk(about, {"content": chunk.text, "reasoning_content": reasoning})
                    reason = chunk.response_metadata.get("finish_reason") or reason
                    usage = chunk.usage_metadata or usage
        except ModelBusy:
            raise
        except ModelError as error:  # of a model in this process: a prompt that is too long, an impossible schema
            raise QuestionError(error.value, error.reason, error.remedy) from error
    for event in _ending(about, reason, usage):
        yield event


async def answer(asked: Chat, told: AsyncGenerator[str | Answer]) -> AsyncGenerator[Event]:
    """Yield the checked answer with its sources as chunks; a draft that may not stand is no part of it."""
    about = _about(asked)
    async with aclosing(told):
        async for each in told:
            if isinstance(each, Answer):
                yield _chunk(about, {"content": each.answer + _sources(each)})
                for event in _ending(about, each.finish_reason, each.usage):
                    yield event | {"groundwork": asdict(each)}


def whole(events: list[Event]) -> Event:
    """Join the chunks of a completion into one."""
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    reason = ""
    for choice in (choice for event in events for choice in event["choices"]):
        for key in ("content", "reasoning_content"):
            if piece := choice["delta"].get(key):
                message[key] = message.get(key, "") + piece
        reason = choice["finish_reason"] or reason
    choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
    return events[-1] | {"object": "chat.completion", "choices": [choice]}


def _options(asked: Chat, model: ChatModel) -> dict[str, Any]:
    """Return what the client wants otherwise than the settings say."""
    wanted = {name: getattr(asked, name) for name in ("temperature", "top_p", "seed")}
    wanted["max_tokens"] = asked.max_completion_tokens or asked.max_tokens
    wanted["stop"] = [asked.stop] if isinstance(asked.stop, str) else asked.stop
    form = asked.response_format
    if form and form.type != "text":
        schema = form.json_schema.schema_ if form.json_schema else None
        wanted["response_format"] = model.json_form(schema)
    return {name: value for name, value in wanted.items() if value is not None}


def _about(asked: Chat) -> Event:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": asked.model,
    }


def _chunk(about: Event, delta: Event, reason: str | None = None) -> Event:
    said = {key: value for key, value in delta.items() if value is not None}
    return about | {"choices": [{"index": 0, "delta": {"role": "assistant"} | said, "finish_reason": reason}]}


def _ending(about: Event, reason: str, usage: Mapping[str, Any]) -> list[Event]:
    read, written = (usage.get(f"{kind}_tokens", 0) for kind in ("input", "output"))
    used = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    return [_chunk(about, {}, REASONS.get(reason, "stop")), about | {"choices": [], "usage": used}]


def _sources(told: Answer) -> str:
    cited = [source for source in told.sources if source.n in told.cited]
    lines = [f"[{each.n}] {plain(each.source)}" + (f", page {each.page}" if each.page else "") for each in cited]
    return SOURCES + "\n".join(lines) if lines else ""
