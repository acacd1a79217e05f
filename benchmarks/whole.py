"""An index comes in; how good summaries and questions to all of its documents are, and how long they take, goes out.

    RAG_STORE=STORE python benchmarks/whole.py summaries [--write] [--limit 24]
    RAG_STORE=STORE python benchmarks/whole.py documents --questions qa.jsonl --limit 100
    RAG_STORE=STORE python benchmarks/whole.py mentions --limit 40

summaries: every document's first paragraph is the reference, in its length, for what is made of the rest; with --write
RAG_MODEL writes one too, and what of it had to be replaced is told. documents:
`which documents tell: QUESTION`, of qa.jsonl {question, doc_id}. mentions: `how many documents mention NAME`, for names
drawn by chance from the documents; the right number is that of the documents in whose text the name stands.
"""

import argparse
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from langchain_core.documents import Document
from rouge_score.rouge_scorer import RougeScorer

import chat_models
import pipeline
from chat_models import ChatModel
from loaders.contents import passages_of, sources_to_read
from searching import Index
from settings import Settings, load_settings
from surveys import wiring
from surveys.central import central_sentences, is_statement, unit, varied
from surveys.coverage import count_words, read_once, sentences_once
from surveys.faithful import shown_quote
from surveys.summarising import build_summary

Made = Callable[[list[Document], np.ndarray, int], list[str]]
ROUGE = ("rouge1", "rouge2", "rougeL")
NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{3,}(?: [A-Z][a-z]+){0,2}")


def summaries(index: Index, limit: int, written: Made | None) -> None:
    """Print the mean ROUGE F1 of each way to summarise, the model's own among them if it is given."""

    def embed(texts: list[str]) -> np.ndarray:
        return np.asarray(index.embeddings.embed_documents(texts))

    def lead(passages: list[Document], vectors: np.ndarray, size: int) -> list[str]:
        chosen: list[str] = []
        for sentence in sentences_once(passages):
            if chosen and count_words([*chosen, sentence.text]) > size:
                break
            chosen.append(sentence.text)
        return chosen

    def central(passages: list[Document], vectors: np.ndarray, size: int) -> list[str]:
        return [sentence.text for sentence in central_sentences(passages, vectors, embed, most_words=size)]

    def by(rank: Callable[[np.ndarray], np.ndarray]) -> Made:
        def made(passages: list[Document], vectors: np.ndarray, size: int) -> list[str]:
            texts = [s.text for s in sentences_once(passages) if is_statement(s.text)]
            found = embed(texts)
            sizes, far = [count_words([text]) for text in texts], np.full(len(texts), 1e9)
            kept = varied(found, rank(found), far, sizes, size)
            return [texts[at] for at in sorted(kept)]

        return made

    ways = {
        "lead": lead,
        "centroid of the passages, their sentences only, lead": central,
        "centroid of all sentences": by(lambda found: unit(found.mean(axis=0))),
        "LexRank over all sentences": by(lambda found: unit(found.T @ lexrank(found))),
    }
    if written:
        ways = {"lead": lead, "central": central, "written and checked": written}
    sources = sources_to_read(index.store.catalog, None)[:limit]
    documents = [passages_of(index.store.catalog, source) for source in sources]
    scorer, scores = RougeScorer(ROUGE, use_stemmer=True), {way: list[list[float]]() for way in ways}
    for passages in documents:
        reference = read_once(passages)[0].page_content.partition("\n\n")[0]
        rest = [passage for passage in passages if passage.metadata["start"] > len(reference)]
        vectors = index.store.vectors_of([str(passage.id) for passage in rest])
        for way, make in ways.items():
            text = " ".join(make(rest, vectors, count_words([reference])))
            scores[way].append([scorer.score(reference, text)[kind].fmeasure for kind in ROUGE])
    print(f"| {len(documents)} documents | {' | '.join(ROUGE)} |\n|---|---|---|---|")
    for way, found in scores.items():
        print(f"| {way} | {' | '.join(f'{value:.3f}' for value in np.mean(found, axis=0))} |")


