"""Settings come in; the steps that a question goes through before it is searched for go out."""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable

from chains.decomposition import build_decomposer
from chains.expansion import build_expander
from chains.follow_ups import build_follow_up
from chains.queries import Draft
from chains.spelling import build_corrector, build_speller
from chains.synonyms import build_synonyms, load_synonyms
from errors import ModelError
from loaders.cleaning import clean
from loaders.store import Store
from prompts import load_prompt
from settings import ROOT, Settings

SERVER_SECONDS = 20.0  # that a server may take to write a query


def query_steps(
    settings: Settings,
    store: Store,
    embeddings: Embeddings,
    known: Callable[[], Collection[str]],
    llm: BaseChatModel | None = None,
) -> Iterator[Runnable[Draft, Draft]]:
    """Yield the steps that are switched on, in their order; those of a model only where there is one.

    known: general words that are right although no document has them, asked for when they are needed.
    """

    def is_weak(question: str) -> bool:
        nearest = store.dense(embeddings.embed_query(clean(question)), 1)
        return not nearest or nearest[0][1] < settings.expand_below

    failures: tuple[type[Exception], ...] = (ModelError,)
    options: dict[str, Any] = {}
    if settings.model_url:
        from openai import OpenAIError

        failures, options = (*failures, OpenAIError), {"timeout": SERVER_SECONDS}
    if settings.rewrite != "off":
        writer = llm if settings.rewrite == "model" else None
        yield build_follow_up(llm=writer, prompt=load_prompt("condense"), failures=failures, **options)
    if settings.correct:
        yield build_corrector(build_speller(store.dictionary, known))
    if settings.decompose:
        yield build_decomposer()
    if settings.synonyms:
        yield build_synonyms(load_synonyms(ROOT / Path(settings.synonyms).expanduser()))
    if settings.expand != "off" and llm:
        prompt = load_prompt(settings.expand.replace("-", "_"))
        yield build_expander(settings.expand, llm, prompt, is_weak=is_weak, failures=failures, **options)
