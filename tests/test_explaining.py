"""Expectations against a real index: each way to lose a passage is named, and each remedy keeps it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from test_documents import pdf

import explaining
import ingestion
import pipeline
import searching
from chains.explain import Expected, Explanation, Recorder
from chains.rag import ask, stream_answer
from loaders.filters import parse_filter
from remedies import Asked
from settings import Settings, load_settings

KETTLE = "# Orion\n\nThe kettle Orion holds 3 litres of water. Ada Brown built it in Leeds.\n"
QUESTION = "How many litres of water does the kettle Orion hold?"
TRADES = {
    "Arlen": "baker", "Bexum": "smith", "Corvik": "weaver", "Dalmer": "cooper", "Estrin": "tanner",
    "Fenwold": "glazier",
    "Garrow": "mason", "Hexley": "potter", "Ilmar": "dyer", "Jorvik": "fuller", "Kelso": "saddler", "Lundy": "chandler",
    "Morven": "cutler", "Norwick": "tailor", "Ostrava": "miller",
}  # fmt: skip


@dataclass
class House:
    """An index with its folder, and how it is searched."""

    folder: Path
    asked: Asked

    def search(self, *expected: str, question: str = QUESTION, **changes: Any) -> Explanation:
        """Search as `search -k` does with other settings, `limit` and `where` among them, and explain it."""
        asked = self.changed(**changes)
        seen = explaining.start(asked, True)
        finder = searching.build_finder(asked.settings, asked.index, limit=asked.limit, where=asked.where)
        finder.invoke({"question": question, "history": []}, config={"callbacks": [seen]})
        return explaining.explain(asked, seen, expected)

    def ask(self, expected: str, **changes: Any) -> Expected:
        """Ask as `ask` does, and return what became of the expected passage."""
        asked = replace(self.changed(**changes), limit=changes.get("top_k", 4), by_option=False)
        seen = Recorder()
        with pipeline.open_chain(asked.settings, asked.index, asked.where) as chain:
            list(stream_answer(chain, QUESTION, trace=seen))
        (found,) = explaining.explain(asked, seen, [expected]).expected
        return found

    def changed(self, *, limit: int = 0, where: Any = None, **settings: Any) -> Asked:
        asked = self.asked
        changed = asked.settings.model_copy(update=settings)
        return replace(asked, settings=changed, limit=limit or asked.limit, where=where)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    root = tmp_path_factory.mktemp("explaining")
    folder = root / "documents"
    folder.mkdir()
    (folder / "kettle.md").write_text(KETTLE)
    (folder / "later_copy.md").write_text(KETTLE)
    (folder / "lease.pdf").write_bytes(pdf("The tenant pays the rent in advance.", "", "l" * 40))
    (folder / "empty.txt").write_text("")
    (folder / "picture.txt").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    for n, (town, trade) in enumerate(TRADES.items()):
        text = f"In {town} a {trade} had {n + 3} apprentices and one shop beside the old church.\n"
        (folder / f"{town}.txt").write_text(text)
    settings = load_settings(store=root / "store", max_answer_tokens=32, answer_style="write")
    assert ingestion.ingest(settings, [folder]).read == 18
    with pipeline.open_index(settings) as index:
        yield House(folder, Asked(settings, index, limit=3, by_option=True))


def only(explanation: Explanation) -> Expected:
    (found,) = explanation.expected
    return found


def applied(remedy: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Return the changes with what a remedy, as it is written, says."""
    for part in remedy.split(" with "):
        key, _, value = part.removeprefix("-").replace("k ", "limit=").removeprefix("RAG_").partition("=")
        kind = type(Settings.model_fields[key.lower()].default) if key != "limit" else int
        changes = changes | {key.lower(): kind(value)}
    return changes


def names(explanation: Explanation) -> list[str]:
    return [Path(passage.source).name for passage in explanation.passages]


