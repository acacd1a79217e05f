"""An RTF file comes in; its text under its headings goes out."""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from errors import DocumentError
from loaders.formats.reading import Reading, Stretch
from loaders.formats.sections import FRONT, Block, html_blocks, in_sections

TOKEN = re.compile(rb"\\'([0-9a-fA-F]{2})|\\([a-zA-Z]+)(-?\d+)? ?|(\\[^a-zA-Z'])|([{}])|([^\\{}]+)|\\", re.DOTALL)
ABOUT = re.compile(r"\{\\(title|subject|author|keywords) ([^{}\\]+)\}")
LINK = re.compile(r'<a href="([^"]*)"[^>]*>(.*?)</a>', re.DOTALL)
# \fcharset → code page; 0 and 1 mean the file's own
CHARSETS = {77: "mac_roman", 128: "cp932", 129: "cp949", 134: "gbk", 136: "cp950", 161: "cp1253", 162: "cp1254"}
CHARSETS |= {163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250"}


def rtf_sections(path: Path, reading: Reading) -> Iterator[Stretch]:
    """Yield a stretch a heading, above the first one what the file says of itself."""
    data = path.read_bytes()
    if not data.lstrip().startswith(b"{\\rtf"):  # pandoc 3 reads anything as RTF
        raise DocumentError(path, "not RTF", "give the file its true suffix")
    rtf = unicode_rtf(data)
    blocks = [block for block in rtf_blocks(rtf) if block.text]
    shown = "\n".join(block.text for block in blocks)
    about = {found[1].capitalize(): " ".join(found[2].split()) for found in ABOUT.finditer(rtf)}
    facts = [Block(f"{name}: {text}", FRONT, tight=True) for name, text in about.items() if text and text not in shown]
    return in_sections([*facts, *blocks])


def rtf_blocks(rtf: str) -> list[Block]:
    """Read what unicode_rtf made through pandoc, as UnstructuredRTFLoader does; a link's address follows its text."""
    import pypandoc

    try:
        html = pypandoc.convert_text(rtf, "html", format="rtf", extra_args=["--wrap=none"])
    except RuntimeError:  # whose message is the place in the file and a page of the text there
        raise ValueError("RTF that is damaged beyond reading") from None
    return html_blocks(LINK.sub(_with_address, html))


def _with_address(link: re.Match[str]) -> str:
    address, text = link.groups()
    return text if address.startswith("#") or address in text else f"{text} ({address})"


def unicode_rtf(data: bytes) -> str:
    """Return the RTF with its bytes decoded and its groups closed: pandoc 3 takes all for Western (1252)."""
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
            decoded = decoder.decode(raw)
            out.append((_escaped(decoded) if code else decoded) + (symbol or b"").decode("latin-1"))
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
            out.append(_escaped(chr(value & 0xFFFF)))
            skip = stand_in
        elif word == b"bin":
            at += max(value, 0)
        elif word:
            if word == b"htmlrtf" or (word == b"rtf" and len(groups) > 1):
                continue  # what stands beside a mail's HTML, which pandoc 3 drops; a file in a file, at which it fails
            if word == b"ansicpg":
                own, number = _known(f"cp{value}") or own, b"1252"  # else pandoc warns of a page unknown to it
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
    whole = "".join(out) + "}" * len(groups)
    return whole.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")  # joins the halves of \\u pairs


def _escaped(text: str) -> str:
    return re.sub(r"([\\{}])", r"\\\1", text)


def _known(encoding: str) -> str:
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        return ""
