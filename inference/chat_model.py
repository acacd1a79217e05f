"""A GGUF file's path comes in; a LangChain chat model that runs it in this process by llama.cpp goes out."""

from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.callbacks.manager import BaseRunManager
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.chat_models import agenerate_from_stream, generate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config
from pydantic import BaseModel, Field, InstanceOf

from errors import ModelError
from inference.chat_template import ChatTemplate, read_chat_template, render_text, strip_control_tokens
from inference.engine import Engine, open_engine
from inference.loading import DEFAULTS, Loading
from inference.sampling import Tally, generate_pieces, json_grammar
from inference.structured_output import build_structured
from inference.text_filters import THINK_OPENS, cut_at_stop, split_reasoning

USER = "user"
OVERRIDES = ("temperature", "top_p", "max_tokens", "seed", "response_format")


class LlamaCppChat(BaseChatModel):
    """Chat with one llama.cpp context: streams, counts, stops, keeps to a JSON schema; calls no tools.

    Calls queue for it: metadata's "user" in a call's config takes turns with others. Closing a stream ends it.
    """

    engine: InstanceOf[Engine] = Field(exclude=True, repr=False)
    template: InstanceOf[ChatTemplate] = Field(exclude=True, repr=False)
    temperature: float = Field(default=0.0, ge=0, description="0 takes the likeliest token every time")
    top_p: float = Field(default=0.95, gt=0, le=1, description="without effect at temperature 0")
    max_tokens: int = Field(default=256, ge=1, description="of an answer, reasoning included")
    seed: int = Field(default=0, ge=0, lt=2**32 - 1, description="without effect at temperature 0")
    stop: tuple[str, ...] = Field(default=(), description="strings that end an answer and are left out")

    @property
    def model_name(self) -> str:
        """Name the model's file."""
        return self.engine.model_name

    @property
    def context_tokens(self) -> int:
        """Return how many tokens prompt and answer may have together."""
        return self.engine.context_tokens

    @property
    def _llm_type(self) -> str:
        return "llama-cpp"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        names = ("model_name", "context_tokens", "temperature", "top_p", "max_tokens", "seed", "stop")
        return {name: getattr(self, name) for name in names}

    def strip_control_tokens(self, text: str) -> str:
        """Make the texts of the model's control tokens, such as <|im_start|>, harmless."""
        return strip_control_tokens(self.template, text)

    def render_prompt(self, messages: Sequence[BaseMessage]) -> list[int]:
        """Return the tokens that the model is given for these messages."""
        return self.engine.tokenize(render_text(self.template, messages), special=True)

    def get_token_ids(self, text: str) -> list[int]:
        """Return the model's own tokens of plain text; get_num_tokens counts them."""
        return self.engine.tokenize(text, special=False)

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """Count the tokens of the whole rendered prompt."""
        return len(self.render_prompt(messages))

    def _for_call(self, options: dict[str, Any]) -> "LlamaCppChat":
        """Return this model with one call's overrides, validated; raise ModelError for unknown ones."""
        if unknown := sorted(options.keys() - set(OVERRIDES)):
            reason = "the local model takes no such option"
            raise ModelError(", ".join(unknown), reason, f"Use {', '.join(OVERRIDES)}")
        given = {key: value for key, value in options.items() if value is not None}
        given.pop("response_format", None)
        return type(self)(**(dict(self) | given)) if given else self

    def _completion(
        self,
        messages: list[BaseMessage],
        stop: Sequence[str] | None,
        options: dict[str, Any],
        run_manager: BaseRunManager | None,
    ) -> tuple[Generator[ChatGenerationChunk], int, str]:
        """Return what makes the chunks of one completion, to be run in its turn, its cost in tokens, and its user."""
        user = _take_user(options, run_manager)
        call, text = self._for_call(options), render_text(self.template, messages)
        prompt = self.engine.tokenize(text, special=True)
        cost = len(prompt) + call.max_tokens
        if cost > self.context_tokens:
            asked = f"{len(prompt)} prompt tokens + {call.max_tokens} for the answer"
            reason = f"the context holds {self.context_tokens}"
            raise ModelError(asked, reason, "Raise RAG_CONTEXT_TOKENS or lower RAG_TOP_K")
        wanted = options.get("response_format")
        grammar = json_grammar(self.engine, wanted) if wanted else None
        thinking = text.rstrip().endswith(THINK_OPENS)
        return call._chunks(prompt, (*self.stop, *(stop or ())), grammar, thinking), cost, user

    def _chunks(
        self, prompt: list[int], stop: Sequence[str], grammar: Any, thinking: bool
    ) -> Generator[ChatGenerationChunk]:
        """Yield a chunk a token, empty ones too so that a caller can cancel, then usage and finish reason."""
        yield _chunk("")
        tally, sampling = Tally(), {"temp": self.temperature, "top_p": self.top_p, "grammar": grammar}
        pieces = generate_pieces(self.engine, prompt, tally, max_tokens=self.max_tokens, seed=self.seed, **sampling)
        parts: Iterator[tuple[str, str]] = ((piece, "") for piece in pieces)
        if grammar is None:  # a grammar leaves no room to think, and a JSON string may hold the tag
            parts = split_reasoning(pieces, thinking)
        for answer, reasoning in cut_at_stop(parts, stop):
            yield _chunk(answer, reasoning)
        yield self._last_chunk(len(prompt), tally)

    def _last_chunk(self, input_tokens: int, tally: Tally) -> ChatGenerationChunk:
        usage = UsageMetadata(
            input_tokens=input_tokens,
            output_tokens=tally.output_tokens,
            total_tokens=input_tokens + tally.output_tokens,
        )
        about = {"finish_reason": tally.finish_reason, "model_name": self.model_name}
        message = AIMessageChunk(content="", usage_metadata=usage, response_metadata=about, chunk_position="last")
        return ChatGenerationChunk(message=message)

    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Stream; the user is handed on as an option, as langchain-core 1.x gives _stream no run_manager."""
        return super().stream(input, config, stop=stop, **_with_user(config, kwargs))

    def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """Do the same without blocking."""
        return super().astream(input, config, stop=stop, **_with_user(config, kwargs))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        # langchain-core 1.x reports each chunk to run_manager itself.
        asked = self._completion(messages, stop, kwargs, run_manager)
        yield from filter(_says_something, self.engine.turns.stream(*asked))

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        asked = self._completion(messages, stop, kwargs, run_manager)
        return generate_from_stream(self.engine.turns.stream(*asked))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        asked = self._completion(messages, stop, kwargs, run_manager)
        async with aclosing(self.engine.turns.astream(*asked)) as stream:
            async for chunk in stream:
                if _says_something(chunk):
                    yield chunk

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await agenerate_from_stream(self._astream(messages, stop, run_manager, **kwargs))

    def with_structured_output(
        self, schema: dict[str, Any] | type, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """Answer in the schema by constrained decoding; bound its strings, or a small model runs on.

        method and strict are accepted and ignored: the grammar always holds, but for numeric bounds, which
        llama-cpp-python 0.3.36 leaves out. An answer cut at max_tokens is an OutputParserException.
        """
        if unknown := sorted(kwargs.keys() - {"method", "strict"}):
            raise ValueError(f"Received unsupported arguments {unknown}")
        return build_structured(self, schema, include_raw)


def _chunk(answer: str, reasoning: str = "") -> ChatGenerationChunk:
    extra = {"reasoning_content": reasoning} if reasoning else {}
    return ChatGenerationChunk(message=AIMessageChunk(content=answer, additional_kwargs=extra))


def _says_something(chunk: ChatGenerationChunk) -> bool:
    message = chunk.message
    return bool(message.content or message.additional_kwargs or message.response_metadata)


def _with_user(config: RunnableConfig | None, options: dict[str, Any]) -> dict[str, Any]:
    return {USER: ensure_config(config)["metadata"].get(USER, "")} | options


def _take_user(options: dict[str, Any], run_manager: BaseRunManager | None) -> str:
    metadata = run_manager.metadata if run_manager else {}
    return str(options.pop(USER, "") or metadata.get(USER, ""))


def load_chat_model(
    path: Path,
    *,
    loading: Loading = DEFAULTS,
    temperature: float = 0.0,
    max_tokens: int = 256,
    seed: int = 0,
    stop: tuple[str, ...] = (),
) -> LlamaCppChat:
    """Load weights without printing.

    Raises ModelError for a file that won't load and for more context than the model was trained on.
    """
    engine = open_engine(path, loading)
    return LlamaCppChat(
        engine=engine,
        template=read_chat_template(engine.llama),
        temperature=temperature,
        max_tokens=max_tokens,
        seed=seed,
        stop=stop,
    )
