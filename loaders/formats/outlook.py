"""An Outlook message comes in; its subject, people, date, text and the names of its attachments go out."""

import codecs
from collections.abc import Iterator
from contextlib import suppress
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from pathlib import Path
from typing import Any

from loaders.formats.reading import Reading, Stretch
from loaders.formats.rtf import rtf_blocks, unicode_rtf
from loaders.formats.sections import JOINER, Block, html_blocks, in_sections

# the code pages that python-oxmsg (0.0.2) forgets in all but the text, and takes for Western ones
PAGES = frozenset({874, 932, 936, 949, 950, 1250, 1251, 1253, 1254, 1255, 1256, 1257, 20866})
CODE_PAGE = 0x3FDE
DISPLAY_TO, DISPLAY_CC, COMPRESSED_RTF = 0x0E04, 0x0E03, 0x1009  # property ids of [MS-OXPROPS]


def msg_message(path: Path, reading: Reading) -> Iterator[Stretch]:
    """Yield the whole message as one stretch, in the form of a mail."""
    from oxmsg import Message

    codecs.register(_windows_pages)
    message = Message.load(str(path))
    properties = message.properties
    page = properties.int_prop_value(CODE_PAGE) or 0

    def line(value: str | None) -> str:
        return _header(value or "", f"cp{page}" if page in PAGES else "")

    subject = line(message.subject)
    head = {
        "Subject": subject,
        "From": line(message.sender),
        "To": line(properties.str_prop_value(DISPLAY_TO)) or ", ".join(line(r.name) for r in message.recipients),
        "Cc": line(properties.str_prop_value(DISPLAY_CC)),
        "Date": message.sent_date.isoformat(" ") if message.sent_date else "",
    }
    lines = "\n".join(f"{name}: {value}" for name, value in head.items() if value)
    files = ", ".join(filter(None, (line(attached.file_name) for attached in message.attachments)))
    yield Stretch(JOINER.join(filter(None, [lines, _body(message), f"Attachments: {files}" if files else ""])), subject)


def _body(message: Any) -> str:
    """Return the text, plain where there is a choice, else that of the page, else that of the RTF."""
    if text := (message.body or "").replace("\0", "").strip():
        return "\n".join(text.splitlines())
    if not message.html_body and (packed := message.properties.binary_prop_value(COMPRESSED_RTF)):
        return rtf_text(packed)
    return _text(html_blocks(message.html_body or ""))


def rtf_text(packed: bytes) -> str:
    """Return the text of a message's compressed RTF."""
    from compressed_rtf import decompress

    return _text(rtf_blocks(unicode_rtf(decompress(packed))))


def _text(blocks: list[Block]) -> str:
    return JOINER.join(stretch.text for stretch in in_sections(blocks))


def _header(value: str, page: str) -> str:
    """Return a header on one line, from the code page that it was in, and from mail's own encoding."""
    for wrong in ("cp1252", "iso8859-15") if page and not value.isascii() else ():
        with suppress(UnicodeError):
            value = value.encode(wrong).decode(page)
            break
    with suppress(LookupError, UnicodeError, HeaderParseError):
        value = str(make_header(decode_header(value))) if "=?" in value else value
    return " ".join(value.replace("\0", "").split())


def _windows_pages(name: str) -> codecs.CodecInfo | None:
    """Find the code pages that python-oxmsg (0.0.2) asks for by the names that Python does not know."""
    page = name.replace("_", "-").removeprefix("windows-")
    return codecs.lookup(f"cp{page}") if page.isdecimal() and name.startswith("windows") else None
