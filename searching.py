"""Settings and an open index come in; the chain from a question to its passages goes out.

correct, follow up, decompose, expand                   `build_rewriter`
legs → fuse → light → rerank → diversify → passages     `build_search`
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel

import models
from chains.decomposition import build_decomposer
from chains.diversity import build_diversifier
from chains.evidence import build_highlighter
from chains.expansion import build_expander
from chains.follow_ups import QUERY_TOKENS, build_follow_up
from chains.light_ranking import light_score
from chains.passages import build_passages
from chains.queries import Draft, Query
from chains.query_rewriting import build_query_rewriter
from chains.reranking import Ranked, build_reranker, cross_encoder
from chains.retrieval import HybridRetriever
from chains.spelling import build_corrector, build_speller
from chains.sufficiency import build_weigher
from chains.synonyms import build_synonyms, load_synonyms
from errors import ModelError
from inference.remote_model import estimate_tokens
from loaders.cleaning import clean
from loaders.embeddings import load_token_counter
from loaders.filters import Filter
from loaders.query_adapter import Adapt
from loaders.store import Store
from prompts import load_prompt
from settings import ROOT, Settings

Search = Runnable[Sequence[Query], list[Document]]  # queries → passages, the first query being the one to rank for
Finder = Runnable[Any, list[Document]]
SERVER_SECONDS = 20.0  # that a server may take to write a query


@dataclass(frozen=True)
class Index:
    """An open store with the embedder that fills and searches it, its folder, and what turns a query's vector."""

    store: Store
    embeddings: Embeddings
    embedder: Path
    adapt: Adapt | None = None

    def embed(self, text: str) -> list[float]:
        """Return the vector of a query, its text cleaned as chunks are before they are embedded."""
        return self.embeddings.embed_query(clean(text))

    def aim(self, text: str) -> list[float]:
        """Return the vector that a query is searched with; elsewhere, where cosines are weighed, `embed` is meant."""
        return self.adapt(self.embed(text)) if self.adapt else self.embed(text)


def build_rewriter(settings: Settings, index: Index, llm: BaseChatModel | None = None) -> Runnable[Any, list[Query]]:
    """Return the first part of the chain: {"question", "history"} → the queries to search with.

    Without `llm` the rules rewrite follow-ups, and nothing is expanded.
    """
    return build_query_rewriter(_query_steps(settings, index, llm))


def build_search(settings: Settings, index: Index, *, limit: int, where: Filter | None = None) -> Search:
    """Return the retrieval half of the chain: queries → the best `limit` passages, re-ranked where that is on.

    `where` says which documents they may come from.
    """
    store = index.store
    count = settings.rerank_candidates
    retriever = HybridRetriever(
        embed=index.aim,
        nearest=partial(store.dense, where=where),
        keyword=partial(store.keyword, where=where),
        vectors=store.vectors_of,
        fetch=partial(store.chunks, where=where),
        candidates=max(settings.candidates, limit),
        keyword_weight=settings.keyword_weight,
        limit=max(limit, count),
    )
    search: Search = RunnableLambda(retriever.legs, name="legs") | RunnableLambda(retriever.fuse, name="fuse")
    if settings.reranker != "off":
        light = build_reranker(light_score(store.vectors_of), candidates=count, limit=max(limit, count), batch=count)
        search = _with_query(search) | light.with_config(run_name="light")
    if settings.reranker not in ("off", "light"):
        folder = models.locate_folder(settings.reranker, base=ROOT, offline=settings.offline, cache=settings.cache)
        score = cross_encoder(folder)
        slow = build_reranker(score, candidates=count, limit=max(limit, count), budget_ms=settings.rerank_ms)
        search = _with_query(search) | slow
    if settings.diversity:
        search |= build_diversifier(store.vectors_of, diversity=settings.diversity, candidates=count)
    return search | _reading(settings, index, limit)


