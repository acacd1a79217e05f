"""Passages: chunks of real files joined and widened, verbatim always; the budget; what a filter forbids stays out."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

import ingestion
import pipeline
from chains.evidence import build_highlighter
from chains.passages import build_passages, is_wide, joined_text, narrowed, widened
from chains.queries import Query
from loaders.filters import parse_filter
from loaders.store import Store
from searching import build_search
from settings import load_settings


def prose(subject: str, sentences: int) -> str:
    return " ".join(f"{subject} number {n} holds {n * 7 % 90} litres of water in town {n}." for n in range(sentences))


FILES = {
    "long.txt": prose("The kettle", 150),
    "sections.md": f"# One\n\n{prose('The lamp', 40)}\n\n# Two\n\n{prose('The stove', 40)}\n",
    "copy.md": f"# Copy\n\n{prose('The kettle', 150)}\n\n{prose('The bridge', 40)}\n",
    "mixed.txt": "\n\n".join([prose("A chair", 20), "=-=-" * 60, prose("A table", 20), prose("A bench", 20)]),
}


@dataclass(frozen=True)
class World:
    """The open store with the files' texts and all chunks of each, in order."""

    store: Store
    texts: dict[str, str]
    chunks: dict[str, list[Document]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("documents")
    texts = {}
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
        texts[str(folder / name)] = text
    made = load_settings(store=folder.parent / f"{folder.name}-store", chunk_tokens=64, overlap_tokens=16)
    assert ingestion.ingest(made, [folder]).failed == []
    with pipeline.open_store_to_read(made) as store:
        chunks = {}
        for source in texts:
            ids = store.catalog.rows("SELECT id FROM chunks WHERE source = ? ORDER BY position", (source,))
            chunks[source] = store.chunks([id_ for (id_,) in ids])
            for chunk in chunks[source]:
                chunk.metadata["score"] = 0.5
        yield World(store, texts, chunks)


def of(world: World, name: str) -> list[Document]:
    return next(chunks for source, chunks in world.chunks.items() if source.endswith(name))


def is_verbatim(world: World, passage: Document) -> bool:
    at = passage.metadata
    text = world.texts[at["source"]]
    end = at["start"] + len(passage.page_content)
    return text[at["start"] : end] == passage.page_content and at["line"] == 1 + text.count("\n", 0, at["start"])


def scored(chunks: list[Document]) -> list[Document]:
    for rank, chunk in enumerate(chunks):
        chunk.metadata["score"] = 1 / (1 + rank)
    return chunks


def test_neighbours_become_one_passage_with_the_place_of_the_first_and_the_rank_of_the_best(world: World) -> None:
    chunks = of(world, "long.txt")
    ranked = scored([chunks[5], chunks[9], chunks[4], chunks[6]])
    one, two = build_passages(limit=4).invoke(ranked)
    assert (one.id, one.metadata["score"]) == (chunks[5].id, 1.0)
    assert one.metadata["start"] == chunks[4].metadata["start"]
    assert set(one.metadata["chunks"]) == {chunks[n].id for n in (4, 5, 6)}
    assert one.metadata["hit"][0] == chunks[5].metadata["start"]
    assert chunks[4].page_content in one.page_content
    assert chunks[6].page_content in one.page_content
    assert is_verbatim(world, one)
    assert (two.id, two.page_content) == (chunks[9].id, chunks[9].page_content)


def test_a_chunk_that_closes_a_gap_joins_three(world: World) -> None:
    chunks = of(world, "long.txt")
    (found,) = build_passages(limit=3).invoke(scored([chunks[6], chunks[4], chunks[5]]))
    assert found.id == chunks[6].id
    assert is_verbatim(world, found)
    assert len(found.metadata["chunks"]) == 3


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_whatever_is_found_every_passage_is_verbatim_and_nothing_found_is_lost(
    world: World, data: st.DataObject
) -> None:
    every = [chunk for chunks in world.chunks.values() for chunk in chunks]
    ranked = scored(data.draw(st.lists(st.sampled_from(every), unique_by=lambda chunk: chunk.id, max_size=12)))
    limit, tokens = data.draw(st.integers(1, 6)), data.draw(st.sampled_from([0, 120, 400]))
    build = build_passages(
        limit=limit, parent_tokens=tokens, neighbours=world.store.section_of, count_tokens=lambda text: len(text) // 4
    )
    found = build.invoke(ranked)
    assert len(found) <= limit
    read = [id_ for passage in found for id_ in passage.metadata["chunks"]]
    assert len(read) == len(set(read))
    assert {chunk.id for chunk in ranked[:limit]} <= set(read)
    for passage in found:
        assert is_verbatim(world, passage)
        assert is_verbatim(world, narrowed(passage))
        assert narrowed(passage).page_content == next(c.page_content for c in ranked if c.id == passage.id)
    spans = [(p.metadata["source"], p.metadata["start"], p.metadata["start"] + len(p.page_content)) for p in found]
    if tokens == 0:
        return
    for n, (source, start, end) in enumerate(spans):  # nothing is read twice
        for other, first, last in spans[n + 1 :]:
            same = found[n].metadata["section"] in [p.metadata["section"] for p in found[n + 1 :]]
            assert source != other or not same or end <= first or last <= start


def test_sections_and_pages_are_not_joined(world: World) -> None:
    chunks = of(world, "sections.md")
    last = max(n for n, chunk in enumerate(chunks) if chunk.metadata["section"] == "One")
    assert len(build_passages(limit=4).invoke(scored(chunks[last : last + 2]))) == 2
    place: dict[str, Any] = {"source": "a.pdf", "section": "", "line": None, "score": 1.0, "also_in": []}
    pages = [
        Document(id=str(page), page_content="One page.", metadata=place | {"page": page, "start": 9 * page})
        for page in (1, 2)
    ]
    assert len(build_passages(limit=4).invoke(pages)) == 2


def piece(start: int, line: int | None, text: str) -> Document:
    return Document(page_content=text, metadata={"start": start, "line": line})


@pytest.mark.parametrize(
    ("first", "second", "joined"),
    [
        ((0, 1, "One two"), (4, 1, "two three"), "One two three"),
        ((0, 1, "One two"), (7, 1, " three"), "One two three"),
        ((4, 1, "two"), (0, 1, "One two three"), "One two three"),
        ((0, 1, "One."), (6, 3, "Two."), "One.\n\nTwo."),
        ((0, None, "One."), (6, None, "Two."), ""),  # two characters that nothing tells of
        ((0, 1, "One."), (6, 2, "Two."), ""),
        ((0, 1, "One."), (90, 3, "Two."), ""),  # what stood there was dropped
        ((0, 1, "One two"), (4, 1, "toe three"), ""),  # not the text that it seems to be
    ],
)
def test_only_text_that_is_known_is_joined(
    first: tuple[int, int | None, str], second: tuple[int, int | None, str], joined: str
) -> None:
    assert joined_text(piece(*first), piece(*second)) == joined
    assert joined_text(piece(*second), piece(*first)) == joined


def test_dropped_noise_ends_a_passage(world: World) -> None:
    chunks = of(world, "mixed.txt")
    assert "=-=-" not in "".join(chunk.page_content for chunk in chunks)
    build = build_passages(limit=1, parent_tokens=8000, neighbours=world.store.section_of)
    found = [build.invoke([chunk])[0] for chunk in chunks]
    assert all("=-=-" not in passage.page_content and is_verbatim(world, passage) for passage in found)
    assert {("chair" in p.page_content, "table" in p.page_content) for p in found} == {(True, False), (False, True)}


def test_a_passage_grows_evenly_by_whole_chunks_within_its_budget(world: World) -> None:
    chunks = of(world, "long.txt")

    def count(text: str) -> int:
        return len(text.split())

    hit = chunks[8]
    found = build_passages(limit=1, parent_tokens=200, neighbours=world.store.section_of, count_tokens=count)
    (passage,) = found.invoke([hit])
    assert is_wide(passage)
    assert 150 < count(passage.page_content) <= 200
    start, end = passage.metadata["start"], passage.metadata["start"] + len(passage.page_content)
    before, after = passage.metadata["hit"][0] - start, end - passage.metadata["hit"][1]
    assert abs(before - after) <= 1.5 * len(hit.page_content)
    assert start in [chunk.metadata["start"] for chunk in chunks]
    assert any(passage.page_content.endswith(chunk.page_content) for chunk in chunks)
    assert widened(hit, (), 200, count) is hit


def test_repeated_passages_inside_a_section_are_read_too(world: World) -> None:
    chunks = of(world, "copy.md")
    repeated = world.store.catalog.rows("SELECT id FROM chunks WHERE kept_by IS NOT NULL")
    assert repeated
    hit = next(chunk for chunk in chunks if "bridge number 0 " in chunk.page_content)
    build = build_passages(limit=1, parent_tokens=2000, neighbours=world.store.section_of, count_tokens=len)
    (found,) = build.invoke([hit])
    assert "kettle number 149 " in found.page_content
    assert is_verbatim(world, found)
    assert found.metadata["also_in"] == hit.metadata["also_in"]


def test_a_wide_passage_of_an_allowed_source_never_brings_in_another(tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    made = load_settings(store=tmp_path / "store", chunk_tokens=64, overlap_tokens=16, parent_tokens=300)
    ingestion.ingest(made, [folder])
    where = parse_filter(sources=["copy.md"])
    with pipeline.open_index(made) as index:
        found = build_search(made, index, limit=6, where=where).invoke([Query("How much does kettle number 7 hold?")])
        assert any(is_wide(passage) for passage in found)
        for passage in found:
            assert passage.metadata["source"] == str(folder / "copy.md")
            assert passage.metadata["also_in"] == []
            assert FILES["copy.md"][passage.metadata["start"] :].startswith(passage.page_content)


def test_a_narrowed_passage_keeps_the_sentences_of_what_was_found(world: World, embeddings: Embeddings) -> None:
    chunks = of(world, "long.txt")
    build = build_passages(limit=1, parent_tokens=1500, neighbours=world.store.section_of)
    (wide,) = build_highlighter(embeddings).invoke({"query": "kettle 20", "passages": build.invoke([chunks[4]])})
    found = narrowed(wide)
    text = world.texts[found.metadata["source"]]
    assert found.page_content == chunks[4].page_content
    assert 0 < len(found.metadata["sentences"]) < len(wide.metadata["sentences"])
    for sentence in found.metadata["sentences"]:
        assert sentence.text in found.page_content
        assert text[sentence.start : sentence.start + len(sentence.text)] == sentence.text
        assert sentence.line == 1 + text.count("\n", 0, sentence.start)
    assert narrowed(found) is found