def writing(index: Index, settings: Settings, model: ChatModel, kept: Counter[bool]) -> Made:
    """Return the model's way to summarise; `kept` counts which of the sentences in the summaries are its own."""

    def embed(texts: list[str]) -> np.ndarray:
        return np.asarray(index.embeddings.embed_documents(texts))

    def made(passages: list[Document], vectors: np.ndarray, size: int) -> list[str]:
        writer = wiring.build_writer(settings, model, size, "map-reduce")
        chain = build_summary(read=lambda source: (passages, vectors), embed=embed, most_words=size, writer=writer)
        statements = chain.invoke([passages[0].metadata["source"]]).statements
        kept.update(s.text not in [shown_quote(cited.text) for cited in s.citations] for s in statements)
        return [statement.text for statement in statements]

    return made


def lexrank(vectors: np.ndarray, damping: float = 0.85, rounds: int = 60) -> np.ndarray:
    """Return each sentence's share of the stationary distribution (Erkan and Radev 2004), the best 1."""
    alike = np.clip(vectors @ vectors.T, 0, None)
    alike /= alike.sum(axis=1, keepdims=True)
    rank = np.ones(len(vectors)) / len(vectors)
    for _ in range(rounds):
        rank = (1 - damping) / len(vectors) + damping * alike.T @ rank
    return np.asarray(rank / rank.max())


def survey(index: Index, asked: Sequence[tuple[str, set[str]]]) -> None:
    """Print how well the right documents are found for each question, and the milliseconds."""
    chain = wiring.build_whole_search(load_settings(), index)
    right = found = there = exact = 0
    took: list[float] = []
    for question, wanted in asked:
        began = time.perf_counter()
        answer = chain.invoke({"question": question, "history": []})
        took.append((time.perf_counter() - began) * 1000)
        told = {Path(source.source).name for source in answer.sources} if answer.statements else set()
        right, found, there = right + len(told & wanted), found + len(told), there + len(wanted)
        exact += told == wanted
    print(f"{len(asked)} questions: precision {right / found:.3f}, recall {right / there:.3f}, exact {exact}")
    per_thousand = 1000 / answer.coverage.passages
    print(
        f"{answer.coverage.told}; p50 {np.median(took):.0f} ms, {np.median(took) * per_thousand:.0f} per 1,000 passages"
    )


def mentions(index: Index, limit: int) -> list[tuple[str, set[str]]]:
    """Return questions for names, half of them in several documents, with the documents that hold each."""
    catalog = index.store.catalog
    texts = {
        Path(source).name: "\n".join(part.page_content for part in read_once(passages_of(catalog, source)))
        for source in sources_to_read(catalog, None)
    }

    def holding(name: str) -> set[str]:
        whole = re.compile(rf"(?<!\w){re.escape(name)}(?:s|es)?(?!\w)", re.IGNORECASE)
        return {source for source, text in texts.items() if whole.search(text)}

    names = sorted({name for text in texts.values() for name in NAME.findall(text)})
    random.Random(0).shuffle(names)
    several = [(name, held) for name in names if len(held := holding(name)) > 1][: limit // 2]
    single = [(name, held) for name in names if len(held := holding(name)) == 1][: limit - len(several)]
    return [(f"How many documents mention {name}?", held) for name, held in [*several, *single]]


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["summaries", "documents", "mentions"])
    parser.add_argument("--questions", type=Path)
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--write", action="store_true")
    given, settings = parser.parse_args(), load_settings()
    with pipeline.open_index(settings) as index:
        if given.what == "summaries" and given.write:
            with chat_models.open_model(settings) as model:
                kept = Counter[bool]()
                summaries(index, given.limit, writing(index, settings, model, kept))
                print(f"{kept[True]} of {kept.total()} sentences of the summaries are the model's own")
        elif given.what == "summaries":
            summaries(index, given.limit, None)
        elif given.what == "mentions":
            survey(index, mentions(index, given.limit))
        else:
            rows = list(map(json.loads, given.questions.read_text(encoding="utf-8").splitlines()))
            random.Random(0).shuffle(rows)
            survey(
                index, [(f"Which documents tell: {row['question']}", {row["doc_id"]}) for row in rows[: given.limit]]
            )


if __name__ == "__main__":
    main()
