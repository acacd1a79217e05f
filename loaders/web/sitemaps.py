"""The URL of a sitemap comes in; the URLs of the pages that it lists, of its own site only, go out."""

import time
from collections import deque

from errors import DocumentError, one_line
from loaders.web.fetching import ask
from loaders.web.guard import parse_url
from loaders.web.pages import ANYONE, Access, unzipped
from loaders.web.robots import read_robots

MOST_SITEMAPS = 200
GZIP = b"\x1f\x8b"
KINDS = ("sitemap", "url")


def sitemap_urls(url: str, *, access: Access = ANYONE, most: int = 10_000) -> list[str]:
    """Return the pages that a sitemap lists, in its order, those of the sitemaps that it points to included.

    Takes XML and plain text, gzipped or not, and a robots.txt, whose Sitemap lines are followed. What is on another
    host (but for a leading www.) is passed over, as the protocol demands. Raise DocumentError for any sitemap that
    can't be read, and for more than `most` pages: a part of the list would look as if the other pages were gone.
    """
    start = parse_url(url)
    waiting, seen, pages = deque([start.url]), {start.url}, dict[str, None]()
    if start.path == "/robots.txt":
        seen = set(_on_site(list(read_robots(url, access=access).sitemaps), start.url))
        waiting = deque(sorted(seen))
    if not waiting:
        raise DocumentError(url, "it names no sitemap", "give the address of one")
    while waiting:
        sitemap = waiting.popleft()
        maps, listed = _read(sitemap, access)
        pages |= dict.fromkeys(_on_site(listed, sitemap))
        new = [found for found in dict.fromkeys(_on_site(maps, sitemap)) if found not in seen]
        seen |= set(new)
        waiting.extend(new)
        if len(pages) > most or len(seen) > MOST_SITEMAPS:
            limit = f"more than {most} pages" if len(pages) > most else f"more than {MOST_SITEMAPS} sitemaps"
            raise DocumentError(url, limit, "give one of the sitemaps that it points to, or raise the limit")
        time.sleep(access.delay if waiting else 0)
    if not pages:
        raise DocumentError(url, "it lists no page of its own site", "give another sitemap")
    return list(pages)


def _read(url: str, access: Access) -> tuple[list[str], list[str]]:
    """Return the sitemaps and the pages that one sitemap lists."""
    page = ask(url, access=access)
    if page.status != 200:
        raise DocumentError(url, f"the server answered {page.status}", "check the address of the sitemap")
    content = unzipped(page.content, url, access.largest) if page.content.startswith(GZIP) else page.content
    if content.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        return _locations(content, url)
    return [], [line.strip() for line in content.decode("utf-8-sig", "replace").splitlines()]


def _locations(content: bytes, url: str) -> tuple[list[str], list[str]]:
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(content.lstrip(), parser)
    except etree.XMLSyntaxError as error:
        raise DocumentError(url, f"broken XML: {one_line(error)}", "give another sitemap") from error
    if etree.QName(root).localname not in ("sitemapindex", "urlset"):
        raise DocumentError(url, "not a sitemap", "give the address of one, often /sitemap.xml")
    maps, pages = ([(loc.text or "").strip() for loc in root.iterfind(f"{{*}}{kind}/{{*}}loc")] for kind in KINDS)
    return maps, pages


def _on_site(urls: list[str], sitemap: str) -> list[str]:
    """Return the URLs, in their normal form, that are on the sitemap's own host."""
    found, host = [], parse_url(sitemap).host.removeprefix("www.")
    for url in filter(None, urls):
        try:
            target = parse_url(url)
        except DocumentError:  # a line that is not a URL is none of its pages
            continue
        if target.host.removeprefix("www.") == host:
            found.append(target.url)
    return found
