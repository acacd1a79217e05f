"""Queries come in; beside the first, others that a model writes go out: the question in other words, or an answer.

A passage that answers the question is nearer to its like in the embedder's space than the question is: HyDE (Gao and
others 2023, arXiv 2212.10496).
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda
from pydantic import BaseModel, Field, ValidationError

from chains.queries import Draft, Query, distinct, normalise

WEIGHT = 0.5  # of all that the model writes together, beside the question (benchmarks/README.md)
MOST_TOKENS = 200  # of what it writes


class Rephrasings(BaseModel):
    """The question in other words."""

    questions: list[Annotated[str, Field(min_length=8, max_length=160)]] = Field(min_length=1, max_length=3)

    def queries(self, weight: float) -> list[Query]:
        """Return a query for each."""
        share = weight / len(self.questions)
        return [Query(normalise(question), share, made_by="multi-query") for question in self.questions]


class Passage(BaseModel):
    """What a document that answers the question might say."""

    passage: str = Field(min_length=20, max_length=400)

    def queries(self, weight: float) -> list[Query]:
        """Return a query for the dense leg: the words may be wrong, the matter is right."""
        return [Query(normalise(self.passage), weight, keyword=False, made_by="hyde")]


SCHEMAS: Mapping[str, type[Rephrasings] | type[Passage]] = {"multi-query": Rephrasings, "hyde": Passage}


def build_expander(
    kind: str,
    llm: BaseChatModel,
    prompt: ChatPromptTemplate,
    *,
    is_weak: Callable[[str], bool],
    failures: tuple[type[Exception], ...] = (),
    **options: Any,
) -> Runnable[Draft, Draft]:
    """Return a Runnable that adds what the model writes for the first query, where `is_weak` finds this worth it.

    kind: multi-query or hyde. prompt: variable question. The model writes JSON of bounded lengths; what is not whole,
    and `failures`, the errors that it raises, leave the queries as they are. options: for its call, such as a timeout.
    """
    written = llm.with_structured_output(SCHEMAS[kind]).bind(max_tokens=MOST_TOKENS, **options)
    nothing: Runnable[Any, Any] = RunnableLambda(lambda _: None)
    caught = (OutputParserException, ValidationError, *failures)
    writer: Runnable[Any, Any] = prompt | written.with_fallbacks([nothing], exceptions_to_handle=caught)

    def expand(draft: Draft) -> Draft:
        first = draft["queries"][0]
        made = writer.invoke({"question": first.text}) if is_weak(first.text) else None
        added = made.queries(first.weight * WEIGHT) if made else []
        return {**draft, "queries": distinct([*draft["queries"], *added])}

    return RunnableLambda(expand, name="expand")
