"""An open library comes in; the ASGI application with the server's endpoints goes out."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

import remembering
from chains.answers import Answer
from chains.queries import Turn, check_question
from chains.rag import astream_answer
from errors import RagError
from loaders.filters import Filter
from serving import completions
from serving.guard import guarded
from serving.library import Library
from serving.replies import EventStream, Json, Refused, adopt_tasks, refusal, refusal_of, while_connected
from serving.requests import Ask, Chat, read_body

DOCUMENTS = "groundwork"  # the name under which OpenAI's clients ask the documents


def build_app(library: Library, *, host: str, model_name: str) -> ASGIApp:
    """Return the application.

    POST /v1/ask                `ask --json`; with "stream": {"draft"} for each piece, unchecked, then {"answer"}
    GET /v1/models              the documents, and the bare model with its context (meta.n_ctx)
    POST /v1/chat/completions   OpenAI's, of either
    GET /health
    """
    settings = library.settings

    async def tell(question: str, history: list[Turn], where: Filter | None, user: str) -> AsyncGenerator[str | Answer]:
        question = check_question(question, settings.max_question_characters)
        history = history[-settings.history_turns :] if settings.history_turns else []
        key = remembering.key_of(settings, question, history, where)
        async with library.chain(where) as (chain, generation):
            if known := remembering.recall(settings, key):
                yield known
                return
            with library.errors():
                async with aclosing(astream_answer(chain, question, history, user)) as told:
                    async for each in told:
                        if isinstance(each, Answer):
                            remembering.remember(generation, key, each)
                        yield each

    async def ask(request: Request) -> Response:
        asked = await read_body(request, Ask)
        user = asked.conversation or _address(request)
        told = tell(asked.question, asked.turns(), asked.filter.parse(), user)
        if asked.stream:
            return EventStream(_drafted(told))
        *_, answer = await while_connected(request.receive, _all(told))
        return Json(asdict(answer))

    async def chat(request: Request) -> Response:
        asked = await read_body(request, Chat)
        user = asked.user or _address(request)
        if asked.model == DOCUMENTS:
            question, history = asked.conversation()
            events = completions.answer(asked, tell(question, history, asked.filter.parse(), user))
        elif asked.model == model_name:
            model = await asyncio.to_thread(library.chat_model)
            events = completions.complete(asked, model, user)
        else:
            raise Refused(404, f"there is no model {asked.model!r} here, only {DOCUMENTS} and {model_name}")
        if asked.stream:
            with_usage = asked.stream_options is not None and asked.stream_options.include_usage
            return EventStream(events if with_usage else _without_usage(events))
        return Json(completions.whole(await while_connected(request.receive, _all(events))))

    async def models(request: Request) -> Response:
        about = {"object": "model", "created": 0, "owned_by": DOCUMENTS}
        context = library.model.context_tokens if library.model else settings.context_tokens
        bare = about | {"id": model_name, "meta": {"n_ctx": context}}
        return Json({"object": "list", "data": [about | {"id": DOCUMENTS}, bare]})

    async def health(request: Request) -> Response:
        return Json({"status": "ok"})

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        adopt_tasks()
        watching = asyncio.create_task(library.watch())
        yield
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching

    routes = [
        Route("/v1/ask", ask, methods=["POST"]),
        Route("/v1/chat/completions", chat, methods=["POST"]),
        Route("/v1/models", models),
        Route("/health", health),
    ]
    handlers: Any = {RagError: _refuse, Refused: _refuse, HTTPException: _refuse_http, ClientDisconnect: _forget}
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)
    return guarded(app, host=host, key=settings.server_key.get_secret_value())


async def _refuse(request: Request, error: Exception) -> Response:
    return refusal_of(error)


async def _refuse_http(request: Request, error: HTTPException) -> Response:
    return refusal(error.status_code, f"{request.method} {request.url.path}: {error.detail}")


async def _forget(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it


async def _all(items: AsyncGenerator[Any]) -> list[Any]:
    async with aclosing(items):
        return [item async for item in items]


async def _drafted(told: AsyncGenerator[str | Answer]) -> AsyncGenerator[dict[str, Any]]:
    async with aclosing(told):
        async for each in told:
            yield {"draft": each} if isinstance(each, str) else {"answer": asdict(each)}


async def _without_usage(events: AsyncGenerator[completions.Event]) -> AsyncGenerator[completions.Event]:
    async with aclosing(events):
        async for event in events:
            if "usage" not in event:
                yield event


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
