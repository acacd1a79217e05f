"""A mail, or a file of many, comes in; head, text and names of attachments of each go out.

Our own reader, because UnstructuredEmailLoader (0.27) loses sender, receivers and date.
"""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import DocumentError
from loaders.formats.encoding import encoding_of, mended, text_in
from loaders.formats.reading import Reading, Stretch
from loaders.formats.sections import JOINER, Block, html_blocks, in_sections

if TYPE_CHECKING:
    from email.message import EmailMessage

ENVELOPE = re.compile(rb"(?:\A|(?<=\n\n)|(?<=\n\r\n))From [^\r\n]+\r?\n(?=[\w-]+:|\r?\n)")


def eml_message(path: Path, reading: Reading) -> Iterator[Stretch]:
    """Yield the whole mail as one stretch: subject, people and date, text, names of the attachments."""
    data = path.read_bytes()
    if b"\0" in data[:4]:
        data = path.read_text(encoding_of(path)).encode()  # UTF-16, which no mail server writes but people save
    if envelope := ENVELOPE.match(data):
        data = data[envelope.end() :]
    yield from _message(data)


def mbox_messages(path: Path, reading: Reading) -> Iterator[Stretch]:
    """Yield a stretch a mail, its subject as section; lines that were quoted (">From ") are as they were sent."""
    data = path.read_bytes()
    starts = list(ENVELOPE.finditer(data))
    for start, after in itertools.zip_longest(starts, starts[1:]):
        mail = data[start.end() : after.start() if after else len(data)]
        yield from _message(re.sub(rb"^>(>*From )", rb"\1", mail, flags=re.MULTILINE))


def mhtml_page(path: Path, reading: Reading) -> Iterator[Stretch]:
    """Yield a stretch a heading of a page that a browser saved as one file."""
    blocks = mhtml_blocks(path.read_bytes())
    if not blocks:
        raise DocumentError(path, "no page in it", "save the page anew")
    return in_sections(blocks)


def mhtml_blocks(data: bytes) -> list[Block]:
    """Return the text of the first page in such a file."""
    from email import message_from_bytes, policy

    parts = message_from_bytes(data, policy=policy.default).walk()
    pages = (part for part in parts if part.get_content_type() in ("text/html", "application/xhtml+xml"))
    return next((html_blocks(_decoded(part)) for part in pages), [])


def _message(data: bytes) -> Iterator[Stretch]:
    from email import message_from_bytes, policy

    mail = message_from_bytes(data, policy=policy.default)
    yield Stretch(mended(_mail_text(mail)), _header(mail, "Subject"))


def _header(mail: Any, name: str) -> str:
    """Return a header on one line; as it stands where it is no valid one, at which Python's parser (3.11) fails."""
    try:
        value = str(mail[name] or "")
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        value = next((str(raw) for key, raw in mail.raw_items() if key.lower() == name.lower()), "")
    return " ".join(value.split())


def _mail_text(mail: "EmailMessage") -> str:
    names = ("Subject", "From", "To", "Cc", "Bcc", "Date")
    head = "\n".join(f"{name}: {value}" for name in names if (value := _header(mail, name)))
    texts, files = _mail_parts(mail)
    return JOINER.join(filter(None, [head, *texts, f"Attachments: {', '.join(files)}" if files else ""]))


def _mail_parts(part: Any) -> tuple[list[str], list[str]]:
    """Return a mail's texts in order, plain where there is a choice, and the names of its attachments."""
    kind = part.get_content_type()
    if kind == "message/rfc822" and part.is_multipart():
        return [_mail_text(inner) for inner in part.get_payload()], []
    if part.is_multipart():
        found = [_mail_parts(inner) for inner in part.get_payload()]
        texts = [inner for inner, _ in found if inner]
        if kind == "multipart/alternative":
            texts = texts[:1]  # the plainest comes first (RFC 2046, 5.1.4)
        return list(itertools.chain(*texts)), [name for _, names in found for name in names]
    if part.is_attachment() or kind not in ("text/plain", "text/html"):
        return [], [name] if (name := part.get_filename()) else []
    text = _mail_body(part)
    return [text] if text else [], []


def _mail_body(part: Any) -> str:
    text = _decoded(part)
    if part.get_content_type() == "text/html":
        text = JOINER.join(stretch.text for stretch in in_sections(html_blocks(text)))
    return "\n".join(text.splitlines()).strip()


def _decoded(part: Any) -> str:
    data: bytes = part.get_payload(decode=True) or b""
    try:
        return data.decode(part.get_content_charset() or "utf-8")
    except (LookupError, UnicodeDecodeError):  # no charset that we know, or not the true one
        pass
    try:
        return text_in(data)
    except UnicodeError:
        return data.decode(errors="replace")
