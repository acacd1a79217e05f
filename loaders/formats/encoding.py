"""A file's bytes come in; the encoding of its text goes out."""

import codecs
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
