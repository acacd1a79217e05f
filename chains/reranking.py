"""Passages come in with the query that found them; the same passages in better order go out."""

from pathlib import Path
from typing import TypedDict

from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableLambda

from errors import ModelError


class Ranked(TypedDict):
    """What a re-ranker reads."""

    query: str
    passages: list[Document]


def build_reranker(folder: Path, *, candidates: int, limit: int) -> Runnable[Ranked, list[Document]]:
    """Return a Runnable that puts the first `candidates` passages in a cross-encoder's order and keeps `limit` of all.

    The cross-encoder reads query and passage together (Nogueira and Cho 2019, arXiv 1901.04085). Its score becomes
    `metadata["score"]`; passages that it did not read keep their order behind the others.
    """
    from safetensors import SafetensorError
    from sentence_transformers import CrossEncoder

    try:
        model = CrossEncoder(str(folder), local_files_only=True)
    except (OSError, ValueError, SafetensorError) as error:  # what transformers raises for missing or foreign weights
        raise ModelError(folder, f"not a cross-encoder ({error})", "check RAG_RERANKER, or leave it empty") from error

    def rerank(ranked: Ranked) -> list[Document]:
        head, tail = ranked["passages"][:candidates], ranked["passages"][candidates:]
        scores = model.predict([(ranked["query"], passage.page_content) for passage in head], show_progress_bar=False)
        for passage, score in zip(head, scores, strict=True):
            passage.metadata["score"] = round(float(score), 5)  # equal texts differ behind that, by place in the batch
        head.sort(key=lambda passage: -passage.metadata["score"])  # a stable sort: ties keep their order
        return [*head, *tail][:limit]

    return RunnableLambda(rerank, name="rerank")
