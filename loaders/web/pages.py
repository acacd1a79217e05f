"""What is asked of the web and what comes back: an Access and a Page; from a Page, the suffix of its reader."""

import gzip
import io
import ssl
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from errors import DocumentError

MEGABYTE = 2**20
OFFICE = "application/vnd.openxmlformats-officedocument."
OPEN = "application/vnd.oasis.opendocument."
TYPES = {
    **dict.fromkeys(("text/html", "application/xhtml+xml"), ".html"),
    **dict.fromkeys(("text/markdown", "text/x-markdown"), ".md"),
    "text/plain": ".txt",
    "application/pdf": ".pdf",
    **dict.fromkeys(("application/json", "application/ld+json"), ".json"),
    **dict.fromkeys(("application/x-ndjson", "application/jsonl"), ".jsonl"),
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    **dict.fromkeys(("text/xml", "application/xml", "application/rss+xml", "application/atom+xml"), ".xml"),
    **dict.fromkeys(("text/rtf", "application/rtf"), ".rtf"),
    "application/epub+zip": ".epub",
    f"{OFFICE}wordprocessingml.document": ".docx",
    f"{OFFICE}presentationml.presentation": ".pptx",
    f"{OFFICE}spreadsheetml.sheet": ".xlsx",
    f"{OPEN}text": ".odt",
    f"{OPEN}presentation": ".odp",
    f"{OPEN}spreadsheet": ".ods",
    "application/msword": ".doc",
    "application/vnd.ms-powerpoint": ".ppt",
    "application/vnd.ms-excel": ".xls",
}
VAGUE = ("", "application/octet-stream", "binary/octet-stream", "application/zip", "application/x-zip-compressed")
PLAIN = (".md", ".markdown", ".rst", ".org", ".log", ".csv", ".tsv", ".json", ".jsonl")  # often served as text/plain


@dataclass(frozen=True)
class Access:
    """What may be asked, and how much of it; `resolve` (host → addresses) and `trust` are the system's unless given."""

    allow_hosts: frozenset[str] = frozenset()  # hosts that may have private addresses: "wiki.intra", "wiki.intra:8080"
    largest: int = 20 * MEGABYTE  # bytes of a page, packed and unpacked
    seconds: float = 60.0  # for a page, its redirects included; a look-up ends when the system's resolver gives up
    delay: float = 1.0  # seconds between two pages
    resolve: Callable[[str], Sequence[str]] | None = field(default=None, repr=False)
    trust: ssl.SSLContext | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Page:
    """What a server answered: `status` 200 with a content, 304 for one that has not changed, or an error."""

    url: str
    final_url: str
    status: int
    content: bytes = field(default=b"", repr=False)
    content_type: str = ""
    etag: str = ""
    last_modified: str = ""


ANYONE = Access()


def suffix_of(page: Page) -> str:
    """Return the suffix of the reader for a page: by its content type, or by its URL where that tells nothing."""
    kind = page.content_type.partition(";")[0].strip().lower()
    paths = [PurePosixPath(unquote(urlsplit(url).path)).suffix.lower() for url in (page.final_url, page.url)]
    if kind in VAGUE:
        return next((suffix for suffix in paths if suffix in TYPES.values()), "")
    if kind == "text/plain" and paths[0] in PLAIN:
        return paths[0]
    return TYPES.get(kind, "")


def unzipped(body: bytes, url: str, largest: int) -> bytes:
    """Return what a gzip file holds, and stop at `largest` bytes of it."""
    try:
        with gzip.open(io.BytesIO(body)) as file:
            content = file.read(largest + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DocumentError(url, "broken gzip", "try again later") from error
    if len(content) > largest:
        raise too_large(url, largest)
    return content


def too_large(url: str, largest: int) -> DocumentError:
    """Return the error for a page over the limit."""
    return DocumentError(url, f"larger than {largest / MEGABYTE:g} MB", "save it as a file, or raise the limit")
