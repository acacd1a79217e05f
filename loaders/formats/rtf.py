"""An RTF file comes in; its text under its headings goes out."""

import codecs
import re
import struct
from collections.abc import Iterator
from pathlib import Path

from errors import DocumentError
from loaders.formats.reading import Reading, Stretch
from loaders.formats.sections import html_blocks, in_sections

TOKEN = re.compile(rb"\\'([0-9a-fA-F]{2})|\\([a-zA-Z]+)(-?\d+)? ?|(\\[^a-zA-Z'])|([{}])|([^\\{}]+)|\\", re.DOTALL)
# \fcharset → code page; 0 and 1 mean the file's own
CHARSETS = {77: "mac_roman", 128: "cp932", 129: "cp949", 134: "gbk", 136: "cp950", 161: "cp1253", 162: "cp1254"}
CHARSETS |= {163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250"}


def rtf_sections(path: Path, reading: Reading) -> Iterator[Stretch]:
    """Read through pandoc as UnstructuredRTFLoader does, but each byte in the code page of its font."""
    import pypandoc

    data = path.read_bytes()
    if not data.lstrip().startswith(b"{\\rtf"):  # pandoc 3 reads anything as RTF
        raise DocumentError(path, "not RTF", "give the file its true suffix")
    html = pypandoc.convert_text(unicode_rtf(data), "html", format="rtf", extra_args=["--wrap=none"])
    return in_sections(html_blocks(html))


def unicode_rtf(data: bytes) -> str:
    """Return the RTF with its bytes spelled as Unicode and its groups closed: pandoc 3 takes all for Western (1252)."""
    out: list[str] = []
    fonts: dict[int, str] = {}
    own, default, font = "cp1252", 0, 0
    groups: list[tuple[int, int]] = []  # the font and the length of a stand-in outside each open group
    stand_in, skip, at = 1, 0, 0
    decoder = codecs.getincrementaldecoder(own)("replace")
    page = own
    while found := TOKEN.match(data, at):
        at = found.end()
        code, word, number, symbol, brace, text = found.groups()
        value = int(number) if number else 0
        wanted = fonts.get(font, own)
        if wanted != page:
            page, decoder = wanted, codecs.getincrementaldecoder(wanted)("replace")
        if code or text or symbol:
            raw = bytes([int(code, 16)]) if code else text or b""
            if skip and raw:  # what old readers show instead of \u
                gone = min(skip, len(raw))
                skip, raw = skip - gone, raw[gone:]
            out.append(_spell(decoder, raw, spelled=bool(code)) + (symbol or b"").decode("latin-1"))
            continue
        skip = 0
        if brace == b"{":
            groups.append((font, stand_in))
            out.append("{")
        elif brace:
            if len(groups) > 1:  # else one too many: what follows is text nevertheless
                font, stand_in = groups.pop()
                out.append("}")
        elif word == b"u":
            out.append(f"{{\\uc0\\u{value} }}")
            skip = stand_in
        elif word == b"bin":
            at += max(value, 0)
        elif word:
            if word == b"ansicpg":
                own = _known(f"cp{value}") or own
            elif word == b"deff":
                default = font = value
            elif word == b"f":
                font = value
            elif word == b"plain":
                font = default
            elif word == b"fcharset":
                fonts[font] = CHARSETS.get(value, own)
            elif word == b"uc":
                stand_in = value
            out.append(f"\\{word.decode()}{number.decode() if number else ''} ")
    # neighbours go into one group, or pandoc misses the second half of a character beyond U+FFFF
    return "".join(out).replace(" }{\\uc0", " ") + "}" * len(groups)


def _spell(decoder: codecs.IncrementalDecoder, raw: bytes, *, spelled: bool) -> str:
    """Decode bytes; those that the file spelled as hex or that are not ASCII become \\u."""
    waiting = bool(decoder.getstate()[0])  # the first half of a character of two bytes
    text = decoder.decode(raw)
    if raw.isascii() and not spelled and not waiting:
        return text
    return "".join(char if char.isascii() and not spelled else _unicode(char) for char in text)


def _unicode(char: str) -> str:
    units = char.encode("utf-16-le", "surrogatepass")
    return "{\\uc0" + "".join(f"\\u{unit} " for (unit,) in struct.iter_unpack("<h", units)) + "}"


def _known(encoding: str) -> str:
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        return ""
