"""Bringing the index up to date: what is remembered, built beside, rolled back, forgotten, fetched and followed."""

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import ingestion
import pipeline
from errors import DocumentError, SettingsError, StoreError, StoreMismatch
from settings import Settings, load_settings

LONG = " ".join(f"On night {n} the lighthouse keeper Maria Novak counts {n * 7} ships that pass by." for n in range(40))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "ships.txt").write_text(LONG)
    (folder / "rivers.txt").write_text("The Danube ends in the Black Sea.")
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(store=tmp_path / "store", workers=1)


def chunks(settings: Settings) -> int:
    with pipeline.open_store_to_read(settings) as store:
        return len(store.catalog.chunk_ids())


def test_without_targets_everything_is_brought_up_to_date(folder: Path, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "single.md").write_text("# One file")
    ingestion.ingest(settings, [folder / "rivers.txt"])
    ingestion.ingest(settings, [tmp_path / "single.md"])
    (folder / "rivers.txt").write_text("The Rhine ends in the North Sea.")
    (tmp_path / "single.md").write_text("# Another file")
    report = ingestion.ingest(settings)
    assert (report.read, report.unchanged) == (2, 0)
    with pipeline.open_store_to_read(settings) as store:
        assert ingestion.roots_of(store.catalog) == [str(folder / "rivers.txt"), str(tmp_path / "single.md")]


def test_what_is_away_for_now_is_kept_and_named(folder: Path, settings: Settings, tmp_path: Path) -> None:
    ingestion.ingest(settings, [folder])
    before = chunks(settings)
    folder.rename(tmp_path / "unplugged")
    report = ingestion.ingest(settings)
    assert [problem.source for problem in report.failed] == [str(folder)]
    assert (report.removed, chunks(settings)) == ([], before)


def test_another_way_of_cutting_is_built_beside_the_index_in_use(folder: Path, settings: Settings) -> None:
    ingestion.ingest(settings, [folder])
    before = chunks(settings)
    smaller = settings.model_copy(update={"chunk_tokens": 64, "overlap_tokens": 8})
    answered = []

    def ask_meanwhile(done: int, total: int, embedded: int) -> None:
        answered.append(chunks(settings))

    report = ingestion.ingest(smaller, on_progress=ask_meanwhile)
    assert (report.rebuilt, report.read) == (True, 2)
    assert set(answered) == {before}
    assert chunks(smaller) > before
    assert ingestion.ingest(smaller).rebuilt is False
    ingestion.roll_back(settings)
    assert chunks(settings) == before
    assert ingestion.ingest(settings, [folder]).rebuilt is False


def test_what_was_embedded_before_is_not_embedded_again_for_a_new_index(folder: Path, settings: Settings) -> None:
    first = ingestion.ingest(settings, [folder])
    assert first.embedded == first.searched > 0
    again = ingestion.ingest(settings, rebuild=True)
    assert (again.embedded, again.searched) == (0, first.searched)


def test_the_vectors_of_another_embedder_are_not_borrowed(folder: Path, settings: Settings) -> None:
    first = ingestion.ingest(settings, [folder])
    other = settings.model_copy(update={"passage_prompt": "passage: "})
    assert ingestion.ingest(other, rebuild=True).embedded == first.embedded
    with pytest.raises(StoreMismatch, match="--rebuild"):
        ingestion.ingest(settings)


def test_a_failed_rebuild_leaves_the_index_in_use(folder: Path, settings: Settings) -> None:
    ingestion.ingest(settings, [folder])
    before = chunks(settings)
    with pytest.raises(DocumentError, match="no such file"):
        ingestion.ingest(settings, [folder / "missing"], rebuild=True)
    assert chunks(settings) == before
    with pytest.raises(StoreError, match="no earlier index"):
        ingestion.roll_back(settings)


def test_what_is_removed_does_not_come_back_by_a_rollback(folder: Path, settings: Settings) -> None:
    ingestion.ingest(settings, [folder])
    ingestion.ingest(settings, rebuild=True)
    assert ingestion.remove(settings, str(folder)) == [str(folder / "rivers.txt"), str(folder / "ships.txt")]
    with pytest.raises(StoreError, match="no earlier index"):
        ingestion.roll_back(settings)
    for path in settings.store.glob("*/catalog.sqlite*"):
        assert b"lighthouse" not in path.read_bytes(), path
    with pytest.raises(DocumentError, match="nothing is ingested"):
        ingestion.ingest(settings)