def _reading(settings: Settings, index: Index, limit: int) -> Runnable[list[Document], list[Document]]:
    """Return the last step of the search: ranked chunks → the passages to read."""
    if not (settings.merge or settings.parent_tokens):
        return RunnableLambda(itemgetter(slice(limit)), name="cut")
    if not settings.parent_tokens:
        return build_passages(limit=limit)
    count_tokens, _ = load_token_counter(index.embedder)
    return build_passages(
        limit=limit,
        parent_tokens=settings.parent_tokens,
        neighbours=index.store.section_of,
        count_tokens=count_tokens,
    )


def build_evidence(
    settings: Settings, index: Index, *, where: Filter | None = None, search: Search | None = None
) -> Search:
    """Return the search for what a model is to read: queries → the best RAG_TOP_K passages, their sentences scored.

    `search` brings the passages instead, if it is given.
    """
    if search is not None:
        return _with_query(search) | build_highlighter(index.embeddings)
    return _with_query(build_search(settings, index, limit=settings.top_k, where=where)) | build_look(settings, index)


def build_look(settings: Settings, index: Index) -> Runnable[Ranked, list[Document]]:
    """Return a Runnable that tells of passages which a search found what `sufficiency` reads: outcome and sentences."""
    highlight = build_highlighter(index.embeddings)
    if not 0 < settings.keyword_weight < 1:  # one leg alone has nothing to tell of its success
        return highlight
    counter, _ = load_token_counter(index.embedder)
    weigh = build_weigher(index.store.prospect, counter.familiar, index.store.spelt)
    weighed: Runnable[Ranked, Any] = RunnableParallel(query=itemgetter("query"), passages=weigh)
    return weighed | highlight


def build_finder(
    settings: Settings, index: Index, *, limit: int, where: Filter | None = None, llm: BaseChatModel | None = None
) -> Finder:
    """Return both together: {"question", "history"} → passages."""
    search = build_search(settings, index, limit=limit, where=where)
    return build_rewriter(settings, index, llm) | search.with_config(run_name="retrieve")


def _with_query(search: Search) -> Runnable[Sequence[Query], Any]:
    """Return a Runnable: queries → {"query", "passages"}, what the steps after the search read."""

    def first(queries: Sequence[Query]) -> str:
        return queries[0].text

    return RunnableParallel(query=RunnableLambda(first), passages=search)


def _query_steps(
    settings: Settings, index: Index, llm: BaseChatModel | None = None
) -> Iterator[Runnable[Draft, Draft]]:
    """Yield the steps that are switched on, in their order; those of a model only where there is one."""

    def known() -> frozenset[str]:  # general words that are right although no document has them
        return load_token_counter(index.embedder)[0].whole_words()

    def is_weak(question: str) -> bool:
        nearest = index.store.dense(index.embed(question), 1)
        return not nearest or nearest[0][1] < settings.expand_below

    failures: tuple[type[Exception], ...] = (ModelError,)
    options: dict[str, Any] = {}
    if settings.model_url:
        from openai import OpenAIError

        failures, options = (*failures, OpenAIError), {"timeout": SERVER_SECONDS}
    if settings.rewrite != "off":
        writer = llm if settings.rewrite == "model" else None
        count_tokens = estimate_tokens if settings.model_url or not writer else writer.get_num_tokens_from_messages
        room = settings.context_tokens - QUERY_TOKENS
        yield build_follow_up(
            llm=writer,
            prompt=load_prompt("condense"),
            prompt_tokens=room,
            count_tokens=count_tokens,
            failures=failures,
            **options,
        )
    if settings.correct:
        yield build_corrector(build_speller(index.store.dictionary, known))
    if settings.decompose:
        yield build_decomposer()
    if settings.synonyms:
        yield build_synonyms(load_synonyms(ROOT / Path(settings.synonyms).expanduser()))
    if settings.expand != "off" and llm:
        prompt = load_prompt(settings.expand.replace("-", "_"))
        yield build_expander(settings.expand, llm, prompt, is_weak=is_weak, failures=failures, **options)
