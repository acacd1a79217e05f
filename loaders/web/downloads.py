"""URLs come in; a folder that holds those pages as files, fetched again only when they changed, goes out."""

import codecs
import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path
from typing import NamedTuple

from errors import DocumentError, one_line
from loaders.web.fetching import PageGone, fetch, nobody_minds
from loaders.web.guard import parse_url
from loaders.web.pages import ANYONE, Access, Page, suffix_of
from loaders.web.robots import check_permitted, pause, site_rules

BOMS = (codecs.BOM_UTF8, codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE)
RECODED = (".html", ".txt", ".md", ".csv", ".tsv")  # XML and JSON carry their encoding themselves


class Downloads(NamedTuple):
    """The file that stands for each URL, and each URL that could not be brought up to date, with the reason.

    A URL in both keeps its earlier copy; one in `failed` alone has none, or none any more.
    """

    files: dict[str, Path]
    failed: list[tuple[str, str]]


@dataclass(frozen=True)
class Copy:
    """What is noted beside a page's file: where it came from, and what its server wants to hear next time."""

    url: str
    file: str
    size: int
    etag: str = ""
    last_modified: str = ""
    final_url: str = ""
    fetched: str = ""


def download_pages(
    urls: Iterable[str],
    folder: Path,
    *,
    access: Access = ANYONE,
    robots: bool = True,
    on_progress: Callable[[str], None] = nobody_minds,
) -> Downloads:
    """Bring the copies of these pages in `folder` up to date, one after the other, and say which file is which page.

    A page that is gone (404, 410) loses its copy; one that fails otherwise keeps it. Copies of other pages are left
    alone. `on_progress` is called with each URL before it is asked for. `robots` obeys the sites' robots.txt.
    Raise DocumentError where the folder can't be written.
    """
    result = Downloads({}, [])
    rules = site_rules(access)
    permit = (lambda url: check_permitted(rules, url)) if robots else nobody_minds
    for number, url in enumerate(dict.fromkeys(urls)):
        on_progress(url)
        copy = None
        try:
            copy = _copy(folder, parse_url(url).url)
            if number:
                time.sleep(pause(rules, url, access.delay) if robots else access.delay)
            conditions = {"etag": copy.etag, "last_modified": copy.last_modified} if copy else {}
            page = fetch(url, access=access, permit=permit, **conditions)
        except DocumentError as error:
            result.failed.append((url, error.reason if error.value == url else f"{error.value}: {error.reason}"))
            if copy and isinstance(error, PageGone):
                _forget(folder, copy)
                copy = None
        else:
            copy = copy if copy and page.status == 304 else _keep(folder, page, copy)
        if copy:
            result.files[url] = folder / copy.file
    return result


def kept_pages(folder: Path) -> dict[str, Path]:
    """Return the file of every page that `folder` holds, by URL."""
    notes = sorted(folder.glob(".*.json")) if folder.is_dir() else []
    copies = [copy for note in notes if (copy := _read_note(folder, note))]
    return {copy.url: folder / copy.file for copy in copies}


def forget_pages(urls: Iterable[str], folder: Path) -> None:
    """Delete the copies of these pages, where there are any."""
    for url in urls:
        if copy := _copy(folder, url):
            _forget(folder, copy)


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:32]


def _copy(folder: Path, url: str) -> Copy | None:
    return _read_note(folder, folder / f".{_digest(url)}.json")


def _read_note(folder: Path, note: Path) -> Copy | None:
    """Return what a note says, if it is whole and its file is as it was written."""
    try:
        copy = Copy(**json.loads(note.read_text("utf-8")))
        copy = replace(copy, file=Path(copy.file).name)
        return copy if (folder / copy.file).stat().st_size == copy.size else None
    except (OSError, ValueError, TypeError):  # none, or damaged: the page is fetched anew
        return None


def _keep(folder: Path, page: Page, old: Copy | None) -> Copy:
    """Write a page, then its note: between the two, the old note only causes the page to be fetched again."""
    url = parse_url(page.url).url
    name, content = _digest(url), _unicode(page)
    copy = Copy(
        url,
        f"{name}{suffix_of(page)}",
        len(content),
        page.etag,
        page.last_modified,
        page.final_url,
        datetime.now(UTC).isoformat(timespec="seconds"),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / copy.file, content)
        _replace(folder / f".{name}.json", json.dumps(asdict(copy), indent=1).encode())
        if old and old.file != copy.file:
            (folder / old.file).unlink(missing_ok=True)
    except OSError as error:
        raise DocumentError(folder, one_line(error), "make room, or check the folder's permissions") from error
    return copy


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name.lstrip('.')}.part")
    part.write_bytes(content)
    part.replace(path)


def _forget(folder: Path, copy: Copy) -> None:
    (folder / copy.file).unlink(missing_ok=True)
    (folder / f".{_digest(copy.url)}.json").unlink(missing_ok=True)


def _unicode(page: Page) -> bytes:
    """Return a text page as UTF-8 with a mark: the encoding in the HTTP header outranks that in the page."""
    message = Message()
    message["Content-Type"] = page.content_type
    charset = message.get_content_charset("")
    if suffix_of(page) not in RECODED or not charset or page.content.startswith(BOMS):
        return page.content
    try:
        return codecs.BOM_UTF8 + page.content.decode(charset).encode()
    except (LookupError, UnicodeError):  # the header errs: the page's reader finds out by itself
        return page.content
