"""Settings come in; the parts, built and joined, go out: the one place where both paths are wired.

a document   files → loaders.parsing → embeddings → store                      `build_parser`, `build_embeddings`
a question   query_rewriting → retrieval → reranking → retrieval_qa → post_filter   `open_chain`
"""

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import cache, partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable, RunnablePassthrough

import models
from chains.corrections import correct, load_corrections
from chains.evidence import show_sentences
from chains.fences import build_fence
from chains.groundedness import Entails, entailment, support
from chains.post_filter import check
from chains.rag import build_rag
from chains.retrieval_qa import RetrievalQA
from chains.sufficiency import lacks_evidence
from chat_models import ChatModel, answer_style, open_model
from loaders.embeddings import (
    EmbedderIdentity,
    choose_backend,
    identify_embedder,
    load_embeddings,
    load_token_counter,
)
from loaders.filters import Filter
from loaders.formats.reading import Reading
from loaders.generations import WAIT, open_store, recorded_backend
from loaders.onnx_encoder import FORM
from loaders.parsing import Cutting, Limits, Parser
from loaders.pointer import current
from loaders.query_adapter import load_query_adapter
from loaders.secret import read_secret
from loaders.store import Store
from prompts import load_prompt
from searching import Index, Search, build_evidence, build_rewriter
from settings import ROOT, Settings

Chain = Runnable[dict[str, Any], dict[str, Any]]


def embedder_folder(settings: Settings) -> Path:
    """Return the verified folder of the embedder that the settings name."""
    return _verified(settings.embedder, settings.offline, settings.cache)


@cache
def _verified(embedder: str, offline: bool, cache: Path) -> Path:
    return models.locate_folder(embedder, base=ROOT, offline=offline, cache=cache)


def embedder_identity(settings: Settings, *, rebuild: bool = False) -> EmbedderIdentity:
    """Return what the index must remember of the embedder; an index keeps its form of it until a rebuild."""
    folder = embedder_folder(settings)
    identity = identify_embedder(
        settings.embedder, folder, query_prompt=settings.query_prompt, passage_prompt=settings.passage_prompt
    )
    recorded = "" if rebuild or settings.encoder != "auto" else recorded_backend(settings.store)
    cache = _exported(settings, identity)
    return replace(identity, backend=choose_backend(folder, settings.encoder, recorded=recorded, cache=cache))


def build_embeddings(settings: Settings, identity: EmbedderIdentity) -> Embeddings:
    """Load the embedder in the form that `identity` names."""
    return load_embeddings(
        embedder_folder(settings),
        backend=identity.backend,
        cache=_exported(settings, identity),
        batch_size=settings.embed_batch,
        query_prompt=settings.query_prompt,
        passage_prompt=settings.passage_prompt,
    )


def _exported(settings: Settings, identity: EmbedderIdentity) -> Path:
    return settings.cache / f"{identity.weights_sha256}-{FORM}.onnx"


def build_cutting(settings: Settings) -> Cutting:
    """Return how files are cut; a chunk is never longer than the embedder reads."""
    count_tokens, longest = load_token_counter(embedder_folder(settings))
    longest -= count_tokens(settings.passage_prompt)
    passwords = tuple(filter(None, settings.passwords.get_secret_value().split(",")))
    return Cutting(
        count_tokens,
        min(settings.chunk_tokens, longest),
        settings.overlap_tokens,
        Reading(passwords, settings.ocr),
    )


def build_parser(settings: Settings) -> Parser:
    """Return the workers that read files, under the limits that the settings set."""
    limits = Limits(settings.parse_seconds, settings.parse_memory)
    return Parser(build_cutting(settings), workers=settings.workers, limits=limits)


def has_index(settings: Settings) -> bool:
    """Tell whether anything was ever indexed."""
    return current(settings.store) is not None


def open_store_to_read(settings: Settings) -> AbstractContextManager[Store]:
    """Open the store, whatever built it, without loading a model."""
    return open_store(settings.store)


@contextmanager
def open_index(settings: Settings, *, wait: float = WAIT) -> Iterator[Index]:
    """Open the index for questions, waiting up to `wait` seconds for whoever changes it."""
    identity = embedder_identity(settings)
    adapter = ROOT / Path(settings.query_adapter).expanduser() if settings.query_adapter else None
    adapt = load_query_adapter(adapter, identity) if adapter else None
    with open_store(settings.store, identity, kind=settings.index, wait=wait) as store:
        yield Index(store, build_embeddings(settings, identity), embedder_folder(settings), adapt)


@contextmanager
def open_empty_index(settings: Settings) -> Iterator[tuple[Settings, Index]]:
    """Open an index without documents, with the settings that name it: by no word of theirs is a question corrected."""
    with tempfile.TemporaryDirectory(prefix="groundwork-") as directory:
        settings = settings.model_copy(update={"store": Path(directory), "index": "exact"})
        with open_store(settings.store, write=True, kind=settings.index):
            pass
        with open_index(settings) as index:
            yield settings, index


@contextmanager
def open_chain(
    settings: Settings, index: Index, where: Filter | None = None, *, search: Search | None = None
) -> Iterator[Chain]:
    """Open the whole question path, {"question", "history"} → …, "answer", and free its model in the end.

    `search` brings the passages instead of the index, if it is given.
    """
    settings = with_style(settings)
    with nullcontext() if settings.answer_style == "quote" else open_model(settings) as model:
        yield build_chain(settings, index, model, where, search=search)


def with_style(settings: Settings) -> Settings:
    """Return the settings with RAG_ANSWER_STYLE=auto resolved, which reads the model's header."""
    return settings.model_copy(update={"answer_style": answer_style(settings)})


def build_chain(
    settings: Settings,
    index: Index,
    model: ChatModel | None,
    where: Filter | None = None,
    *,
    search: Search | None = None,
) -> Chain:
    """Return that path over an open model, which several chains may share; None where the style is quote."""
    search = build_evidence(settings, index, where=where, search=search)
    if model is None:
        no_model = RunnablePassthrough.assign(
            source_documents=itemgetter("queries") | search.with_config(run_name="retrieve"), result=lambda state: ""
        )
        return _join(settings, index, no_model, None, "quote")
    brief = settings.answer_style == "brief"
    qa = RetrievalQA.from_llm(
        model.llm,
        search,
        prompt=load_prompt("brief" if brief else "answer"),
        prompt_tokens=model.context_tokens - settings.max_answer_tokens,
        count_tokens=model.count_tokens,
        search_key="queries",
        show=show_sentences if brief else None,
        fence=build_fence(read_secret(settings.store)),
        datamark=settings.datamark,
        is_hopeless=partial(lacks_evidence, least_evidence=settings.least_evidence),
    )
    return _join(settings, index, qa, model.llm, settings.answer_style)


def _join(settings: Settings, index: Index, qa: Chain, llm: BaseChatModel | None, style: str) -> Chain:
    rules = load_corrections(ROOT / Path(settings.corrections).expanduser()) if settings.corrections else ()
    return build_rag(
        rewriter=build_rewriter(settings, index, llm),
        qa=qa,
        check_draft=partial(
            check,
            least_evidence=settings.least_evidence,
            least_support=settings.least_support,
            brief=style == "brief",
            support=partial(support, entails=_entails(settings)),
        ),
        correct=partial(correct, rules=rules),
    )


def _entails(settings: Settings) -> Entails | None:
    if not settings.nli:
        return None
    return entailment(models.locate_folder(settings.nli, base=ROOT, offline=settings.offline, cache=settings.cache))
