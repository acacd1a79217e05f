"""Settings come in; the model that judges answers, as the metrics of ragas ask it, goes out."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel
from ragas.llms.base import InstructorBaseRagasLLM

from chat_models import ChatModel, open_model
from errors import ModelError, SettingsError
from evaluation.bounded_schema import bounded
from hashes import file_sha256
from inference.chat_model import LlamaCppChat
from settings import Settings

LOCAL = "local"
# Published judges that agree with people have more; the default model answers in the right form and no more than that.
SMOKE_TEST_BELOW = 7_000_000_000
CHARACTER_TOKENS = 6  # at most, in a byte-level vocabulary: \u0000 has six characters, of one token each
LONGEST_ANSWER = 4000  # characters; eight statements with their reasons take so many
INPUT = "Now perform the same with the following input\ninput: "  # where ragas 0.4.3 has what is to be judged
Response = TypeVar("Response", bound=BaseModel)


class JudgeFailure(ValueError):
    """The judge gave no verdict."""


class PromptTooLong(JudgeFailure):
    """The judge's context has no room for a prompt and its answer."""


class Judge(InstructorBaseRagasLLM):
    """Answer in the response model by constrained decoding: the schema is a grammar, or the server's response format.

    Every string and list is bounded so that the answer fits what the prompt leaves of the context. The integers of
    the response models are verdicts, 0 or 1.
    """

    def __init__(self, model: ChatModel, *, name: str, key: str, weights: int | None) -> None:
        """Take a model with its name, the hash by which its calibration is kept, and its number of weights if known."""
        self.model, self.name, self.key, self.weights = model, name, key, weights

    @property
    def is_smoke_test(self) -> bool:
        """Tell whether the model is known to be too small for its scores to be evidence."""
        return self.weights is not None and self.weights < SMOKE_TEST_BELOW

    def generate(self, prompt: str, response_model: type[Response]) -> Response:
        """Return the answer; raise PromptTooLong, or JudgeFailure where there is none in the schema."""
        message, schema, items = HumanMessage(prompt), response_model.model_json_schema(), statements_in(prompt)
        room = self.model.context_tokens - self.model.count_tokens([message])
        for size in (min(room, LONGEST_ANSWER), min(room, LONGEST_ANSWER) // CHARACTER_TOKENS):
            try:
                wanted = bounded(schema, size, items=items)
            except ValueError as error:
                reason = f"{room} tokens are left for the answer, of {self.model.context_tokens}"
                raise PromptTooLong(reason) from error
            if (text := self._ask(message, wanted, min(room, LONGEST_ANSWER))) is not None:
                return _parsed(text, response_model)
        raise JudgeFailure("the answer was cut")

    async def agenerate(self, prompt: str, response_model: type[Response]) -> Response:
        """Return the same, in this thread: one judgement at a time."""
        return self.generate(prompt, response_model)

    def _ask(self, message: HumanMessage, schema: dict[str, Any], max_tokens: int) -> str | None:
        """Return the answer's text, or None where it was cut at `max_tokens`."""
        import openai

        form = self.model.json_form(schema)
        try:
            reply = self.model.llm.invoke([message], response_format=form, max_tokens=max_tokens)
        except openai.LengthFinishReasonError:
            return None
        except (openai.BadRequestError, openai.UnprocessableEntityError, openai.APITimeoutError) as error:
            raise JudgeFailure(f"the judge's server refused ({error})") from error
        return None if _was_cut(reply) else str(reply.content)


def _parsed(text: str, response_model: type[Response]) -> Response:
    """Return the answer as an object; a server may take the schema for a wish."""
    try:
        return response_model.model_validate(json.loads(text, strict=False))
    except ValueError as error:
        raise JudgeFailure("the answer is not in the schema") from error


def _was_cut(reply: AIMessage) -> bool:
    return reply.response_metadata.get("finish_reason") == "length"


def statements_in(prompt: str) -> int:
    """Return how many statements a prompt of ragas wants verdicts on, 0 where it asks for something else.

    Without it a judge may pass over a statement, and the score be that of the others.
    """
    try:
        asked, _ = json.JSONDecoder().raw_decode(prompt.rpartition(INPUT)[2])
    except ValueError:
        return 0
    return len(asked.get("statements", ())) if isinstance(asked, dict) else 0


@contextmanager
def open_judge(settings: Settings) -> Iterator[Judge]:
    """Open the model that RAG_JUDGE names, at temperature 0; raise SettingsError where it names none."""
    if not settings.judge:
        reason = "these figures need a model that judges"
        raise SettingsError("RAG_JUDGE", reason, "set RAG_JUDGE=local, or the address of an OpenAI-compatible server")
    is_local, name = settings.judge == LOCAL, settings.judge_model or settings.model
    changed = {"model": name, "model_url": "" if is_local else settings.judge, "model_key": settings.judge_key}
    changed |= {"temperature": 0.0} | ({"model_sha256": ""} if settings.judge_model else {})
    if settings.adapter == "auto":
        changed["adapter"] = "off"  # it was taught to answer, not to judge
    try:
        with open_model(settings.model_copy(update=changed)) as model:
            yield _judge(model, settings.judge, name)
    except ModelError as error:
        if is_local:
            raise
        raise ModelError(error.value, error.reason, "see RAG_JUDGE, RAG_JUDGE_MODEL and RAG_JUDGE_KEY") from error


def _judge(model: ChatModel, url: str, name: str) -> Judge:
    if not isinstance(model.llm, LlamaCppChat):
        key = sha256(f"{url} {name}".encode()).hexdigest()
        return Judge(model, name=f"{name} at {url}", key=key, weights=None)
    engine = model.llm.engine
    key = file_sha256(Path(engine.llama.model_path))
    return Judge(model, name=engine.model_name, key=key, weights=engine.parameters)
