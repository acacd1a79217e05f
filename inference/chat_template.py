"""Chat messages come in; the prompt text that one loaded GGUF's own chat template makes of them goes out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from errors import ModelError
from harmless import INVISIBLE

if TYPE_CHECKING:
    from llama_cpp import Llama
    from llama_cpp.llama_chat_format import Jinja2ChatFormatter

ROLES = {SystemMessage: "system", HumanMessage: "user", AIMessage: "assistant"}


@dataclass(frozen=True)
class ChatTemplate:
    """What a loaded GGUF says about prompts: its template, and the texts of its control tokens."""

    formatter: "Jinja2ChatFormatter"
    control_tokens: re.Pattern[str]


def read_chat_template(llama: "Llama") -> ChatTemplate:
    """Read the default chat template and the control tokens; raise ModelError where there is no template."""
    import llama_cpp
    from llama_cpp.llama_chat_format import Jinja2ChatFormatter

    if (source := llama.metadata.get("tokenizer.chat_template")) is None:
        remedy = "Use an instruct or chat version of the model"
        raise ModelError(llama.model_path, "the GGUF holds no chat template", remedy)
    vocab = llama_cpp.llama_model_get_vocab(llama.model)

    def token_text(token: int) -> str:
        found = llama_cpp.llama_vocab_get_text(vocab, token) if token >= 0 else b""
        return found.decode("utf-8", "replace")

    # The two kinds that only special=True parses. USER_DEFINED ones (Gemma's "<h1>", runs of spaces) are
    # parsed either way and steer nothing, so documents keep them.
    kinds = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN
    tokens = [n for n in range(llama.n_vocab()) if llama_cpp.llama_vocab_get_attr(vocab, n) & kinds]
    longest_first = sorted({token_text(n) for n in tokens} - {""}, key=len, reverse=True)
    control_tokens = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
    eos, bos = token_text(llama.token_eos()), token_text(llama.token_bos())
    return ChatTemplate(Jinja2ChatFormatter(source, eos, bos), control_tokens)


def strip_control_tokens(template: ChatTemplate, text: str) -> str:
    """Replace each control token's text by a space; by nothing, its surroundings could form a new one.

    Invisible characters go before that: taken out later, they would have hidden one.
    """
    return template.control_tokens.sub(" ", INVISIBLE.sub("", text))


def message_text(message: BaseMessage) -> str:
    """Return the text of a message; raise ModelError for anything else in it."""
    content = [message.content] if isinstance(message.content, str) else message.content
    blocks: list[dict[str, Any]] = [b if isinstance(b, dict) else {"type": "text", "text": b} for b in content]
    foreign = {str(block.get("type")) for block in blocks if not isinstance(block.get("text"), str)}
    foreign |= {"tool calls"} if getattr(message, "tool_calls", None) else set()
    if foreign:
        what = f"{message.type} message with {', '.join(sorted(foreign))}"
        raise ModelError(what, "the local model reads and writes text only", "Send text")
    return "".join(block["text"] for block in blocks)


def render_text(template: ChatTemplate, messages: Sequence[BaseMessage]) -> str:
    """Render messages up to where the assistant's answer begins; no content can hold a control token."""
    from jinja2 import TemplateError

    turns: list[Any] = []
    for message in messages:
        role = next((role for kind, role in ROLES.items() if isinstance(message, kind)), None)
        if role is None:
            remedy = "Send system, human and ai messages"
            raise ModelError(f"{message.type} message", "the local model has no such role", remedy)
        turns.append({"role": role, "content": strip_control_tokens(template, message_text(message))})
    try:
        return template.formatter(messages=turns).prompt
    except (ValueError, TemplateError) as error:
        roles = ", ".join(turn["role"] for turn in turns) or "no message"
        reason = f"the model's chat template refuses them ({error})"
        raise ModelError(roles, reason, "Send them in an order that the model knows") from error
