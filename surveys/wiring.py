"""Settings and an open index come in; the chains that read whole documents, to answer or to summarise, go out.

question → correct → every document: best passages → sentences → holds it? → count, list, compare   `build_whole_search`
sources → every passage → central sentences, or windows → model → check                             `open_summary`
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import Runnable, RunnableLambda

from chains.fences import build_fence
from chains.retrieval_qa import UnmarkedParser, as_quoted, fences_of, show_passages
from chains.sufficiency import lacks_evidence
from chat_models import ChatModel, answer_style, open_model
from errors import QuestionError
from loaders.contents import passages_of, sources_to_read
from loaders.filters import Filter, parse_filter
from loaders.secret import read_secret
from prompts import load_prompt
from searching import Index, build_look, build_rewriter
from settings import Settings
from surveys.coverage import WholeAnswer
from surveys.faithful import draft_sentences
from surveys.summarising import Writer, build_summary
from surveys.survey import build_survey

Survey = Runnable[dict[str, Any], WholeAnswer]
METHODS = ("map-reduce", "refine")
# `sufficiency` is calibrated where four of five questions have an answer. Of single documents perhaps one in four has
# it, which makes the odds twelve times lower. Over 67 questions of XQuAD en, put to 24 documents: precision 0.98 and
# recall 0.94, without it 0.88 and 0.96.
RARER = 12


def build_whole_search(settings: Settings, index: Index, where: Filter | None = None) -> Survey:
    """Return the chain that reads every document allowed: {"question", "history"} → an answer from all of them.

    No model is asked. `stream` yields the answer so far again and again.
    """
    catalog = index.store.catalog
    sources = sources_to_read(catalog, where)
    counts = catalog.chunk_counts()

    def keyword(query: str) -> dict[str, float]:
        return dict(catalog.search_keywords(query, limit=sum(all_ for all_, _ in counts.values())))

    survey = build_survey(
        sources=sources,
        passages=sum(counts[source][0] for source in sources),
        read=partial(_read, index),
        embed=index.embed,
        keyword=keyword,
        keyword_weight=settings.keyword_weight,
        highlight=build_look(settings, index),
        lacks=partial(lacks_evidence, least_evidence=_of_one(settings.least_evidence)),
    )
    return build_rewriter(settings, index) | RunnableLambda(lambda queries: queries[0].text) | survey


def _of_one(least_evidence: float) -> float:
    """Return the probability that one document needs where all together need `least_evidence`."""
    return RARER * least_evidence / (RARER * least_evidence + 1 - least_evidence)


@contextmanager
def open_summary(
    settings: Settings, index: Index, *, most_words: int, method: str = "map-reduce"
) -> Iterator[Runnable[Sequence[str], WholeAnswer]]:
    """Open the chain from sources to their summary, and free its model in the end.

    The model writes where RAG_ANSWER_STYLE=write, or with auto if it has the weights for it; otherwise the documents'
    most central sentences are the summary.
    """

    def embed(texts: list[str]) -> np.ndarray:
        return np.asarray(index.embeddings.embed_documents(texts))

    build = partial(build_summary, read=partial(_read, index), embed=embed, most_words=most_words)
    if answer_style(settings) != "write":
        yield build()
        return
    with open_model(settings) as model:
        yield build(writer=build_writer(settings, model, most_words, method))


def matching_sources(index: Index, source: str) -> list[str]:
    """Return the indexed documents that a path, a name or a glob means; raise QuestionError if there are none."""
    found = sources_to_read(index.store.catalog, parse_filter([source]))
    if not found:
        raise QuestionError(source, "no indexed document is called so", "`python main.py documents` lists them")
    return found


def _read(index: Index, source: str) -> tuple[list[Document], np.ndarray]:
    passages = passages_of(index.store.catalog, source)
    return passages, index.store.vectors_of([str(passage.id) for passage in passages])


def build_writer(settings: Settings, model: ChatModel, most_words: int, method: str) -> Writer:
    """Return the model as the summary needs it: the longest prompt leaves room for twice as many tokens as words."""
    refine = method == "refine"
    answer_tokens = max(2 * most_words, settings.max_answer_tokens)
    prompts = {False: load_prompt("summary"), True: load_prompt("refine")}
    fence, datamark = build_fence(read_secret(settings.store)), settings.datamark
    ask = model.llm.bind(max_tokens=answer_tokens) | (UnmarkedParser() if datamark else StrOutputParser())

    def messages(passages: Sequence[Document], before: str, words: int) -> Any:
        values = {"context": show_passages(list(passages), fence=fence, datamark=datamark), "words": words}
        fences = fences_of(list(passages), fence)
        summary = {"summary": as_quoted(before, fences=fences, datamark=datamark)} if before else {}
        return prompts[bool(before)].format_messages(**values, **summary)

    def write(passages: Sequence[Document], before: str, words: int) -> list[str]:
        return draft_sentences(ask.invoke(messages(passages, before, words)))

    def fits(passages: Sequence[Document], before: str, words: int) -> bool:
        return model.count_tokens(messages(passages, before, words)) <= model.context_tokens - answer_tokens

    return Writer(write, fits, settings.least_support, refine)
