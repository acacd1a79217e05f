"""A query comes in; a drafted answer and the passages that the model read for it go out: RetrievalQA's contract."""

from collections.abc import Callable
from operator import itemgetter
from typing import Any

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableBranch, RunnableLambda, RunnablePassthrough
from langchain_core.runnables.base import RunnableBindingBase

from chains.passages import is_wide, narrowed
from errors import QuestionError

State = dict[str, Any]
FENCE = '"""'


def show_passages(passages: list[Document]) -> str:
    """Return the passages as the model reads them: numbered, with their headings, fenced."""
    blocks = []
    for number, passage in enumerate(passages, 1):
        title, text = fenced(passage.metadata.get("section", "")), fenced(passage.page_content)
        blocks.append(f"[{number}] {title}".strip() + f"\n{FENCE}\n{text}\n{FENCE}")
    return "\n\n".join(blocks)


def fenced(text: str) -> str:
    """Return the text as it stands inside a fence, which a document can't close itself."""
    return text.replace(FENCE, "'''")


class RetrievalQA(RunnableBindingBase[State, State]):
    """Answer {"query"} with {"query", "result", "source_documents"}, like the class of that name in langchain-classic.

    It stands on langchain-core alone, and `stream` yields the source documents first and then the result token by
    token. Other keys of the input pass through. Sync, async and batch, as every Runnable.
    """

    @classmethod
    def from_llm(
        cls,
        llm: BaseChatModel,
        retriever: Runnable[Any, list[Document]],
        *,
        prompt: ChatPromptTemplate,
        prompt_tokens: int | None = None,
        count_tokens: Callable[[list[BaseMessage]], int] | None = None,
        search_key: str = "query",
        show: Callable[[list[Document]], str] = show_passages,
        is_hopeless: Callable[[str, list[Document]], bool] = lambda query, passages: False,
    ) -> "RetrievalQA":
        """Build the chain.

        prompt: variables context and question. prompt_tokens: the longest prompt in the model's tokens, by
        `count_tokens` (default: the model's own count); passages over it are cut, then dropped, lowest rank first, and
        counted in an extra key `dropped`. search_key: the input's key that `retriever` gets. show: passages →
        context. is_hopeless: whether the model need not be asked, the result being "".
        """

        def fill(state: State) -> dict[str, str]:
            return {"context": show(state["source_documents"]), "question": state["query"]}

        chain: Runnable[State, State] = RunnablePassthrough.assign(
            source_documents=(itemgetter(search_key) | retriever.with_config(run_name="retrieve"))
        )
        if prompt_tokens is not None:
            count = count_tokens or llm.get_num_tokens_from_messages
            chain |= RunnableLambda(fit_prompt(prompt, prompt_tokens, count, show), name="fit")
        write = RunnableLambda(fill) | prompt | llm | StrOutputParser()
        asked = RunnableBranch(
            (lambda state: is_hopeless(state["query"], state["source_documents"]), lambda state: ""), write
        )
        return cls(bound=chain | RunnablePassthrough.assign(result=asked.with_config(run_name="generate")))


def fit_prompt(
    prompt: ChatPromptTemplate,
    limit: int,
    count_tokens: Callable[[list[BaseMessage]], int],
    show: Callable[[list[Document]], str],
) -> Callable[[State], State]:
    """Return a function that cuts a state's documents until the rendered prompt fits `limit` tokens.

    Wide passages are first cut to what was found in them, the lowest-ranked first; then documents are dropped in the
    same order, and `dropped` added, their number. Raise QuestionError when the question alone is too long.
    """

    def tokens(query: str, passages: list[Document]) -> int:
        return count_tokens(prompt.format_messages(context=show(passages), question=query))

    def fit(state: State) -> State:
        kept = list(state["source_documents"])
        while (size := tokens(state["query"], kept)) > limit:
            if not kept:
                reason = f"it takes {size} tokens with its prompt; the model has room for {limit}"
                raise QuestionError(f"{state['query'][:60]}…", reason, "ask shorter or raise RAG_CONTEXT_TOKENS")
            last = next((at for at in reversed(range(len(kept))) if is_wide(kept[at])), None)
            if last is None:
                kept.pop()
            else:
                kept[last] = narrowed(kept[last])
        return state | {"source_documents": kept, "dropped": len(state["source_documents"]) - len(kept)}

    return fit
