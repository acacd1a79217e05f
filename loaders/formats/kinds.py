"""A file comes in; the suffix that its content deserves, whatever its name says, goes out."""

import mimetypes
import re
import struct
import zipfile
import zlib
from pathlib import Path

from loaders.formats.encoding import text_in
from loaders.formats.text import CODE, PROSE

HEAD = 8192  # bytes that are looked at
OLE = bytes.fromhex("d0cf11e0a1b11ae1")
# a part of an archive → what the archive is; an archive of none of these is a plain one
PARTS = {"word/": ".docx", "ppt/": ".pptx", "xl/workbook.xml": ".xlsx", "xl/workbook.bin": ".xlsb"}
MIMETYPES = {
    "application/epub+zip": ".epub",
    "application/vnd.oasis.opendocument.text": ".odt",
    "application/vnd.oasis.opendocument.spreadsheet": ".ods",
    "application/vnd.oasis.opendocument.presentation": ".odp",
}
STREAMS = {"WordDocument": ".doc", "Workbook": ".xls", "Book": ".xls", "PowerPoint Document": ".ppt"}
LOCKED = "encrypted"
STREAMS |= {"__properties_version1.0": ".msg", "EncryptedPackage": LOCKED}
SIGNATURES = {b"{\\rtf": ".rtf", b"\x1f\x8b": ".gz"}
DAMAGED = (OSError, ValueError, IndexError, KeyError, EOFError, struct.error)  # its name has to do then
LONGEST_MIMETYPE = 200  # bytes
ARCHIVES = frozenset({".zip", ".gz"})  # what applications and installers are too, under names of their own
IMAGES = {".jfif": ".jpg", ".jpeg": ".jpg", ".tiff": ".tif"} | {
    s: s for s in (".png", ".jpg", ".gif", ".bmp", ".webp", ".tif")
}
FORMATS = {  # what is told from other text by its beginning
    ".enex": re.compile(r"\s*(?:<\?xml[^>]*>\s*)?(?:<!DOCTYPE[^>]*>\s*)?<en-export\b", re.IGNORECASE),
    ".html": re.compile(r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!DOCTYPE\s+html|html)\b", re.I | re.S),
    ".xml": re.compile(r"\s*<\?xml\b"),
    ".vtt": re.compile(r"\ufeff?WEBVTT\b"),
    ".srt": re.compile(r"\s*\d+\n\d\d:\d\d:\d\d,\d{3} --> "),
    ".mbox": re.compile(r"From \S+ .*\d{4}\n[\w-]+: "),
    ".mhtml": re.compile(
        r"(?:[\w-]+:.*\n(?:[ \t].*\n)*)*?(?:From: <Saved by|Snapshot-Content-Location:)", re.IGNORECASE
    ),
    ".eml": re.compile(
        r"(?:(?:Received|Return-Path|Delivered-To|From|To|Cc|Sender|Reply-To|Subject|Date|MIME-Version|Message-ID|Content-Type|DKIM-Signature|"
        r"(?:ARC|X)-[\w-]+):.*\n"
        r"(?:[ \t].*\n)*){2}",
        re.IGNORECASE,
    ),
    ".ipynb": re.compile(r'\s*\{\s*"(?:cells|metadata|nbformat)":.*"(?:cell_type|nbformat)":', re.DOTALL),
}
PLAIN = frozenset({".txt", ".text", ".log"})  # names that claim nothing but to be text
# names that belong to a format of their own; text under such a name is a page, a table or a letter that was misnamed
BINARY = frozenset(
    ".pdf .doc .dot .docx .docm .dotx .dotm .rtf .xls .xlt .xlsx .xlsm .xlsb .xltx .ppt .pps .pptx .pptm .ppsx .potx "  # noqa: SIM905
    ".odt .ods .odp .ott .ots .otp .epub .zip .gz .msg".split()
)
OFFICE = BINARY - {".pdf", ".rtf", ".zip", ".gz", ".msg"}
TEXTS = frozenset(
    ".html .htm .xhtml .mhtml .mht .xml .rss .atom .vtt .srt .enex .ipynb .csv .tsv .psv .json .jsonl .ndjson "  # noqa: SIM905
    ".geojson .eml .mbox .fodt .fods .fodp".split()
)
KNOWN = BINARY | TEXTS | PROSE | CODE
NEVER = frozenset(".svg .eps .ps .map .lock .pem .key .crt .cer .asc .p7s".split())  # noqa: SIM905  drawings, keys


