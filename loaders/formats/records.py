"""A table or JSON file comes in; a stretch a row or record, each line of it a column's name with its value, goes out.

Our own readers, because CSVLoader expects commas and drops a column whose name is there twice, UnstructuredExcelLoader
(0.27) keeps tables whole, and JSONLoader needs jq, another build.
"""

import csv
import datetime
import io
import itertools
import json
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from errors import DocumentError
from loaders.formats.charts import drawn_blocks
from loaders.formats.encoding import text_of
from loaders.formats.reading import Reading, Stretch

BESIDE = re.compile(r"xl/(?:charts/chart|drawings/drawing|comments(?:/comment)?)\d*\.xml")

ADVICE = re.compile(r"\[Threaded comment\].*?Comment:", re.DOTALL)  # what Excel tells its older versions


def csv_rows(path: Path, reading: Reading) -> Iterator[Stretch]:
    """Yield a stretch a row in CSVLoader's form, less empty cells; no column hides another of its name."""
    csv.field_size_limit(2**31 - 1)  # for the whole process; as it is, a cell over 131,072 characters fails
    with io.StringIO(text_of(path)) as lines:
        first = next((line for line in lines if line.strip()), "")
        delimiter = max(",;\t|", key=first.count)  # csv.Sniffer takes letters for delimiters
        table = csv.reader(itertools.chain([first], lines), delimiter=delimiter)
        rows: Iterator[list[str]] = (row for row in table if row)
        header = next(rows, [])
        while len(header) > 1 and sum(map(bool, header)) == 1:  # a title above the table
            yield Stretch("".join(header))
            header = next(rows, [])
        if all(cell.strip().lstrip("-").replace(".", "", 1).isdecimal() for cell in header):  # no header but a row
            rows, header = itertools.chain([header], rows), [""] * len(header)
        names, number = _names(header), 0
        for number, row in enumerate(rows, 1):
            yield Stretch(_record(names, [cell.strip() for cell in row]), f"row {number}")
        if not number:
            yield Stretch(" | ".join(names))


def xlsx_rows(path: Path) -> Iterator[Stretch]:
    """Yield a stretch a row of an .xlsx or .xlsm workbook, the sheet being the section; then what is not in cells."""
    from openpyxl import load_workbook

    book = load_workbook(path, read_only=True, data_only=True, keep_links=False)
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # some writers store wrong ones, and read-only mode believes them
        yield from labelled(map(_cells, sheet.iter_rows(values_only=True)), sheet.title)
    book.close()
    yield Stretch("\n".join(_beside(path)))


def _beside(path: Path) -> Iterator[str]:
    """Yield the lines of text boxes and charts, and comments after the names of their cells."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    with zipfile.ZipFile(path) as archive:
        parts = [etree.fromstring(archive.read(n), parser) for n in archive.namelist() if BESIDE.fullmatch(n)]
    for part in parts:
        yield from (block.text for block in drawn_blocks(part))
        for comment in part.iter("{*}comment"):
            said = "".join(text.text or "" for text in comment.iter("{*}t"))
            yield f"{comment.get('ref')}: {ADVICE.sub('', said).strip()}"


def xls_rows(path: Path) -> Iterator[Stretch]:
    """Yield a stretch a row of an .xls or .xlsb workbook, with the sheet as section."""
    from python_calamine import CalamineWorkbook

    try:
        book = CalamineWorkbook.from_path(path)
        for name in book.sheet_names:
            yield from labelled(map(_cells, book.get_sheet_by_name(name).iter_rows()), name)
    except BaseException as error:  # a panic in Rust is no Exception (0.9), and would end the program
        if type(error).__name__ != "PanicException":
            raise
        raise DocumentError(path, "a damaged workbook", "see whether it opens, repair it or leave it out") from error


def labelled(rows: Iterable[tuple[list[str], bool]], sheet: str) -> Iterator[Stretch]:
    """Yield a stretch a row, labelled by the first row with two cells or more if these are all text.

    A row comes as its cells, and whether they are all text.
    """
    names: list[str] | None = None
    for cells, worded in rows:
        header = names is None and sum(map(bool, cells)) > 1
        yield Stretch(" | ".join(filter(None, cells)) if header or not names else _record(names, cells), sheet)
        if header:
            names = _names(cells) if worded else []


def _cells(row: Iterable[object]) -> tuple[list[str], bool]:
    values = list(row)
    return [_cell(value) for value in values], all(isinstance(value, str | None) for value in values)


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


def json_records(path: Path, reading: Reading) -> Iterator[Stretch]:
    """Yield a stretch an element of a list, or one for any other JSON."""
    try:
        data = json.loads(text_of(path))
    except json.JSONDecodeError as error:
        reason = f"invalid JSON in line {error.lineno}: {error.msg}"
        remedy = "mend that line, or name the file .jsonl if each line is a record"
        raise DocumentError(path, reason, remedy) from error
    if isinstance(data, dict) and data.get("type") == "FeatureCollection":
        data = [_feature(feature) for feature in data.get("features", ())]
    if isinstance(data, list):
        for number, record in enumerate(data, 1):
            yield Stretch("\n".join(_flat(record)), f"record {number}")
    else:
        yield Stretch("\n".join(_flat(data)))


def _feature(feature: dict[str, Any]) -> dict[str, Any]:
    """Return what a GeoJSON feature says of a place: a point's coordinates, but not a shape's, which are noise."""
    shape = feature.get("geometry") or {}
    where = {"coordinates": shape.get("coordinates")} if shape.get("type") == "Point" else {}
    return {"id": feature.get("id"), **(feature.get("properties") or {}), "geometry": shape.get("type"), **where}


def jsonl_records(path: Path, reading: Reading) -> Iterator[Stretch]:
    """Yield a stretch a line."""
    with io.StringIO(text_of(path)) as lines:
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
