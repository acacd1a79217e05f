"""Sitemaps, robots.txt and the folder of copies, against a real server."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from web_server import Site, redirect, send, status, unless_known

from errors import DocumentError
from loaders.documents import load_documents
from loaders.files import find_files
from loaders.web.downloads import download_pages, kept_pages
from loaders.web.sitemaps import MOST_SITEMAPS, sitemap_urls

NAMESPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


def urlset(*urls: str) -> str:
    return f"<urlset {NAMESPACE}>" + "".join(f"<url><loc> {url} </loc></url>" for url in urls) + "</urlset>"


def index(*urls: str) -> str:
    inner = "".join(f"<sitemap><loc>{url}</loc></sitemap>" for url in urls)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<sitemapindex {NAMESPACE}>{inner}</sitemapindex>'


def text_of(path: Path) -> str:
    return "\n".join(document.page_content for document in load_documents(path))


# sitemaps


def test_a_sitemap_lists_the_pages_of_its_own_site_once_and_in_order(site):
    own = [site.url("/b"), site.url("/a?x=1&amp;y=2"), site.url("/b#part"), site.url("/ä", "www.site.test")]
    others = ["http://other.test/", "http://site.test.evil.example/", "file:///etc/passwd", "nonsense", ""]
    site.pages["/sitemap.xml"] = send(urlset(*own, *others), "application/xml")
    assert sitemap_urls(site.url("/sitemap.xml"), access=site.access()) == [
        site.url("/b"),
        site.url("/a?x=1&y=2"),
        site.url("/%C3%A4", "www.site.test"),
    ]


def test_an_index_is_followed_zipped_or_plain_and_loops_end(site):
    site.pages |= {
        "/index.xml": send(index(*map(site.url, ("/1.xml.gz", "/2.txt", "/index.xml", "/again.xml")))),
        "/again.xml": send(index(site.url("/index.xml"), site.url("/again.xml"))),
        "/1.xml.gz": send(gzip.compress(urlset(site.url("/one")).encode()), "application/x-gzip"),
        "/2.txt": send(f"\ufeff{site.url('/two')}\r\n\r\n# a remark\r\n{site.url('/one')}\r\n", "text/plain"),
    }
    assert sitemap_urls(site.url("/index.xml"), access=site.access()) == [site.url("/one"), site.url("/two")]
    assert sorted(site.asked) == ["/1.xml.gz", "/2.txt", "/again.xml", "/index.xml"]


def test_a_robots_txt_names_the_sitemaps_of_its_site(site):
    lines = f"Sitemap: {site.url('/map.xml')}\nSitemap: http://other.test/map.xml\nUser-agent: *\nDisallow: /x\n"
    site.pages |= {"/robots.txt": send(lines, "text/plain"), "/map.xml": send(urlset(site.url("/page")))}
    assert sitemap_urls(site.url("/robots.txt"), access=site.access()) == [site.url("/page")]


def test_an_index_that_breeds_for_ever_ends(site):
    class Endless(dict):
        def get(self, path, default=None):
            number = int(path.strip("/") or 0)
            return send(index(*(site.url(f"/{2 * number + child}") for child in (1, 2))))

    site.pages = Endless()
    with pytest.raises(DocumentError, match=f"more than {MOST_SITEMAPS} sitemaps"):
        sitemap_urls(site.url("/"), access=site.access())
    assert len(site.asked) <= MOST_SITEMAPS


def test_more_pages_than_wanted_are_an_error_and_not_a_part_of_the_list(site):
    site.pages["/map.xml"] = send(urlset(*(site.url(f"/{number}") for number in range(11))))
    with pytest.raises(DocumentError, match="more than 10 pages"):
        sitemap_urls(site.url("/map.xml"), access=site.access(), most=10)
    assert len(sitemap_urls(site.url("/map.xml"), access=site.access(), most=11)) == 11


LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {name} "{f"&{before};" * 20}">' for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "body",
    [
        "<urlset><url><loc>http://site.test/",
        "<html><body>Not found</body></html>",
        urlset(),
        "",
        f"{LAUGHS}]><urlset><url><loc>&i;</loc></url></urlset>",
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><urlset><url><loc>&a;</loc></url></urlset>',
        gzip.compress(b" " * 30 * 2**20),
    ],
    ids=["cut", "a page", "empty", "nothing", "laughs", "outside entity", "bomb"],
)
def test_what_is_no_sitemap_is_an_error(site, body):
    site.pages["/map.xml"] = send(body, "application/xml")
    with pytest.raises(DocumentError):
        sitemap_urls(site.url("/map.xml"), access=site.access())


def test_a_sitemap_of_an_index_that_fails_is_an_error(site):
    site.pages |= {"/index.xml": send(index(site.url("/1.xml"), site.url("/gone.xml"))), "/1.xml": send(urlset("/"))}
    with pytest.raises(DocumentError, match="404"):
        sitemap_urls(site.url("/index.xml"), access=site.access())


# downloads


def test_pages_are_kept_as_files_that_the_readers_read(site, tmp_path):
    site.pages |= {"/": send("<h1>Title</h1><p>Some words."), "/notes.md": send("# Notes\n\nMore words.", "text/plain")}
    urls = [site.url(), site.url("/notes.md"), site.url()]
    files, failed = download_pages(urls, tmp_path / "web", access=site.access())
    assert failed == []
    assert [files[url].suffix for url in urls[:2]] == [".html", ".md"]
    assert "Some words." in text_of(files[site.url()])
    assert text_of(files[site.url("/notes.md")]) == "# Notes\n\nMore words."
    assert sorted(find_files(tmp_path / "web")) == sorted(files.values())
    assert kept_pages(tmp_path / "web") == files


def test_a_second_run_fetches_only_what_changed(site, tmp_path):
    site.pages["/"] = unless_known(send("<p>One", ETag='"1"'), '"1"')
    site.pages["/b"] = send("<p>Old")
    urls = [site.url(), site.url("/b")]
    first = download_pages(urls, tmp_path, access=site.access())
    before = first.files[site.url()].stat().st_mtime_ns
    site.pages["/b"] = send("<p>New")
    second = download_pages(urls, tmp_path, access=site.access())
    assert second == first
    assert first.files[site.url()].stat().st_mtime_ns == before
    assert text_of(first.files[site.url("/b")]) == "New"
    assert [headers.get("if-none-match") for headers in site.headers if "if-none-match" in headers] == ['"1"']


@pytest.mark.parametrize("damage", ["file gone", "file cut", "note gone", "note cut", "note of another kind"])
def test_a_damaged_copy_is_fetched_anew(site, tmp_path, damage):
    site.pages["/"] = unless_known(send("<p>One", ETag='"1"'), '"1"')
    file = download_pages([site.url()], tmp_path, access=site.access()).files[site.url()]
    note = next(tmp_path.glob(".*.json"))
    {
        "file gone": file.unlink,
        "file cut": lambda: file.write_bytes(b"<p>"),
        "note gone": note.unlink,
        "note cut": lambda: note.write_text(note.read_text()[:40]),
        "note of another kind": lambda: note.write_text("[1, 2]"),
    }[damage]()
    result = download_pages([site.url()], tmp_path, access=site.access())
    assert result == ({site.url(): file}, [])
    assert text_of(file) == "One"


def test_a_note_cannot_point_out_of_its_folder(site, tmp_path):
    site.pages["/"] = send("<p>One")
    folder, outside = tmp_path / "web", tmp_path / "mine.html"
    download_pages([site.url()], folder, access=site.access())
    outside.write_text("mine")
    note = next(folder.glob(".*.json"))
    note.write_text(json.dumps(json.loads(note.read_text()) | {"file": "../mine.html", "size": 4}))
    site.pages["/"] = status(410)
    assert kept_pages(folder) == {}
    download_pages([site.url()], folder, access=site.access())
    assert outside.read_text() == "mine"


def test_a_page_that_is_gone_loses_its_copy_and_one_that_fails_keeps_it(site, tmp_path):
    site.pages |= {"/gone": send("<p>One"), "/fails": send("<p>Two"), "/image": send("<p>Three")}
    urls = [site.url(path) for path in ("/gone", "/fails", "/image", "/never")]
    download_pages(urls, tmp_path, access=site.access())
    site.pages |= {"/gone": status(410), "/fails": status(503), "/image": send("x", "image/png")}
    files, failed = download_pages([*urls, "http://10.0.0.1/", "no url"], tmp_path, access=site.access())
    assert list(files) == [site.url("/fails"), site.url("/image")]
    assert all(file.exists() for file in files.values())
    assert kept_pages(tmp_path) == files
    reasons = dict(failed)
    assert list(reasons) == [*urls, "http://10.0.0.1/", "no url"]
    assert "410" in reasons[site.url("/gone")]
    assert "503" in reasons[site.url("/fails")]
    assert "404" in reasons[site.url("/never")]
    assert len(list(tmp_path.iterdir())) == 4


def test_a_page_of_another_kind_than_before_replaces_its_file(site, tmp_path):
    site.pages["/"] = send("<p>One")
    old = download_pages([site.url()], tmp_path, access=site.access()).files[site.url()]
    site.pages["/"] = send("One", "text/plain")
    new = download_pages([site.url()], tmp_path, access=site.access()).files[site.url()]
    assert (old.exists(), new.suffix) == (False, ".txt")


def test_copies_of_other_pages_are_left_alone(site, tmp_path):
    site.pages |= {"/a": send("<p>A"), "/b": send("<p>B")}
    first = download_pages([site.url("/a")], tmp_path, access=site.access()).files
    second = download_pages([site.url("/b")], tmp_path, access=site.access()).files
    assert kept_pages(tmp_path) == first | second


@pytest.mark.parametrize("meta", ["", '<meta charset="iso-8859-1">'])
def test_the_encoding_in_the_header_outranks_the_one_in_the_page(site, tmp_path, meta):
    page = f"<html><head>{meta}</head><body><p>Привет, мир</p></body></html>"
    site.pages["/"] = send(page.encode("windows-1251"), "text/html; charset=Windows-1251")
    site.pages["/plain"] = send("Привет".encode("koi8-r"), 'text/plain; charset="koi8-r"')
    files, _ = download_pages([site.url(), site.url("/plain")], tmp_path, access=site.access())
    assert "Привет, мир" in text_of(files[site.url()])
    assert text_of(files[site.url("/plain")]) == "Привет"


@pytest.mark.parametrize("charset", ["undefined", "hex", "no-such", "utf-8", ""])
def test_a_wrong_encoding_in_the_header_does_no_harm(site, tmp_path, charset):
    site.pages["/"] = send("<p>Größe".encode("cp1252"), f"text/html; charset={charset}")
    files, _ = download_pages([site.url()], tmp_path, access=site.access())
    assert files[site.url()].read_bytes() == "<p>Größe".encode("cp1252")


def test_a_folder_that_cannot_be_written_stops_it(site, tmp_path):
    (tmp_path / "web").write_text("a file")
    site.pages["/"] = send("<p>One")
    with pytest.raises(DocumentError, match="web"):
        download_pages([site.url()], tmp_path / "web", access=site.access())


# robots.txt

ROBOTS = """
User-agent: *
Disallow: /private/
Disallow: /*?print=
Allow: /private/open

User-agent: groundwork
Crawl-delay: 0.01
Disallow: /not-for-us
Disallow: /*.cgi$
"""


def test_robots_txt_is_asked_once_and_obeyed(site, tmp_path):
    site.pages |= dict.fromkeys(("/ok", "/not-for-us", "/x.cgi", "/private/a"), send("<p>One"))
    site.pages |= {"/robots.txt": send(ROBOTS, "text/plain"), "/moved": redirect("/not-for-us")}
    urls = [site.url(path) for path in ("/ok", "/not-for-us", "/x.cgi", "/private/a", "/moved")]
    files, failed = download_pages(urls, tmp_path, access=site.access())
    assert list(files) == [site.url("/ok"), site.url("/private/a")]  # the record with our name stands alone
    assert [url for url, reason in failed if "robots.txt" in reason] == [urls[1], urls[2], urls[4]]
    assert site.asked == ["/robots.txt", "/ok", "/private/a", "/moved"]
    files, _ = download_pages(urls, tmp_path / "all", access=site.access(), robots=False)
    assert list(files) == urls


@pytest.mark.parametrize(("answer", "read"), [(404, True), (403, True), (500, False), (503, False)])
def test_no_robots_txt_permits_all_and_a_broken_one_nothing(site, tmp_path, answer, read):
    site.pages |= {"/robots.txt": status(answer), "/a": send("<p>A"), "/b": send("<p>B")}
    files, failed = download_pages([site.url("/a"), site.url("/b")], tmp_path, access=site.access())
    assert (len(files), len(failed)) == ((2, 0) if read else (0, 2))
    assert site.asked.count("/robots.txt") == 1
    assert all("robots.txt" in reason for _, reason in failed)
