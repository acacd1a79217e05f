"""A file's bytes come in; their encoding and their text, mended where it was decoded wrongly before, go out."""

import codecs
import re
import unicodedata
from pathlib import Path

from errors import DocumentError

BOMS = {  # UTF-32's little-endian mark begins with UTF-16's, so it stands first
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
DECLARED = re.compile(
    rb"<\?xml[^>]{0,80}encoding\s*=\s*[\"']?([\w.:-]+)|<meta[^>]{0,200}charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE
)
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")  # what text has none of; escape begins a terminal's colours
MOST_CONTROL = 0.005  # of the characters: a log with a few zero bytes is text, a picture is not
MOST_BROKEN = 0.05  # of the characters other than ASCII that are not UTF-8 in a file that is UTF-8 all the same
REMEDY = "give the file its true suffix, or save it as UTF-8"


def text_of(path: Path) -> str:
    """Return a text file's text, line ends as \\n; raise DocumentError where it is none."""
    data = path.read_bytes()
    try:
        return text_in(data)
    except UnicodeError as error:
        raise DocumentError(path, "not text", REMEDY) from error


def text_in(data: bytes) -> str:
    """Return the text in the bytes, line ends as \\n, without zero bytes; raise UnicodeError where it is none."""
    text = data.decode(encoding_in(data), "replace").replace("\r\n", "\n").replace("\r", "\n")
    if len(CONTROL.findall(text)) > max(MOST_CONTROL * len(text), 1):
        raise UnicodeError("not text")
    return mended(text.replace("\0", ""))


def encoding_of(path: Path) -> str:
    """Return a text file's encoding; raise DocumentError where it is not text."""
    try:
        return encoding_in(path.read_bytes())
    except UnicodeError as error:
        raise DocumentError(path, "not text", REMEDY) from error


def encoding_in(data: bytes) -> str:
    """Return the encoding by its mark, by UTF-16's zeros, as UTF-8, as declared, else the likeliest.

    UTF-8 goes before what an HTML page or XML file declares, because hardly anything else decodes as UTF-8, and
    declarations are often wrong.
    """
    from loaders.formats.guess import guess_encoding

    for mark, name in BOMS.items():
        if data.startswith(mark):
            return name
    if b"\0" in data and (wide := _unmarked_utf16(data)):
        return wide
    if data.isascii():
        return "iso2022_jp" if re.search(rb"\x1b\$[B@].{2,}\x1b\([BJ]", data, re.DOTALL) else "utf-8"
    text = data.decode("utf-8", "replace")
    broken = text.count("\ufffd") - data.count("\ufffd".encode())
    if broken <= MOST_BROKEN * sum(letter > "\x7f" for letter in text):
        return "utf-8"
    if b"\0" in data:
        raise UnicodeError("not text")
    return _declared(data) or guess_encoding(data) or "cp1252"


def _unmarked_utf16(data: bytes) -> str:
    """Return UTF-16's byte order where every other byte is often 0 and the text holds no unassigned characters."""
    even, odd = data[::2].count(0), data[1::2].count(0)
    name = "utf-16-be" if even > odd else "utf-16-le"
    if len(data) % 2 or max(even, odd) < 2 * min(even, odd) + 1:
        return ""
    try:
        text = data.decode(name)[:10_000]
    except UnicodeDecodeError:
        return ""
    strange = sum(unicodedata.category(letter) in ("Cc", "Cn", "Co") and letter not in "\t\n\r\f" for letter in text)
    return name if strange <= MOST_CONTROL * len(text) else ""


def _declared(data: bytes) -> str:
    """Return the encoding that the file declares in its beginning, if it is known and decodes the file."""
    found = DECLARED.search(data[:4096])
    name = (found[1] or found[2]).decode("ascii") if found else ""
    # browsers read these three as the wider encodings that Windows made of them
    name = {"iso-8859-1": "cp1252", "gb2312": "gb18030", "shift_jis": "cp932"}.get(name.lower(), name)
    try:
        data.decode(name or "ascii")
    except (LookupError, UnicodeDecodeError):
        return ""
    return name


def mended(text: str) -> str:
    """Return the text with lines mended that were once decoded in the wrong encoding (cafÃ© → café), and no others."""
    from ftfy import TextFixerConfig, fix_encoding
    from ftfy.badness import is_bad

    if text.isascii() or not is_bad(text):
        return text
    config = TextFixerConfig(restore_byte_a0=False, replace_lossy_sequences=False, fix_c1_controls=False)
    lines = text.splitlines(keepends=True)
    return "".join(fix_encoding(line, config) if is_bad(line) else line for line in lines)