def is_media(name: str) -> bool:
    """Tell by a file's name whether it is a picture, a sound, a film or a font, of which nothing is read."""
    return (mimetypes.guess_type(name)[0] or "").partition("/")[0] in ("image", "audio", "video", "font")


def kind_of(path: Path) -> str:
    """Return the suffix, in lower case, under which the file should be read, or under which there is no reader for it.

    A name is believed unless the content says otherwise: a PDF is a PDF whatever it is called, and text in a file
    that is called .doc is read as the text that it is. Raises OSError where the file can't be read.
    """
    suffix = path.suffix.lower()
    with path.open("rb") as file:
        head = file.read(HEAD)
    if suffix in NEVER or not head.strip():
        return suffix or ".txt"
    if true := _binary_kind(path, head):
        foreign = true in ARCHIVES and suffix and suffix not in KNOWN
        if true == LOCKED:  # an Office file with a password: its name alone tells which
            return suffix if suffix in BINARY else ".docx"
        return suffix if foreign else true
    try:
        text = text_in(head)
    except UnicodeError:
        return _image_kind(head) or suffix or ".bin"
    if suffix in KNOWN - BINARY - PLAIN:
        return suffix
    found = next((kind for kind, start in FORMATS.items() if start.match(text)), "")
    if suffix in BINARY and not found:
        return ".html" if text.lstrip().startswith("<") else ".csv" if suffix.startswith(".xl") else ".txt"
    return found or (suffix if suffix in PLAIN else ".txt")


def _binary_kind(path: Path, head: bytes) -> str:
    """Return the kind that a file's signature and inner parts show; "" for text and what is unknown."""
    if head.lstrip().startswith(b"%PDF-") or (path.suffix.lower() == ".pdf" and b"%PDF-" in head[:1024]):
        return ".pdf"  # what stands before it in a .pdf is for its reader to skip
    if head.startswith(OLE):
        return _ole_kind(path)
    if head.startswith(b"PK\3\4") and zipfile.is_zipfile(path):
        return _zip_kind(path)
    return next((kind for start, kind in SIGNATURES.items() if head.lstrip().startswith(start)), "")


def _zip_kind(path: Path) -> str:
    declared = ""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "mimetype" in names and archive.getinfo("mimetype").file_size < LONGEST_MIMETYPE:
                declared = archive.read("mimetype").decode("ascii", "replace").strip()
    except (*DAMAGED, zipfile.BadZipFile, RuntimeError, zlib.error):
        return ""
    if "[Content_Types].xml" in names:
        return next((kind for part, kind in PARTS.items() if any(name.startswith(part) for name in names)), ".zip")
    named = path.suffix.lower() if path.suffix.lower() in OFFICE else ".zip"  # a part is lacking, and the name must do
    return next((kind for mimetype, kind in MIMETYPES.items() if declared.startswith(mimetype)), named)


def _ole_kind(path: Path) -> str:
    import olefile

    try:
        with olefile.OleFileIO(path) as file:
            return next((kind for stream, kind in STREAMS.items() if file.exists(stream)), "")
    except DAMAGED:
        return ""


def _image_kind(head: bytes) -> str:
    import puremagic

    try:
        return IMAGES.get(puremagic.from_string(head), "")
    except (puremagic.PureError, ValueError):
        return ""
