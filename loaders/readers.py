"""Reads the formats of which LangChain's own loaders lose text, headings or rows, into Stretches.

On real files (unstructured 0.27): UnstructuredHTMLLoader loses words in nested inline tags, BSHTMLLoader
all headings; UnstructuredEmailLoader sender, receivers and date; UnstructuredExcelLoader keeps tables whole;
CSVLoader expects commas and drops a column whose name is there twice; JSONLoader needs jq, another build;
UnstructuredRTFLoader, through pandoc, garbles every code page but the Western one.
"""

import codecs
import csv
import datetime
import itertools
import json
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from errors import DocumentError

if TYPE_CHECKING:
    from email.message import EmailMessage

    from bs4 import Tag

JOINER = "\n\n"  # stands between two blocks of a stretch, and between two stretches of a file
HEADINGS = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6}
DROPPED = ["script", "style", "noscript", "template", "svg", "nav", "footer", "aside", "head"]
BLOCKS = set(
    "address article blockquote body center dd details div dl dt fieldset figcaption figure form header "  # noqa: SIM905
    "hr html legend li main ol p pre section summary table tbody td tfoot th thead tr ul".split()
)
BOMS = {  # UTF-32's little-endian mark begins with UTF-16's, so it stands first
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class Stretch(NamedTuple):
    """A contiguous stretch of a file's text with its headings, sheet or row, its page, and its line in plain text."""

    text: str
    section: str = ""
    page: int | None = None
    line: int | None = None


class Block(NamedTuple):
    """A paragraph (level 0) or heading (from 1); no blank line between tight ones: list items, table rows."""

    text: str
    level: int = 0
    tight: bool = False


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


def in_sections(blocks: Iterable[Block]) -> Iterator[Stretch]:
    """Group blocks under their headings; a heading directly followed by a deeper one stays with it."""
    path: list[Block] = []
    held: list[Block] = []
    for block in blocks:
        if block.level:
            if held and not 0 < held[-1].level < block.level:
                yield _stretch(held, path)
                held = []
            path = [*(b for b in path if b.level < block.level), block]
        held.append(block)
    if held:
        yield _stretch(held, path)


def _stretch(blocks: list[Block], path: list[Block]) -> Stretch:
    text = blocks[0].text
    for before, block in itertools.pairwise(blocks):
        text += ("\n" if before.tight and block.tight else JOINER) + block.text
    return Stretch(text, " > ".join(" ".join(heading.text.split()) for heading in path))


def html_blocks(html: bytes | str) -> list[Block]:
    """Return a page's text without navigation, asides and footers; <title> heads it where there is no h1."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(html, "lxml")
    title = " ".join(soup.title.get_text().split()) if soup.title else ""
    for tag in soup(DROPPED):
        tag.decompose()
    blocks = [block for block in _blocks(soup, tight=False) if block.text]
    if title and not any(block.level == 1 for block in blocks):
        blocks.insert(0, Block(title, level=1))
    return blocks


def _blocks(tag: "Tag", *, tight: bool) -> Iterator[Block]:
    inline: list[str] = []
    for part in _parts(tag):
        if isinstance(part, str):
            inline.append(part)
            continue
        yield Block(_lines(inline), tight=tight)
        inline = []
        if part.name in HEADINGS:
            yield Block(" ".join(part.get_text().split()), level=HEADINGS[part.name])
        elif part.name == "pre":
            yield Block(part.get_text().strip("\n"))
        elif part.name == "table" and not part.find(["table", *HEADINGS]):  # else it lays out the page
            yield from _rows(part)
        else:
            yield from _blocks(part, tight=part.name in ("li", "dt", "dd"))
    yield Block(_lines(inline), tight=tight)


def _parts(tag: "Tag") -> Iterator["str | Tag"]:
    """Yield a tag's running text and block tags in order, looking through inline tags such as <b>."""
    from bs4.element import CData, NavigableString, Tag

    for child in tag.children:
        if isinstance(child, Tag):
            if child.name == "br":
                yield "\n"
            elif child.name in BLOCKS or child.name in HEADINGS:
                yield child
            else:
                yield from _parts(child)
        elif type(child) in (NavigableString, CData):  # its other subclasses are comments and declarations
            yield re.sub(r"\s+", " ", str(child))


def _rows(table: "Tag") -> Iterator[Block]:
    if table.caption:
        yield Block(" ".join(table.caption.get_text().split()))
    for row in table.find_all("tr"):
        cells = [" ".join(cell.get_text(" ").split()) for cell in row.find_all(["td", "th"])]
        yield Block(" | ".join(cells) if any(cells) else "", tight=True)


def _lines(inline: list[str]) -> str:
    return "\n".join(" ".join(line.split()) for line in "".join(inline).split("\n")).strip()


def csv_rows(path: Path, encoding: str) -> Iterator[Stretch]:
    """Yield a stretch a row in CSVLoader's form, less empty cells; no column hides another of its name."""
    csv.field_size_limit(2**31 - 1)  # for the whole process; as it is, a cell over 131,072 characters fails
    with path.open(encoding=encoding, newline="") as lines:
        first = next((line for line in lines if line.strip()), "")
        delimiter = max(",;\t|", key=first.count)  # csv.Sniffer takes letters for delimiters
        rows = filter(None, csv.reader(itertools.chain([first], lines), delimiter=delimiter))
        header = next(rows, [])
        while len(header) > 1 and sum(map(bool, header)) == 1:  # a title above the table
            yield Stretch("".join(header))
            header = next(rows, [])
        names, number = _names(header), 0
        for number, row in enumerate(rows, 1):
            yield Stretch(_record(names, [cell.strip() for cell in row]), f"row {number}")
        if not number:
            yield Stretch(" | ".join(names))


def xlsx_rows(path: Path) -> Iterator[Stretch]:
    """Yield a stretch a row, labelled by the first row with two cells or more if these are all text."""
    from openpyxl import load_workbook

    book = load_workbook(path, read_only=True, data_only=True, keep_links=False)
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # some writers store wrong ones, and read-only mode believes them
        names: list[str] | None = None
        for row in sheet.iter_rows(values_only=True):
            cells = [_cell(value) for value in row]
            header = names is None and sum(map(bool, cells)) > 1
            yield Stretch(
                " | ".join(filter(None, cells)) if header or not names else _record(names, cells), sheet.title
            )
            if header:
                names = _names(cells) if all(isinstance(value, str | None) for value in row) else []
    book.close()


def _cell(value: object) -> str:
    """Render a cell as Excel shows it: 15 digits, and no time where it is midnight."""
    text = f"{value:.15g}" if isinstance(value, float) else "" if value is None else str(value).strip()
    return text.removesuffix(" 00:00:00") if isinstance(value, datetime.datetime) else text


def _names(header: Iterable[str]) -> list[str]:
    """Return column names of which none is blank and none is there twice."""
    names: list[str] = []
    for number, cell in enumerate(header, 1):
        name = " ".join(cell.split()) or f"column {number}"
        names.append(f"{name} ({number})" if name in names else name)
    return names


def _record(names: list[str], cells: Iterable[str]) -> str:
    pairs = itertools.zip_longest(names, cells, fillvalue="")
    return "\n".join(f"{name}: {cell}" if name else cell for name, cell in pairs if cell)


def json_records(path: Path, encoding: str) -> Iterator[Stretch]:
    """Yield a stretch an element of a list, or one for any other JSON."""
    try:
        data = json.loads(path.read_text(encoding))
    except json.JSONDecodeError as error:
        reason = f"invalid JSON in line {error.lineno}: {error.msg}"
        remedy = "mend that line, or name the file .jsonl if each line is a record"
        raise DocumentError(path, reason, remedy) from error
    if isinstance(data, list):
        for number, record in enumerate(data, 1):
            yield Stretch("\n".join(_flat(record)), f"record {number}")
    else:
        yield Stretch("\n".join(_flat(data)))


def jsonl_records(path: Path, encoding: str) -> Iterator[Stretch]:
    """Yield a stretch a line."""
    with path.open(encoding=encoding) as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield Stretch("\n".join(_flat(json.loads(line))) if line.strip() else "", f"line {number}")
            except json.JSONDecodeError as error:
                raise DocumentError(path, f"invalid JSON in line {number}: {error.msg}", "mend that line") from error


def _flat(value: Any, key: str = "") -> Iterator[str]:
    """Yield a JSON value as "key.sub: value" lines; a list of plain values stays on one line."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else name)
    elif isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        for number, inner in enumerate(value):
            yield from _flat(inner, f"{key}[{number}]")
    elif value not in (None, "", []):
        plain = [v if isinstance(v, str) else json.dumps(v) for v in (value if isinstance(value, list) else [value])]
        yield f"{key}: {', '.join(plain)}" if key else ", ".join(plain)


def eml_message(path: Path) -> Iterator[Stretch]:
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