def keeps(house: House, expected: str, remedy: str, **settings: Any) -> bool:
    """Tell whether a remedy brings the passage."""
    return expected in names(house.search(**applied(remedy, settings)))


def last(house: House, **changes: Any) -> str:
    """Return the name of the file that the search ranks last of all."""
    return names(house.search(limit=50, **changes))[-1]


def test_each_passage_has_its_place_in_every_stage(house: House) -> None:
    explanation = house.search()
    first = explanation.passages[0]
    assert (first.n, Path(first.source).name, first.line) == (1, "kettle.md", 1)
    assert list(first.stages) == ["dense", "keyword", "fuse", "light", "passages"]
    assert {place.rank for place in first.stages.values()} == {1}
    assert [p.stages["passages"].rank for p in explanation.passages] == [1, 2, 3]
    wanted = {"normalise", "follow_up", "correct", "rewrite", "legs", "fuse", "light", "passages", "retrieve", "total"}
    assert {f"{name}_ms" for name in wanted} == set(explanation.timings)
    assert [(q["text"], q["made_by"]) for q in explanation.queries] == [(QUESTION, "question")]


def test_a_query_tells_which_step_made_it(house: House) -> None:
    explanation = house.search(question=QUESTION.replace("kettle", "ketlte"))
    assert [query["made_by"] for query in explanation.queries] == ["correction", "question"]


def test_what_was_not_lost_is_told_with_its_place(house: House) -> None:
    for name in ("kettle.md", "kett*", str(house.folder / "kettle.md")):
        found = only(house.search(name))
        assert (found.lost_at, found.why, found.remedies) == ("", "it is passage 1", ())


def test_a_repeated_text_is_looked_for_in_the_name_of_its_keeper(house: House) -> None:
    found = only(house.search("later_copy.md"))
    assert found.lost_at == ""
    assert found.why.startswith("it is passage 1; the same text stands in ")
    assert found.why.endswith("kettle.md")
    own = only(house.search("later_copy.md", where=parse_filter(["later*"])))
    assert own.why == "it is passage 1"


def test_not_ingested(house: House, tmp_path: Path) -> None:
    there = tmp_path / "there.md"
    there.write_text("words")
    unknown, near, new, failed, skipped = house.search(
        "nothing#4", "kettel.md", str(there), "empty.txt", "picture.txt"
    ).expected
    assert {each.lost_at for each in (unknown, near, new, failed, skipped)} == {"ingest"}
    assert unknown.remedies == ("python main.py ingest PATH",)
    assert near.remedies == (f"--expect {house.folder / 'kettle.md'}",)
    assert new.remedies == (f"python main.py ingest {there}",)
    states = house.asked.index.store.catalog.sources()
    for each, name in ((failed, "empty.txt"), (skipped, "picture.txt")):
        assert states[str(house.folder / name)].failure in each.why
    assert failed.remedies[0].startswith("mend it")
    assert skipped.remedies == ("convert it to a kind that is read",)


def test_no_chunk_of_the_page(house: House) -> None:
    blank, noise, beyond, unpaged = house.search("lease.pdf#2", "lease.pdf#3", "lease.pdf#9", "kettle.md#2").expected
    assert {each.lost_at for each in (blank, noise, beyond, unpaged)} == {"chunk"}
    assert "the last being 1" in blank.why
    assert "RAG_OCR" in blank.remedies[0]
    assert "one character repeated: llll" in noise.why
    assert "the last being 1" in beyond.why
    assert unpaged.why == "files of its kind have no pages"


def test_filtered_out(house: House) -> None:
    found = only(house.search("kettle.md", where=parse_filter(None, ["txt"], languages=["en", "de"])))
    assert (found.lost_at, found.remedies) == ("filter", ("leave out --suffix",))
    assert only(house.search("Kelso.txt", where=parse_filter(None, ["txt"]))).lost_at != "filter"


