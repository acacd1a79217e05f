"""An archive comes in; the text of the files in it goes out, under limits that keep a zip bomb small."""

import gzip
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from errors import DocumentError, FormatError, one_line
from loaders.formats.guess import guess_encoding
from loaders.formats.kinds import ARCHIVES, NEVER, is_media, kind_of
from loaders.formats.reading import Reader, Reading, Stretch

MOST_MEMBERS, MOST_BYTES, MOST_RATIO, DEEPEST = 10_000, 512 * 2**20, 200, 2
SMALL = 2**20  # bytes; below, a high ratio is only a blank picture
PART = 2**16
UTF_8 = 0x800  # the flag of a zip file's entry
MOST_XML = 64 * 2**20  # bytes
SHEET = re.compile(r"^xl/worksheets/")  # read row by row, however long
REMEDY, PASSWORD = "unpack it yourself if you trust it", "put its password into RAG_PASSWORDS"
DOS_PAGES = frozenset({"cp866", "cp932", "cp949", "gb18030", "big5hkscs"})  # beside 437, what zip files name members in
DAMAGED = (zipfile.BadZipFile, gzip.BadGzipFile, EOFError, zlib.error)
Member = tuple[str, Path | str]  # a name with its temporary copy, or with the reason why there is none


@dataclass(frozen=True)
class Box:
    """What unpacking needs at every depth: where to, the passwords to try, and the suffixes that are known."""

    folder: Path
    passwords: tuple[str, ...]
    known: Collection[str]


def check_zip(path: Path, most_xml: int = MOST_BYTES) -> None:
    """Raise DocumentError for a zip file that would unpack to more than the limits, whatever sizes it claims.

    most_xml bounds a single .xml member in bytes, a sheet aside: parsers take ten times its size in memory.
    """
    total = 0
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len(entries) > MOST_MEMBERS:
            raise DocumentError(path, f"a zip file of more than {MOST_MEMBERS:,} members", REMEDY)
        for entry in entries:
            total += entry.file_size
            if total > MOST_BYTES or entry.file_size > max(SMALL, MOST_RATIO * entry.compress_size):
                raise DocumentError(path, "a zip bomb: it unpacks to far more than it holds", REMEDY)
            if entry.file_size > most_xml and entry.filename.endswith(".xml") and not SHEET.search(entry.filename):
                raise DocumentError(path, f"a part of {entry.file_size / 2**20:.0f} MB", "cut it into several")
        for entry in entries:
            if entry.compress_type == zipfile.ZIP_DEFLATED and not entry.flag_bits & 1 and _lies(path, entry):
                raise DocumentError(path, "a zip bomb: its sizes are false", REMEDY)


def _lies(path: Path, entry: zipfile.ZipInfo) -> bool:
    """Say whether an entry unpacks to more than it claims: Python stops there, other readers go on."""
    with path.open("rb") as file:
        file.seek(entry.header_offset + 26)
        name, extra = struct.unpack("<HH", file.read(4).ljust(4, b"\0"))
        file.seek(entry.header_offset + 30 + name + extra)
        unpacker, left, size = zlib.decompressobj(-15), entry.compress_size, 0
        while left and not unpacker.eof:
            part = file.read(min(PART, left))
            left -= len(part) or left
            while part:
                try:
                    size += len(unpacker.decompress(part, PART))
                except zlib.error:  # damaged; whether that matters is for the format's reader to say
                    return False
                if size > entry.file_size:
                    return True
                part = unpacker.unconsumed_tail
    return False


def archived(read: Reader, known: Collection[str]) -> Reader:
    """Return a reader of .zip and .gz that reads their members by `read`, which raises DocumentError only.

    A member that fails is an unread stretch; the archive fails where no member could be read.
    """

    def members(path: Path, reading: Reading) -> Iterator[Stretch]:
        done, failures = 0, []
        with tempfile.TemporaryDirectory() as folder:
            for name, file in _unpacked(Box(Path(folder), reading.passwords, known), path, path.name):
                try:
                    if isinstance(file, str):
                        raise DocumentError(path, file, PASSWORD if file == "encrypted" else REMEDY)
                    for stretch in read(file, reading):
                        yield stretch._replace(section=" > ".join(filter(None, [name, stretch.section])))
                        done += 1
                except FormatError:
                    continue
                except DocumentError as error:
                    own = error.reason if isinstance(file, str) else error.reason.replace(file.name, name)
                    failures.append((name, DocumentError(path, own, error.remedy)))
        if failures and not done:
            name, first = failures[0]
            raise DocumentError(path, f"nothing in it could be read; {name}: {first.reason}", first.remedy)
        if not done:
            raise DocumentError(path, "no file of a known format in it", "unpack it, or leave it out")
        for name, failure in failures:
            if failure.reason != "empty":
                yield Stretch("", name, unread=failure.reason)

    return members


