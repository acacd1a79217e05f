"""A URL comes in; the page that stands there goes out, asked for within bounds of address, size, time and kind."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from errors import DocumentError, one_line
from loaders.web.guard import Target, check_port, parse_url
from loaders.web.pages import ANYONE, Access, Page, suffix_of, too_large, unzipped

if TYPE_CHECKING:
    import httpcore

REDIRECTS = 5


class PageGone(DocumentError):
    """The server says that there is no such page, or no longer."""


def nobody_minds(url: str) -> None:
    """Permit any URL."""


def fetch(
    url: str,
    *,
    access: Access = ANYONE,
    etag: str = "",
    last_modified: str = "",
    permit: Callable[[str], None] = nobody_minds,
) -> Page:
    """Return the page at a URL in a format that can be read; raise DocumentError, or PageGone for 404 and 410.

    With an `etag` or `last_modified` of an earlier Page, its status is 304 and its content empty when that one still
    holds. `permit` is called with the URL before it is asked, and with each one that it redirects to, and raises.
    """
    page = ask(url, access=access, etag=etag, last_modified=last_modified, permit=permit, wanted=_check_kind)
    if page.status in (404, 410):
        raise PageGone(url, f"the server has no such page ({page.status})", "check the address or leave it out")
    if page.status != 200 and not (page.status == 304 and (etag or last_modified)):
        raise DocumentError(url, f"the server answered {page.status}", "open it in a browser, or try again later")
    return page


def _check_kind(page: Page) -> None:
    if not suffix_of(page):
        kind = page.content_type or "no content type"
        raise DocumentError(page.url, f"{kind!r} can't be read", "leave it out, or save it in another format")


def ask(
    url: str,
    *,
    access: Access,
    etag: str = "",
    last_modified: str = "",
    permit: Callable[[str], None] = nobody_minds,
    wanted: Callable[[Page], None] = lambda page: None,
) -> Page:
    """Return what the server answers, redirects followed; `wanted` sees the page before its body and may raise."""
    import httpcore

    from loaders.web.connection import GuardedBackend, system_resolve, trusted_roots

    deadline = time.monotonic() + access.seconds
    backend = GuardedBackend(access.allow_hosts, access.resolve or system_resolve, deadline)
    headers = _headers(etag, last_modified)
    hop = url
    # neither proxies nor .netrc of the environment, no cookies: httpcore knows none of them
    with httpcore.ConnectionPool(access.trust or trusted_roots(), network_backend=backend) as pool:
        try:
            for _ in range(REDIRECTS + 1):
                target = parse_url(hop)
                check_port(target, access.allow_hosts)
                permit(target.url)
                found = _hop(pool, target, headers, Page(url, target.url, 0), access.largest, wanted)
                if isinstance(found, Page):
                    return found
                hop = _next(target, found)
        except httpcore.TimeoutException as error:
            remedy = "try again later, or allow it more time"
            raise DocumentError(url, f"no whole answer within {access.seconds:g} seconds", remedy) from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise DocumentError(url, one_line(error), "check the address and the connection") from error
    raise DocumentError(url, f"more than {REDIRECTS} redirects", "give the address that it leads to")


def _headers(etag: str, last_modified: str) -> list[tuple[bytes, bytes]]:
    wanted = {
        "User-Agent": f"Groundwork/{version('groundwork')} (+local)",
        "Accept": "text/html, application/xhtml+xml, */*;q=0.5",
        "Accept-Encoding": "gzip",
        "If-None-Match": etag,
        "If-Modified-Since": last_modified,
    }
    return [(name.encode(), value.encode("latin-1", "replace")) for name, value in wanted.items() if value]


def _next(target: Target, location: str) -> str:
    """Return where a redirect leads, which is checked like any other URL; from https it may not lead to http."""
    try:
        hop = urljoin(target.url, location.encode("latin-1").decode("utf-8", "replace"))
    except ValueError as error:
        raise DocumentError(target.url, "it redirects to something that is not a URL", "leave it out") from error
    if target.scheme == "https" and hop.lower().startswith("http:"):
        raise DocumentError(target.url, "it redirects from https to http", "give the address that it leads to")
    return hop


def _hop(
    pool: "httpcore.ConnectionPool",
    target: Target,
    headers: list[tuple[bytes, bytes]],
    asked: Page,
    largest: int,
    wanted: Callable[[Page], None],
) -> Page | str:
    """Ask one server once: return its page, or where it redirects to."""
    import httpcore

    # from the parts that were checked: a second parser could read the URL in another way
    where = httpcore.URL(
        scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path.encode()
    )
    with pool.stream("GET", where, headers=[(b"Host", target.netloc.encode()), *headers]) as response:
        told = {name.decode("latin-1").lower(): value.decode("latin-1").strip() for name, value in response.headers}
        if response.status in (301, 302, 303, 307, 308) and "location" in told:
            return told["location"]
        page = Page(
            asked.url,
            target.url,
            response.status,
            content_type=told.get("content-type", ""),
            etag=told.get("etag", ""),
            last_modified=told.get("last-modified", ""),
        )
        if response.status != 200:
            return page
        wanted(page)
        body = _body(response.iter_stream(), told.get("content-length", ""), page.url, largest)
        return replace(page, content=_decoded(body, told.get("content-encoding", ""), page.url, largest))


def _body(chunks: Iterator[bytes], declared: str, url: str, largest: int) -> bytes:
    size, parts = int(declared) if declared.isdecimal() else 0, []
    received = 0
    if size <= largest:
        for chunk in chunks:
            parts.append(chunk)
            received += len(chunk)
            if received > largest:
                break
        else:
            return b"".join(parts)
    raise too_large(url, largest)


def _decoded(body: bytes, encoding: str, url: str, largest: int) -> bytes:
    if encoding.lower() in ("", "identity"):
        return body
    if encoding.lower() in ("gzip", "x-gzip"):
        return unzipped(body, url, largest)
    raise DocumentError(url, f"packed as {encoding!r}, which was not asked for", "save the page as a file")