def test_not_retrieved(house: House) -> None:
    few: dict[str, Any] = {"candidates": 3}
    name = last(house)
    found = only(house.search(name, **few))
    assert found.lost_at == "retrieve"
    rank = int(re.search(r"dense rank (\d+)", found.why)[1])  # type: ignore[index]
    vector = house.asked.index.embed(QUESTION)
    nearest = [id_ for id_, _ in house.asked.index.store.dense(vector, 100)]
    sources = [Path(d.metadata["source"]).name for d in house.asked.index.store.chunks(nearest)]
    assert sources[rank - 1] == name
    assert "keyword: not at all" in found.why
    assert found.why.endswith("it lacks: hold, kettle, litre, many, orion, water")
    assert found.remedies
    assert found.remedies[0].startswith(f"RAG_CANDIDATES={rank} with ")
    assert all(keeps(house, name, remedy, **few) for remedy in found.remedies)


def test_fused_away(house: House) -> None:
    few: dict[str, Any] = {"rerank_candidates": 4}
    name = last(house)
    found = only(house.search(name, **few))
    assert found.lost_at == "fuse"
    assert re.search(r"dense rank \d+, fused rank \d+; the first 4 go on", found.why)
    assert found.remedies
    assert found.remedies[0].startswith("RAG_RERANK_CANDIDATES=")
    assert all(keeps(house, name, remedy, **few) for remedy in found.remedies)


def test_reranked_away(house: House) -> None:
    how: dict[str, Any] = {"question": "Who had 12 apprentices in one shop?", "keyword_weight": 0.0}
    (name,) = names(house.search(limit=1, reranker="off", **how))
    found = only(house.search(name, limit=1, **how))
    assert found.lost_at == "light"
    assert re.fullmatch(r"rank 1 → \d+ \(fuse → light\); the first 1 are kept", found.why)
    assert "RAG_RERANKER=off" in found.remedies
    assert found.remedies[0].startswith("-k ")
    for remedy in found.remedies:
        explanation = house.search(**applied(remedy, {"limit": 1} | how))
        assert name in names(explanation), remedy


def test_cut_by_k(house: House) -> None:
    second = names(house.search())[1]
    found = only(house.search(second, limit=1))
    assert found.lost_at == "cut"
    assert found.remedies[0] == "-k 2"
    assert all(keeps(house, second, remedy) for remedy in found.remedies)


def test_cut_by_the_token_budget(house: House) -> None:
    tight: dict[str, Any] = {"context_tokens": 512, "max_answer_tokens": 400, "top_k": 5}
    name = names(house.search(limit=5))[4]
    found = house.ask(name, **tight)
    assert (found.lost_at, found.remedies) == ("fit", ("RAG_CONTEXT_TOKENS=768, if the model allows as many",))
    assert house.ask(name, **tight | {"context_tokens": 768}).lost_at == ""


def test_fits_but_is_not_read(house: House) -> None:
    name = names(house.search())[-1]
    found = house.ask(name, answer_style="brief")
    assert (found.lost_at, found.remedies) == ("read", ("RAG_ANSWER_STYLE=write",))
    assert house.ask(name, answer_style="write").lost_at == ""
    assert house.ask("kettle.md", answer_style="brief").lost_at == ""
    refused = house.ask("kettle.md", least_evidence=1.0)
    assert refused.lost_at == "read"
    (remedy,) = refused.remedies
    name, _, bound = remedy.partition("=")
    assert name == "RAG_LEAST_EVIDENCE"
    assert house.ask("kettle.md", least_evidence=float(bound)).lost_at == ""


def test_an_answer_times_every_step_of_its_search(house: House) -> None:
    settings = house.asked.settings.model_copy(update={"answer_style": "quote"})
    with pipeline.open_chain(settings, house.asked.index) as chain:
        timings = ask(chain, QUESTION).timings
    steps = [timings[f"{step}_ms"] for step in ("legs", "fuse", "light", "passages", "highlight")]
    assert sum(steps) <= timings["retrieve_ms"] + 1