def _unpacked(box: Box, path: Path, name: str) -> Iterator[Member]:
    """Yield each member's name with its temporary copy, or with the reason why there is none, within the limits."""
    total = 0
    for count, (label, file) in enumerate(_members(box, path, name, DEEPEST), 1):
        total += file.stat().st_size if isinstance(file, Path) else 0
        if count > MOST_MEMBERS or total > MOST_BYTES:
            raise DocumentError(path, "a zip bomb: archives in it unpack to far more than it holds", REMEDY)
        yield label, file
        if isinstance(file, Path):
            file.unlink()


def _members(box: Box, path: Path, name: str, depth: int, prefix: str = "") -> Iterator[Member]:
    for inner, file in (_in_gzip if _is_gzip(path) else _in_zip)(box, path, name):
        label = prefix + inner
        if isinstance(file, str) or kind_of(file) not in ARCHIVES:
            yield label, file
        elif depth > 1:
            try:
                yield from _members(box, file, inner, depth - 1, f"{label}/")
            except DAMAGED as error:  # one bad archive must not stop the others
                yield label, one_line(error)
            file.unlink()
        else:
            file.unlink()
            yield label, "an archive too deep in others"


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _in_gzip(box: Box, path: Path, name: str) -> Iterator[Member]:
    inner = PurePosixPath(name).name.removesuffix(".gz")
    if _wanted(inner, box):
        with gzip.open(path) as packed:
            yield inner, _copy(packed, box, inner, max(SMALL, min(MOST_BYTES, MOST_RATIO * path.stat().st_size)))


def _in_zip(box: Box, path: Path, name: str) -> Iterator[Member]:
    check_zip(path)
    with zipfile.ZipFile(path) as archive:
        page = _page(archive)
        for entry in archive.infolist():
            inner = _name(entry, page)
            if not entry.is_dir() and _wanted(inner, box):
                yield inner, _extract(box, archive, entry, inner)


def _wanted(name: str, box: Box) -> bool:
    """Tell whether a member may be read: its suffix is known, or its content must tell, unless its name says enough."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix in box.known or (suffix not in NEVER and not is_media(name))


def _extract(box: Box, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> Path | str:
    """Return the temporary copy of a member, or the reason why it can't be had."""
    reason = "encrypted"
    for password in box.passwords if entry.flag_bits & 1 else ("",):
        try:
            with archive.open(entry, pwd=password.encode() or None) as packed:
                return _copy(packed, box, name, MOST_BYTES)
        except (RuntimeError, zipfile.BadZipFile, zlib.error) as error:  # one wrong password in 256 fails only here
            reason = reason if entry.flag_bits & 1 else one_line(error)
        except NotImplementedError as error:  # AES, or a compression that Python doesn't know
            return one_line(error)
    return reason


def _copy(packed: IO[bytes] | gzip.GzipFile, box: Box, name: str, most: int) -> Path | str:
    """Copy a member to a file of our own naming: of its name only the suffix is used, if it is one of ours."""
    suffix = PurePosixPath(name).suffix.lower()
    suffix = suffix if suffix in box.known else ""
    with tempfile.NamedTemporaryFile(dir=box.folder, suffix=suffix, delete=False) as file:
        while part := packed.read(PART):
            most -= len(part)
            if most < 0:
                return "a zip bomb: it unpacks to far more than it holds"
            file.write(part)
    return Path(file.name)


def _page(archive: zipfile.ZipFile) -> str:
    """Return the encoding of the names that are not marked as UTF-8; Python takes all of them for code page 437."""
    names = [entry.filename for entry in archive.infolist() if not entry.flag_bits & UTF_8]
    data = "\n".join(names).encode("cp437", "replace")
    try:
        data.decode()
    except UnicodeError:
        page = guess_encoding(data)
        return page if page in DOS_PAGES else "cp437"
    return "utf-8"


def _name(entry: zipfile.ZipInfo, page: str) -> str:
    try:
        return entry.filename if entry.flag_bits & UTF_8 else entry.filename.encode("cp437").decode(page)
    except UnicodeError:
        return entry.filename
