"""The guard and the fetching of one page, against a real server: what may be asked, and how much is listened to."""

import gzip
import socket
import ssl
import time
import tracemalloc
from collections.abc import Iterator
from itertools import repeat

import pytest
from web_server import CERTIFICATE, Site, raw, redirect, send, status, unless_known

from errors import DocumentError
from loaders.web.connection import system_resolve
from loaders.web.fetching import PageGone, fetch
from loaders.web.guard import may_connect, parse_url
from loaders.web.pages import Access, Page, suffix_of, unzipped

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


def reason(url: str, access: Access) -> str:
    with pytest.raises(DocumentError) as caught:
        fetch(url, access=access)
    return caught.value.reason


# what a URL may look like


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("http://Example.ORG", "http://example.org/"),
        ("https://example.org:443/a b?q=ü#part", "https://example.org/a%20b?q=%C3%BC"),
        ("http://example.org.:8080/%7Ea", "http://example.org:8080/%7Ea"),
        ("https://straße.example/ä", "https://xn--strae-oqa.example/%C3%A4"),
        ("http://[2001:DB8::0:1]:8080/", "http://[2001:db8::1]:8080/"),
        ("http://8.8.8.8/x", "http://8.8.8.8/x"),
        (" http://example.org/a\tb\n", "http://example.org/ab"),
        ("http://example.org/a\r\nHost: evil", "http://example.org/aHost:%20evil"),
    ],
)
def test_a_url_has_one_normal_form(url, normal):
    assert parse_url(url).url == normal
    assert parse_url(normal).url == normal


@pytest.mark.parametrize(
    "url",
    [
        *(
            "file:///etc/passwd",
            "ftp://example.org/",
            "gopher://example.org/",
            "data:text/html,x",
            "javascript:alert(1)",
        ),
        *("", "example.org", "//example.org/", "http://", "http:///path", "http:example.org"),
        *("http://user@example.org/", "http://user:secret@example.org/", "http://example.org\\@evil.example/"),
        *("http://example.org\\.evil.example/", "http://exa mple.org/", "http://example.org%2eevil.example/"),
        *("http://example.org:99999/", "http://example.org:x/", "http://[::1/", "http://[fe80::1%25eth0]/"),
        *("http://2130706433/", "http://0177.0.0.1/", "http://0x7f.0.0.1/", "http://127.1/", "http://0x7f000001/"),
        *(
            "http://1.2.3.4.5/",
            "http://１２７.１/",
            "http://a..b/",
            "http://-a.example/",
            f"http://{'a' * 64}.example/",
        ),
    ],
)
def test_a_url_that_two_programs_could_read_in_two_ways_is_refused(url):
    with pytest.raises(DocumentError):
        parse_url(url)


def test_an_error_does_not_repeat_a_password():
    with pytest.raises(DocumentError) as caught:
        parse_url("http://user:secret@example.org/page")
    assert "secret" not in str(caught.value)


# which addresses may be connected to

