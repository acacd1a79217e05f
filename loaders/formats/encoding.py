"""A file's bytes come in; the encoding of its text, or for RTF the text itself, goes out."""

import codecs
import re
import struct
from pathlib import Path

from errors import DocumentError

BOMS = {  # UTF-32's little-endian mark begins with UTF-16's, so it stands first
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def encoding_of(path: Path) -> str:
    """Return a text file's encoding: by its byte-order mark, else UTF-8 if it decodes, else the likeliest."""
    from charset_normalizer import from_bytes

    data = path.read_bytes()
    for mark, name in BOMS.items():
        if data.startswith(mark):
            return name
    if b"\0" not in data:
        try:
            data.decode()
            return "utf-8"
        except UnicodeDecodeError:
            if guess := from_bytes(data).best():
                return guess.encoding
    elif 0 in (data[::2].count(0), data[1::2].count(0)) and data.count(0) > 0.4 * len(data):
        return "utf-16-be" if data[0] == 0 else "utf-16-le"  # without a mark: every other byte is 0
    raise DocumentError(path, "not text", "give the file its true suffix, or save it as UTF-8")


def unicode_rtf(data: bytes) -> str:
    """Spell the bytes of an RTF file's own code page as Unicode: pandoc 3 takes any for Western (1252)."""
    declared = re.search(rb"\\ansicpg(\d+)", data)
    page = f"cp{int(declared[1])}" if declared else "cp1252"
    if page == "cp1252" or not _known(page):
        return data.decode("cp1252", "replace")

    def spell(found: re.Match[str]) -> str:
        if found[1]:  # bytes that follow \\u are its stand-in for old readers
            return found[0]
        units = bytes.fromhex(found[2].replace("\\'", "")).decode(page, "replace").encode("utf-16-le")
        return "{\\uc0" + "".join(f"\\u{unit} " for (unit,) in struct.iter_unpack("<h", units)) + "}"

    rtf = data.decode(page, "replace").replace(f"\\ansicpg{page[2:]}", "\\ansicpg1252", 1)
    return re.sub(r"(\\u-?\d+ ?)?((?:\\'[0-9a-fA-F]{2})+)", spell, rtf)


def _known(encoding: str) -> bool:
    try:
        return bool(codecs.lookup(encoding))
    except LookupError:
        return False
