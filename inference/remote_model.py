"""The address of an OpenAI-compatible server comes in; a LangChain chat model that asks it goes out."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from langchain_core.language_models import BaseChatModel
from langchain_core.messages.utils import count_tokens_approximately

from errors import ModelError, one_line

# The server's tokenizer is out of reach. Three characters a token overrates English (about four), which is the safe
# side.
estimate_tokens = partial(count_tokens_approximately, chars_per_token=3.0)
TIMEOUT_S = 600.0  # a large model on a CPU takes minutes over a long prompt


@contextmanager
def remote_model(
    url: str, name: str, *, key: str = "", temperature: float = 0.0, max_tokens: int = 256, seed: int = 0
) -> Iterator[BaseChatModel]:
    """Open the model `name` of the server at `url` (…/v1); its failures inside the block become ModelErrors."""
    from langchain.chat_models import init_chat_model
    from openai import OpenAIError

    llm: BaseChatModel = init_chat_model(
        name,
        model_provider="openai",
        base_url=url,
        api_key=key or "none",  # a local server asks for none, its client insists on one
        temperature=temperature,
        max_tokens=max_tokens,
        seed=seed,
        timeout=TIMEOUT_S,
        max_retries=0,
        stream_usage=True,
        use_responses_api=False,
    )
    try:
        yield llm
    except OpenAIError as error:
        remedy = "see that the server runs there and knows this model (RAG_MODEL_URL, RAG_MODEL)"
        raise ModelError(f"{name} at {url}", one_line(error), remedy) from error