PUBLIC = ["8.8.8.8", "1.1.1.1", "193.99.144.80", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
LOCAL = ["127.0.0.1", "127.255.0.3", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd12::1"]
LOCAL += ["::ffff:127.0.0.1", "::ffff:192.168.0.1", "64:ff9b::10.0.0.1", "64:ff9b::7f00:1"]
NEVER = ["169.254.169.254", "169.254.1.1", "fe80::1", "fe80::a9fe:a9fe", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"]
NEVER += ["100.100.100.200", "fd00:ec2::254", "168.63.129.16", "192.0.0.192", "0.0.0.0", "0.1.2.3", "::", "240.0.0.1"]
NEVER += ["255.255.255.255", "224.0.0.1", "239.255.255.250", "ff02::1", "192.0.2.1", "198.51.100.1", "203.0.113.1"]
NEVER += ["198.18.0.1", "192.88.99.1", "::127.0.0.1", "::8.8.8.8", "2002:7f00:1::", "2002:808:808::1", "2001::1"]
NEVER += ["2001:0:808:808::1", "2001:db8::1", "3fff::1", "fec0::1", "64:ff9b:1::1", "100::1", "5f00::1", "4000::1"]
NEVER += ["", "localhost", "8.8.8.8 ", "08.8.8.8", "8.8.8.8%eth0"]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_connected_to(address):
    assert may_connect(address, named=False)


@pytest.mark.parametrize("address", LOCAL)
def test_private_addresses_only_for_a_host_that_the_user_named(address):
    assert not may_connect(address, named=False)
    assert may_connect(address, named=True)


@pytest.mark.parametrize("address", NEVER)
def test_metadata_link_local_and_odd_addresses_never(address):
    assert not may_connect(address, named=False)
    assert not may_connect(address, named=True)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://localhost/"]
)
def test_the_system_resolver_leads_to_the_same_refusal(url):
    assert "not a public one" in reason(url, Access())


@pytest.mark.parametrize("odd", ["2130706433", "0177.0.0.1", "127.1"])
def test_what_the_c_library_takes_for_an_address_is_judged_too(odd):
    # parse_url refuses these; were one to slip through, its address would still be looked at
    assert not any(may_connect(address, named=False) for address in system_resolve(odd))


def test_one_private_address_condemns_a_public_name(site):
    access = site.access(allow_hosts=frozenset(), resolve=lambda host: ["8.8.8.8", "10.0.0.1"])
    assert "10.0.0.1" in reason("http://rebind.test/", access)


def test_the_address_that_was_checked_is_the_one_connected_to(site):
    answers = iter(["127.0.0.1", "169.254.169.254"])  # a name server that answers otherwise the second time
    asked = []

    def resolve(host: str) -> list[str]:
        asked.append(host)
        return [next(answers)]

    site.pages["/"] = send("<p>Hello")
    page = fetch(site.url(), access=site.access(resolve=resolve))
    assert (page.content, asked) == (b"<p>Hello", ["site.test"])
    assert site.headers[0]["host"] == f"site.test:{site.port}"


def test_the_next_address_is_tried_where_one_does_not_answer(site):
    site.pages["/"] = send("<p>Hello")
    access = site.access(resolve=lambda host: ["::1", "127.0.0.1"])  # nobody listens on ::1
    assert fetch(site.url(), access=access).content == b"<p>Hello"


def test_an_ipv6_address_is_asked_as_it_is_written():
    try:
        site = Site(family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    site.pages["/"] = send("<p>Hello")
    try:
        host = f"[::1]:{site.port}"
        assert fetch(f"http://{host}/", access=Access(frozenset({host}))).content == b"<p>Hello"
        assert site.headers[0]["host"] == host
    finally:
        site.close()


def test_a_port_must_be_named_with_its_host(site):
    site.pages["/"] = send("<p>Hello")
    for hosts in (set(), {"site.test"}, {"other.test", f"other.test:{site.port}"}, {f"site.test:{site.port + 1}"}):
        assert "port" in reason(site.url(), site.access(allow_hosts=frozenset(hosts)))
    assert fetch(site.url(), access=site.access(allow_hosts=frozenset({f"SITE.test:{site.port}"}))).status == 200
    assert site.asked == ["/"]


# redirects


def test_redirects_are_followed_and_the_end_is_told(site):
    site.pages |= {"/a": redirect("/b", 301), "/b": redirect("c?x=1#part", 308), "/c?x=1": send("<p>End")}
    page = fetch(site.url("/a"), access=site.access())
    assert (page.url, page.final_url, page.content) == (site.url("/a"), site.url("/c?x=1"), b"<p>End")


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("http://169.254.169.254/latest/meta-data/", "not a public one"),
        ("http://[::1]/", "not a public one"),
        ("http://[::ffff:127.0.0.1]/", "not a public one"),
        ("http://localhost/", "not a public one"),
        ("http://inside.test/", "not a public one"),
        ("//10.0.0.1/", "not a public one"),
        ("http://8.8.8.8:22/", "port 22"),
        ("http://127.0.0.1:6379/", "port 6379"),
        ("file:///etc/passwd", "scheme 'file'"),
        ("gopher://example.org/", "scheme 'gopher'"),
        ("http://2130706433/", "odd form"),
        ("http://0177.0.0.1/", "odd form"),
        ("http://user:x@site.test/", "password"),
        ("http://[bad/", "not a URL"),
    ],
)
def test_each_redirect_is_checked_like_a_url_of_its_own(site, location, why):
    site.pages["/"] = redirect(location)
    resolve = {"site.test": ["127.0.0.1"], "inside.test": ["192.168.0.7"]}
    access = site.access(resolve=lambda host: resolve.get(host) or system_resolve(host))
    assert why in reason(site.url(), access)
    assert site.asked == ["/"]


def test_a_redirect_loop_ends(site):
    site.pages["/"] = redirect("/")
    assert reason(site.url(), site.access()) == "more than 5 redirects"
    assert len(site.asked) == 6


def test_no_cookie_is_kept_and_no_proxy_is_taken_from_the_environment(site, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    site.pages |= {"/": send("", code=302, Location="/b", Set_Cookie="a=1"), "/b": send("<p>End")}
    assert fetch(site.url(), access=site.access()).status == 200
    assert all("cookie" not in headers for headers in site.headers)
    assert site.headers[0]["user-agent"].startswith("Groundwork/")


# TLS


@pytest.fixture
def secure(tmp_path) -> Iterator[tuple[Site, ssl.SSLContext]]:
    path = tmp_path / "server.pem"
    path.write_text(CERTIFICATE)
    site = Site(path)
    yield site, ssl.create_default_context(cadata=CERTIFICATE.partition("-----BEGIN PRIVATE")[0])
    site.close()


def test_tls_is_checked_against_the_name_though_the_address_is_connected_to(secure):
    site, trust = secure
    site.pages["/"] = send("<p>Safe")
    access = site.access(f"wiki.test:{site.port}", trust=trust)
    assert fetch(f"https://wiki.test:{site.port}/", access=access).content == b"<p>Safe"
    assert site.asked == ["sni wiki.test", "/"]
    assert "certificate" in reason(f"https://site.test:{site.port}/", access).lower()


def test_an_unknown_certificate_is_refused(secure):
    site, _ = secure
    access = site.access(f"wiki.test:{site.port}")
    assert "certificate" in reason(f"https://wiki.test:{site.port}/", access).lower()


def test_https_is_not_left_for_http(secure):
    site, trust = secure
    site.pages["/"] = redirect("HTTP://wiki.test/")
    access = site.access(f"wiki.test:{site.port}", trust=trust)
    assert "https to http" in reason(f"https://wiki.test:{site.port}/", access)


# how long and how much is listened to


@pytest.mark.parametrize("head", [b"", HEAD + b"\r\n", HEAD + b"Transfer-Encoding: chunked\r\n\r\n"])
def test_a_slow_drip_is_cut_off_in_time(site, head):
    drip = repeat(b"1\r\nx\r\n" if b"chunked" in head else b"H" if not head else b"x", 400)
    site.pages["/"] = raw(head, *drip, between=lambda: time.sleep(0.05))
    began = time.monotonic()
    assert "within 0.5 seconds" in reason(site.url(), site.access(seconds=0.5))
    assert time.monotonic() - began < 2


def test_a_server_that_says_nothing_is_left_in_time(site):
    site.pages["/"] = lambda handler: time.sleep(3)
    began = time.monotonic()
    assert "within 0.5 seconds" in reason(site.url(), site.access(seconds=0.5))
    assert time.monotonic() - began < 2


def test_a_handshake_that_never_comes_is_left_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        assert "within 0.5 seconds" in reason(f"https://{host}/", Access(frozenset({host}), seconds=0.5))


def test_redirects_share_the_time_of_the_page(site):
    def slowly(handler) -> None:
        time.sleep(0.3)
        redirect("/")(handler)

    site.pages["/"] = slowly
    assert "within 0.7 seconds" in reason(site.url(), site.access(seconds=0.7))


def test_an_endless_body_is_cut_off(site):
    block = b"%x\r\n" % 65536 + bytes(65536) + b"\r\n"
    site.pages["/"] = raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *repeat(block, 10_000))
    assert reason(site.url(), site.access(largest=2**20)) == "larger than 1 MB"


def test_a_declared_size_over_the_limit_is_not_read_at_all(site):
    site.pages["/"] = raw(HEAD + b"Content-Length: 99999999999\r\n\r\n", between=lambda: time.sleep(0.5))
    assert reason(site.url(), site.access()) == "larger than 20 MB"


def test_endless_headers_are_cut_off(site):
    site.pages["/"] = raw(HEAD, *repeat(b"X-More: " + b"x" * 1000 + b"\r\n", 5_000))
    assert reason(site.url(), site.access())


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"",
        HEAD + b"Content-Length: 100\r\n\r\ncut off",
        HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: \r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://[\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://\xff\xfe/\r\n\r\n",
    ],
)
def test_a_broken_answer_is_an_error_of_the_page(site, answer):
    site.pages["/"] = raw(answer)
    assert reason(site.url(), site.access())


