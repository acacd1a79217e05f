"""The body of a request comes in; what it asks for, checked and bounded, goes out."""

import asyncio
from typing import Any, Literal, TypeVar

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.requests import Request

from chains.queries import Turn
from loaders.filters import Filter, parse_filter
from serving.replies import Refused

MOST_BYTES = 1_000_000
BODY_S = 30.0  # in which a client has to send its request
SOURCES = "\n\nSources:\n"  # what stands before the sources of an answer, and is cut off when it comes back as history
KINDS: dict[str, type[BaseMessage]] = {"assistant": AIMessage, "user": HumanMessage}
# They would change the answer, and nothing here has them: better refused than ignored.
MISSING = ("tools", "functions", "logprobs", "logit_bias", "presence_penalty", "frequency_penalty", "audio")
Body = TypeVar("Body", bound=BaseModel)


class Where(BaseModel):
    """The options of `ask` that say which documents to ask, under the same names."""

    model_config = ConfigDict(extra="forbid")
    source: list[str] = Field(default=[], max_length=100)
    suffix: list[str] = Field(default=[], max_length=100)
    since: str = ""
    until: str = ""
    language: list[str] = Field(default=[], max_length=100)
    field: list[str] = Field(default=[], max_length=100)

    def parse(self) -> Filter | None:
        """Return the filter; raise QuestionError."""
        return parse_filter(self.source, self.suffix, self.since, self.until, self.language, self.field)


class Earlier(BaseModel):
    """One earlier exchange."""

    question: str
    answer: str = ""


class Ask(BaseModel):
    """A question of the documents; `conversation` names who takes turns with others at the model."""

    model_config = ConfigDict(extra="forbid")
    question: str
    history: list[Earlier] = Field(default=[], max_length=100)
    filter: Where = Where()
    conversation: str = Field("", max_length=200)
    stream: bool = False

    def turns(self) -> list[Turn]:
        """Return the history as the chain reads it."""
        return [{"question": each.question, "answer": each.answer} for each in self.history]


class Part(BaseModel):
    """A part of a message, which can only be text."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """A message in OpenAI's form."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]

    @property
    def text(self) -> str:
        """Return its text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class Schema(BaseModel):
    """A named JSON schema."""

    schema_: dict[str, Any] = Field(alias="schema")


class Form(BaseModel):
    """The form in which the model answers."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: Schema | None = None


class StreamOptions(BaseModel):
    """What a stream tells besides."""

    include_usage: bool = False


class Chat(BaseModel):
    """A request for a chat completion in OpenAI's form; what it does not know is ignored if that changes no answer."""

    model: str = Field(max_length=500)
    messages: list[Message] = Field(min_length=1, max_length=500)
    filter: Where = Where()
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    seed: int | None = Field(None, ge=0, lt=2**32 - 1)
    stop: str | list[str] | None = Field(None, max_length=1000)
    response_format: Form | None = None
    user: str = Field("", max_length=200)
    n: Literal[1, None] = 1

    @model_validator(mode="before")
    @classmethod
    def _nothing_missing(cls, given: Any) -> Any:
        if isinstance(given, dict) and (asked := [name for name in MISSING if given.get(name)]):
            raise ValueError(f"there is no {', '.join(asked)} here")
        return given

    def conversation(self) -> tuple[str, list[Turn]]:
        """Return the last message as the question, and the exchanges before it; raise Refused."""
        *earlier, last = self.messages
        if last.role != "user":
            raise Refused(400, "the last message has to be the user's question")
        turns: list[Turn] = []
        for message in earlier:
            if message.role == "user":
                turns.append({"question": message.text, "answer": ""})
            elif message.role == "assistant" and turns:
                turns[-1]["answer"] = message.text.partition(SOURCES)[0]
        return last.text, turns

    def langchain_messages(self) -> list[BaseMessage]:
        """Return the messages as a chat model reads them."""
        return [KINDS.get(message.role, SystemMessage)(message.text) for message in self.messages]


async def read_body(request: Request, kind: type[Body]) -> Body:
    """Return the request's JSON body; raise Refused for one that is too large, too slow or wrong."""
    if request.headers.get("content-type", "").partition(";")[0].strip().casefold() != "application/json":
        raise Refused(415, "the body has to be application/json")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for piece in request.stream():
                body += piece
                if len(body) > MOST_BYTES:
                    raise Refused(413, f"the body has more than {MOST_BYTES} bytes")
    except TimeoutError:
        raise Refused(408, f"the body did not come within {BODY_S:.0f} s") from None
    try:
        return kind.model_validate_json(bytes(body))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise Refused(400, f"{place}: {message}" if place else message) from None
