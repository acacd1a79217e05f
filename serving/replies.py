"""What is being worked out for a client comes in; JSON, server-sent events or a refusal go out, while it listens."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from contextvars import ContextVar, copy_context
from typing import Any, TypeVar
from weakref import WeakSet

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from errors import ModelBusy, QuestionError, RagError, StoreError, StoreLocked

Value = TypeVar("Value")
SEND_S = 60.0  # in which a client has to take what it is sent
LOCKED_S = 5.0  # after which an index that is being changed may be free again
KINDS = {401: "authentication_error", 403: "permission_error", 409: "conflict_error", 503: "unavailable_error"}
_family: ContextVar["WeakSet[asyncio.Task[Any]] | None"] = ContextVar("family", default=None)


class Refused(Exception):
    """A request can't be served as it is: the HTTP status and one line that says why."""

    def __init__(self, status: int, message: str) -> None:
        """Keep both."""
        super().__init__(message)
        self.status, self.message = status, message


class Json(JSONResponse):
    """A value as JSON; half a surrogate pair, which a file's name may hold, becomes a question mark."""

    def render(self, content: Any) -> bytes:
        """Return the bytes."""
        return json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")


def refusal(status: int, message: str, retry_after_s: float = 0.0) -> Json:
    """Return an error in OpenAI's form."""
    kind = KINDS.get(status, "invalid_request_error")
    headers = {"Retry-After": str(max(1, round(retry_after_s)))} if retry_after_s else {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    error = {"message": message, "type": kind, "param": None, "code": None}
    return Json({"error": error}, status, headers)


def refusal_of(error: Exception) -> Json:
    """Return the reply to an error: 400 for what is asked, 409 for the index, 503 for a model or index in use."""
    if isinstance(error, Refused):
        return refusal(error.status, error.message)
    if isinstance(error, StoreLocked):
        return refusal(503, str(error), LOCKED_S)
    if isinstance(error, ModelBusy):
        return refusal(503, str(error), error.retry_after_s)
    status = 400 if isinstance(error, QuestionError) else 409 if isinstance(error, StoreError) else 503
    return refusal(status, str(error))


def adopt_tasks() -> None:
    """Have this event loop note which tasks each request starts.

    langchain-core 1.7 leaves the tasks of its parallel steps running when their stream is cancelled: a model would go
    on reading a prompt, or keep its place in the queue, for a client that has gone.
    """

    def start(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> "asyncio.Task[Any]":
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **options)
        if (family := _family.get()) is not None:
            family.add(task)
        return task

    asyncio.get_running_loop().set_task_factory(start)


async def while_connected(receive: Receive, work: Coroutine[Any, Any, Value]) -> Value:
    """Return what `work` returns; when the client goes, cancel all that it started and raise ClientDisconnect."""
    family: WeakSet[asyncio.Task[Any]] = WeakSet()
    context = copy_context()
    context.run(_family.set, family)
    task = asyncio.get_running_loop().create_task(work, context=context)
    leaving = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        for each in (leaving, task, *family):
            each.cancel()
        await asyncio.gather(leaving, task, *family, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class EventStream(StreamingResponse):
    """Send each of `events` as JSON in a server-sent event, then [DONE]; what fails before the first is a refusal."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[Any]) -> None:
        """Take a generator, which is closed when the client goes."""
        super().__init__(events)
        self.events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""
        with contextlib.suppress(ClientDisconnect):
            await while_connected(receive, self._send(scope, receive, send))

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False
        try:
            async with aclosing(self.events) as events:
                async for event in events:
                    if not started:
                        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                        started = True
                    await _send_body(send, _frame(Json(event)))
        except (RagError, Refused) as error:
            if not started:
                await refusal_of(error)(scope, receive, send)
                return
            await _send_body(send, _frame(refusal_of(error)), more=False)
        else:
            await _send_body(send, b"data: [DONE]\n\n", more=False)


def _frame(event: Json) -> bytes:
    return b"data: " + bytes(event.body) + b"\n\n"


async def _send_body(send: Send, body: bytes, *, more: bool = True) -> None:
    try:
        async with asyncio.timeout(SEND_S):  # uvicorn waits here while the client's buffer is full
            await send({"type": "http.response.body", "body": body, "more_body": more})
    except TimeoutError:
        raise ClientDisconnect from None