def test_a_refused_connection_is_an_error_of_the_page():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    access = Access(frozenset({f"127.0.0.1:{port}"}))
    assert "no connection" in reason(f"http://127.0.0.1:{port}/", access)


def test_gzip_is_unpacked_within_the_limit(site):
    site.pages["/"] = send(gzip.compress(b"<p>Hello") + gzip.compress(b" again"), Content_Encoding="gzip")
    assert fetch(site.url(), access=site.access()).content == b"<p>Hello again"


def test_a_gzip_bomb_is_cut_off(site):
    bomb = gzip.compress(bytes(30 * 2**20))
    assert len(bomb) < 2**15
    site.pages["/"] = send(bomb, Content_Encoding="gzip")
    assert reason(site.url(), site.access()) == "larger than 20 MB"


def test_a_gzip_bomb_takes_no_more_memory_than_the_limit():
    bomb = gzip.compress(bytes(100 * 2**20))
    tracemalloc.start()
    with pytest.raises(DocumentError, match="larger than 1 MB"):
        unzipped(bomb, "http://site.test/", 2**20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 2**20


@pytest.mark.parametrize(
    ("body", "encoding"), [(b"not gzip", "gzip"), (gzip.compress(b"x" * 99)[:-9], "gzip"), (b"", "br")]
)
def test_a_body_that_cannot_be_unpacked_is_an_error_of_the_page(site, body, encoding):
    site.pages["/"] = send(body, Content_Encoding=encoding)
    assert reason(site.url(), site.access())


# what kind of page


@pytest.mark.parametrize("kind", ["image/png", "video/mp4", "application/javascript", "image/svg+xml", "x/y", "HTML"])
def test_a_kind_that_cannot_be_read_is_refused_before_its_body(site, kind):
    site.pages["/"] = raw(
        f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: 9000\r\n\r\n".encode(),
        between=lambda: time.sleep(1),
    )
    assert kind in reason(site.url(), site.access())


@pytest.mark.parametrize(
    ("kind", "path", "suffix"),
    [
        ("text/html; charset=utf-8", "/report.pdf", ".html"),
        ("TEXT/HTML", "/", ".html"),
        ("application/pdf", "/show?id=7", ".pdf"),
        ("text/plain", "/README.md", ".md"),
        ("text/plain", "/page.html", ".txt"),
        ("text/plain", "/data.csv", ".csv"),
        ("application/octet-stream", "/a/Report%202.PDF", ".pdf"),
        ("application/octet-stream", "/a/setup.exe", ""),
        ("", "/page.html", ".html"),
        ("", "/", ""),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "/x", ".docx"),
        ("application/zip", "/slides.pptx", ".pptx"),
        ("image/png", "/x.html", ""),
    ],
)
def test_the_suffix_follows_the_content_type_before_the_url(kind, path, suffix):
    url = f"http://example.org{path}"
    assert suffix_of(Page(url, url, 200, content_type=kind)) == suffix


