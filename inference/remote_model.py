"""The address of an OpenAI-compatible server comes in; a LangChain chat model that asks it goes out."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages.utils import count_tokens_approximately

from errors import ModelError, one_line

# The server's tokenizer is out of reach. Three characters a token overrates English (about four), which is the safe
# side.
estimate_tokens = partial(count_tokens_approximately, chars_per_token=3.0)
TIMEOUT_S = 600.0  # a large model on a CPU takes minutes over a long prompt
ABOUT_S = 10.0  # that a server may take to say what it has
RETRIES = 2  # after a refusal for being busy, as long after it as the server says, or when it can't be reached


@contextmanager
def remote_model(
    url: str, name: str, *, key: str = "", temperature: float = 0.0, max_tokens: int = 256, seed: int = 0
) -> Iterator[BaseChatModel]:
    """Open the model `name` of the server at `url` (…/v1); its failures inside the block become ModelErrors."""
    from langchain.chat_models import init_chat_model

    llm: BaseChatModel = init_chat_model(
        name,
        model_provider="openai",
        base_url=url,
        api_key=key or "none",  # a local server asks for none, its client insists on one
        temperature=temperature,
        max_tokens=max_tokens,
        seed=seed,
        timeout=TIMEOUT_S,
        max_retries=RETRIES,
        stream_usage=True,
        use_responses_api=False,
    )
    with failures(url, name):
        yield llm


@contextmanager
def failures(url: str, name: str) -> Iterator[None]:
    """Turn what the server's client raises inside the block into ModelErrors."""
    from httpx2 import HTTPError  # raised as it is where a stream breaks off
    from openai import OpenAIError

    try:
        yield
    except (OpenAIError, HTTPError) as error:
        remedy = "see that the server runs there and knows this model (RAG_MODEL_URL, RAG_MODEL)"
        raise ModelError(f"{name} at {url}", one_line(error), remedy) from error


def told_context(llm: BaseChatModel) -> int:
    """Return how many tokens the server says that the model's context holds, 0 where it does not say.

    llama-server and `serve` say it as meta.n_ctx, vLLM as max_model_len; Ollama and others do not.
    """
    from openai import APIConnectionError, OpenAIError

    client: Any = getattr(llm, "root_client")  # noqa: B009  (ChatOpenAI's, of which only init_chat_model may know)
    try:
        listed = client.with_options(timeout=ABOUT_S, max_retries=0).models.list().data
    except APIConnectionError:
        raise
    except OpenAIError:  # it lists no models
        return 0
    name = getattr(llm, "model_name", "")
    about = [model for model in listed if model.id == name] or (listed if len(listed) == 1 else [])
    extra: dict[str, Any] = (about[0].model_extra or {}) if about else {}
    told = (extra.get("meta") or {}).get("n_ctx") or extra.get("max_model_len")
    return told if isinstance(told, int) else 0
