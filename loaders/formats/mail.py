"""A mail comes in; its head, its text and the names of its attachments go out.

Our own reader, because UnstructuredEmailLoader (0.27) loses sender, receivers and date.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loaders.formats.encoding import encoding_of
from loaders.formats.reading import Reading, Stretch
from loaders.formats.sections import JOINER, html_blocks, in_sections

if TYPE_CHECKING:
    from email.message import EmailMessage


def eml_message(path: Path, reading: Reading) -> Iterator[Stretch]:
    """Yield the whole mail as one stretch: subject, people and date, text, names of the attachments."""
    from email import message_from_bytes, policy

    data = path.read_bytes()
    if b"\0" in data[:4]:
        data = path.read_text(encoding_of(path)).encode()  # UTF-16, which no mail server writes but people save
    mail = message_from_bytes(data, policy=policy.default)
    yield Stretch(_mail_text(mail), " ".join(str(mail["subject"] or "").split()))


def _mail_text(mail: "EmailMessage") -> str:
    names = ("Subject", "From", "To", "Cc", "Date")
    head = "\n".join(f"{name}: {' '.join(str(mail[name]).split())}" for name in names if mail[name])
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
    from charset_normalizer import from_bytes

    data: bytes = part.get_payload(decode=True) or b""
    try:
        text = data.decode(part.get_content_charset() or "utf-8")
    except (LookupError, UnicodeDecodeError):  # no charset that we know, or not the true one
        text = str(from_bytes(data).best() or data.decode(errors="replace"))
    if part.get_content_type() == "text/html":
        text = JOINER.join(stretch.text for stretch in in_sections(html_blocks(text)))
    return "\n".join(text.splitlines()).strip()