def test_a_page_that_has_not_changed_is_not_sent_again(site):
    site.pages["/"] = unless_known(send("<p>One", ETag='"v1"', Last_Modified="Wed, 21 Oct 2026 07:28:00 GMT"), '"v1"')
    first = fetch(site.url(), access=site.access())
    assert (first.etag, first.last_modified) == ('"v1"', "Wed, 21 Oct 2026 07:28:00 GMT")
    again = fetch(site.url(), access=site.access(), etag=first.etag, last_modified=first.last_modified)
    assert (again.status, again.content) == (304, b"")
    assert site.headers[1]["if-modified-since"] == first.last_modified


@pytest.mark.parametrize("code", [404, 410])
def test_a_page_that_is_gone_is_told_apart(site, code):
    site.pages["/"] = status(code)
    with pytest.raises(PageGone, match=str(code)):
        fetch(site.url(), access=site.access())


@pytest.mark.parametrize("code", [204, 206, 300, 401, 403, 429, 500, 503])
def test_any_other_status_is_an_error_that_names_it(site, code):
    site.pages["/"] = raw(f"HTTP/1.1 {code} X\r\nContent-Length: 0\r\n\r\n".encode())
    assert str(code) in reason(site.url(), site.access())


def test_not_modified_without_having_been_asked_is_an_error(site):
    site.pages["/"] = raw(b"HTTP/1.1 304 Not Modified\r\n\r\n")
    assert "304" in reason(site.url(), site.access())