def test_encrypted_files_open_with_a_password_that_is_set_later(settings: Settings, tmp_path: Path) -> None:
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(PdfReader(Path(__file__).parent.parent / "data" / "sample" / "09-training-memory.pdf"))
    writer.encrypt("open sesame")
    path = tmp_path / "secret.pdf"
    with path.open("wb") as stream:
        writer.write(stream)
    report = ingestion.ingest(settings, [path])
    assert "encrypted" in report.failed[0].reason
    assert "RAG_PASSWORDS" in report.failed[0].reason
    assert ingestion.ingest(settings, [path]).failed == report.failed
    told = load_settings(store=settings.store, workers=1, passwords="wrong,open sesame")
    assert ingestion.ingest(told, [path], retry_failed=True).read == 1


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    pages = tmp_path / "site"
    pages.mkdir()
    (pages / "boats.html").write_text("<h1>Boats</h1><p>The ferry to Ghent leaves at seven.</p>")
    (pages / "trains.html").write_text("<h1>Trains</h1><p>The train to Leeds has nine carriages.</p>")

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(pages))) as server:
        address = f"http://127.0.0.1:{server.server_address[1]}"
        entries = "".join(f"<url><loc>{address}/{name}.html</loc></url>" for name in ("boats", "trains"))
        (pages / "sitemap.xml").write_text(f"<urlset>{entries}</urlset>")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield address
        server.shutdown()


def test_web_pages_are_fetched_only_where_that_is_allowed(site: str, settings: Settings) -> None:
    with pytest.raises(SettingsError, match="RAG_WEB=true"):
        ingestion.ingest(settings, [f"{site}/boats.html"])
    with pytest.raises(DocumentError):  # a sitemap on a private address
        ingestion.ingest(settings.model_copy(update={"web": True}), [f"{site}/sitemap.xml"])
    page = ingestion.ingest(settings.model_copy(update={"web": True}), [f"{site}/boats.html"])
    assert [problem.source for problem in page.failed] == [f"{site}/boats.html"]


def test_a_sitemap_s_pages_are_indexed_under_their_addresses_and_follow_the_site(
    site: str, settings: Settings, tmp_path: Path
) -> None:
    host = site.removeprefix("http://")
    allowed = settings.model_copy(update={"web": True, "web_hosts": host})
    assert ingestion.ingest(allowed, [f"{site}/sitemap.xml"]).read == 2
    with pipeline.open_store_to_read(allowed) as store:
        ((id_, _), *_) = store.keyword("ferry to Ghent", 3)
        assert store.chunks([id_])[0].metadata["source"] == f"{site}/boats.html"
    (tmp_path / "site" / "trains.html").unlink()
    report = ingestion.ingest(allowed)
    assert report.unchanged == 1
    assert [problem.source for problem in report.failed] == [f"{site}/trains.html"]
    assert report.removed == [f"{site}/trains.html"]
    assert list((settings.store / "pages").glob("*.html"))
    assert ingestion.remove(allowed, f"{site}/boats.html") == [f"{site}/boats.html"]
    assert [path for path in (settings.store / "pages").iterdir() if path.is_file()] == []


def test_a_followed_folder_is_ingested_whenever_it_changes(folder: Path, settings: Settings) -> None:
    reports = ingestion.follow(settings, [folder])
    assert next(reports).read == 2  # type: ignore[union-attr]
    (folder / "new.txt").write_text("The ferry to Ghent leaves at seven.")
    report = next(reports)
    assert (report.read, report.unchanged) == (1, 2)  # type: ignore[union-attr]
    (folder / "rivers.txt").unlink()
    assert next(reports).removed == [str(folder / "rivers.txt")]  # type: ignore[union-attr]


def test_following_nothing_is_an_error(settings: Settings) -> None:
    with pytest.raises(DocumentError, match=r"main\.py watch PATH"):
        next(ingestion.follow(settings))


def test_the_derived_indexes_can_be_made_anew(folder: Path, settings: Settings) -> None:
    report = ingestion.ingest(settings, [folder])
    assert ingestion.rebuild_index(settings) == report.searched
    with pipeline.open_store_to_read(settings) as store:
        assert len(store.keyword("lighthouse", 99)) == report.searched - 1
        assert json.loads(store.catalog.read_meta("roots")) == [str(folder)]
