"""A query comes in; a drafted answer and the passages that the model read for it go out: RetrievalQA's contract."""

from collections.abc import Callable, Collection
from operator import itemgetter
from typing import Any

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import (
    Runnable,
    RunnableBranch,
    RunnableLambda,
    RunnablePassthrough,
)
from langchain_core.runnables.base import RunnableBindingBase

from chains.fences import Fence, fence_of_this_process
from chains.passages import is_wide, narrowed
from errors import QuestionError
from harmless import harmless

State = dict[str, Any]
Show = Callable[[list[Document]], str]
# What joins the words of datamarked passages (Spotlighting, Hines et al. 2024, arXiv 2403.14720): a character that real
# text hardly has.
MARK = "ˆ"


def show_passages(passages: list[Document], *, fence: Fence, datamark: bool = False) -> str:
    """Return the passages as the model reads them: numbered, with their headings, each in its own fence."""
    fences = fences_of(passages, fence)
    blocks = []
    for number, (passage, mark) in enumerate(zip(passages, fences, strict=True), 1):
        title, text = (as_quoted(part, fences=fences, datamark=datamark) for part in _parts(passage))
        blocks.append(f"[{number}] {title}".strip() + f"\n<quote {mark}>\n{text}\n</quote {mark}>")
    return "\n\n".join(blocks)


def fences_of(passages: list[Document], fence: Fence) -> list[str]:
    """Return each passage's fence."""
    return [fence("\n".join(_parts(passage))) for passage in passages]


def _parts(passage: Document) -> tuple[str, str]:
    return passage.metadata.get("section", ""), passage.page_content


def as_quoted(text: str, *, fences: Collection[str] = (), datamark: bool = False) -> str:
    """Return a document's text as it stands inside a fence: harmless, and unable to close it or open another one."""
    text = harmless(text)
    for fence in fences:
        text = text.replace(fence, " ")
    return text.replace(MARK, "^").replace(" ", MARK) if datamark else text


class UnmarkedParser(StrOutputParser):
    """Give out a model's text, piece by piece, without the marks that it copied from datamarked passages."""

    def parse(self, text: str) -> str:
        """Put the spaces back."""
        return text.replace(MARK, " ")


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
        show: Show | None = None,
        fence: Fence = fence_of_this_process,
        datamark: bool = False,
        is_hopeless: Callable[[str, list[Document]], bool] = lambda query, passages: False,
    ) -> "RetrievalQA":
        """Build the chain.

        prompt: variables context and question. prompt_tokens: the longest prompt in the model's tokens, by
        `count_tokens` (default: the model's own count); passages over it are cut, then dropped, lowest rank first, and
        counted in an extra key `dropped`. search_key: the input's key that `retriever` gets. show: passages →
        context, instead of `show_passages` in a fence that `new_fence` makes for each request. datamark: whether the
        words of the passages are joined by MARK. is_hopeless: whether the model need not be asked, the result being "".
        """

        def shown(passages: list[Document]) -> str:
            return harmless(show(passages)) if show else show_passages(passages, fence=fence, datamark=datamark)

        def fill(state: State) -> dict[str, str]:
            return {"context": shown(state["source_documents"]), "question": state["query"]}

        chain: Runnable[State, State] = RunnablePassthrough.assign(
            source_documents=(itemgetter(search_key) | retriever.with_config(run_name="retrieve"))
        )
        if prompt_tokens is not None:
            count = count_tokens or llm.get_num_tokens_from_messages
            chain |= RunnableLambda(fit_prompt(prompt, prompt_tokens, count, shown), name="fit")
        write = RunnableLambda(fill) | prompt | llm | (UnmarkedParser() if datamark else StrOutputParser())
        asked = RunnableBranch(
            (lambda state: is_hopeless(state["query"], state["source_documents"]), lambda state: ""), write
        )
        return cls(bound=chain | RunnablePassthrough.assign(result=asked.with_config(run_name="generate")))


def fit_prompt(
    prompt: ChatPromptTemplate,
    limit: int,
    count_tokens: Callable[[list[BaseMessage]], int],
    shown: Show,
) -> Callable[[State], State]:
    """Return a function that cuts a state's documents until the rendered prompt fits `limit` tokens.

    Wide passages are first cut to what was found in them, the lowest-ranked first; then documents are dropped in the
    same order, and `dropped` added, their number. `shown`: the way in which passages are put in the prompt. Raise
    QuestionError when the question alone is too long.
    """

    def tokens(state: State, passages: list[Document]) -> int:
        return count_tokens(prompt.format_messages(context=shown(passages), question=state["query"]))

    def fit(state: State) -> State:
        kept = list(state["source_documents"])
        while (size := tokens(state, kept)) > limit:
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
