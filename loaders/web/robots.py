"""A site's robots.txt comes in; whether a page of it may be read, how often, and where its sitemaps are, go out."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from errors import DocumentError
from loaders.web.fetching import ask
from loaders.web.guard import parse_url
from loaders.web.pages import Access

if TYPE_CHECKING:
    from protego import Protego

AGENT = "Groundwork"
LARGEST = 512_000  # bytes; RFC 9309 wants 500 KiB at least to be read
LONGEST_DELAY = 30.0  # seconds: a site that asks for more in its robots.txt is asked every 30


def read_robots(url: str, *, access: Access) -> "Protego":
    """Return the rules of a URL's site, by RFC 9309: none where it has no robots.txt; raise where it can't be read."""
    from protego import Protego

    target = parse_url(url)
    page = ask(target._replace(path="/robots.txt").url, access=replace(access, largest=LARGEST))
    if page.status >= 500:
        raise DocumentError(page.url, f"the server answered {page.status}", "try again later")
    return Protego.parse(page.content.decode("utf-8-sig", "replace"))


def site_rules(access: Access) -> Callable[[str], "Protego"]:
    """Return a function from a URL to its site's rules that asks each site once, whether it answers or not."""

    @functools.cache
    def known(site: str) -> "Protego | DocumentError":
        try:
            return read_robots(site, access=access)
        except DocumentError as error:
            return error

    def rules(url: str) -> "Protego":
        found = known(parse_url(url)._replace(path="/").url)
        if isinstance(found, DocumentError):
            raise DocumentError(url, f"its site's robots.txt: {found.reason}", found.remedy)
        return found

    return rules


def check_permitted(rules: Callable[[str], "Protego"], url: str) -> None:
    """Raise DocumentError where the site's robots.txt tells programs to keep off the page."""
    if not rules(url).can_fetch(url, AGENT):
        raise DocumentError(url, "its site's robots.txt keeps programs off it", "save the page as a file if you may")


def pause(rules: Callable[[str], "Protego"], url: str, delay: float) -> float:
    """Return the seconds to wait before a page: `delay`, or what its site asks for within reason."""
    try:
        return max(delay, min(LONGEST_DELAY, rules(url).crawl_delay(AGENT) or 0))
    except DocumentError:  # the page itself will say so
        return delay
