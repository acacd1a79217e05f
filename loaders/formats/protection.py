"""A file that may have a password comes in; one without, the same or a decrypted copy for the time being, goes out."""

import hashlib
import io
import tempfile
import zipfile
import zlib
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from errors import DocumentError
from loaders.formats.archives import MOST_BYTES

if TYPE_CHECKING:
    from lxml.etree import _Element

OLE = bytes.fromhex("d0cf11e0a1b11ae1")  # how Office files from before 2007 begin, and newer ones with a password
BY_DEFAULT = "VelvetSweatshop"  # with which Excel locks a workbook against changes and opens it unasked
REMEDY = "put its password into RAG_PASSWORDS, or save it anew without one"
MANIFEST, NAMESPACE = "META-INF/manifest.xml", "{urn:oasis:names:tc:opendocument:xmlns:manifest:1.0}"
KNOWN = ("aes256-cbc", "aes192-cbc", "aes128-cbc", "Blowfish CFB", "#blowfish")
MOST_ROUNDS = 2_000_000  # of key derivation; LibreOffice takes 100,000, and a hostile file could ask for hours


@contextmanager
def unlocked(path: Path, passwords: tuple[str, ...]) -> Iterator[Path]:
    """Give a path to the file's content without its password; raise DocumentError where none of ours fits."""
    plain = None
    if begins(path, OLE):
        plain = _office(path, passwords)
    elif zipfile.is_zipfile(path):
        plain = _opendocument(path, passwords)
    if plain is None:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"plain{path.suffix.lower()}"
        copy.write_bytes(plain)
        yield copy


def begins(path: Path, head: bytes) -> bool:
    """Say whether a file's first bytes are these."""
    with path.open("rb") as file:
        return file.read(len(head)) == head


def _office(path: Path, passwords: tuple[str, ...]) -> bytes | None:
    import msoffcrypto
    from msoffcrypto.exceptions import DecryptionError, FileFormatError, InvalidKeyError, ParseError

    with path.open("rb") as file:
        try:
            office = msoffcrypto.OfficeFile(file)
            if not office.is_encrypted():
                return None
        except (FileFormatError, ParseError):  # OLE, but none of Office's: its reader says what it misses
            return None
        for password in (BY_DEFAULT, *passwords):
            plain = io.BytesIO()
            try:
                office.load_key(password=password)
                office.decrypt(plain)
            except (InvalidKeyError, DecryptionError):
                continue
            return plain.getvalue()
    raise DocumentError(path, "encrypted", REMEDY)


def _opendocument(path: Path, passwords: tuple[str, ...]) -> bytes | None:
    from lxml import etree

    with zipfile.ZipFile(path) as archive:
        if MANIFEST not in archive.namelist():
            return None
        manifest = archive.read(MANIFEST)
        if b":encryption-data" not in manifest:
            return None
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
        entries = etree.fromstring(manifest, parser).iter(f"{NAMESPACE}file-entry")
        locked = {entry.get(f"{NAMESPACE}full-path", ""): entry for entry in entries if len(entry)}
        if not all(
            _described(entry, "algorithm").get("algorithm-name", "").endswith(KNOWN) for entry in locked.values()
        ):
            raise DocumentError(path, "encrypted, and not by AES-CBC or Blowfish", "save it anew without a password")
        for password in passwords:
            try:
                plain = {name: _decrypt(archive.read(name), entry, password) for name, entry in locked.items()}
            except (ValueError, zlib.error):
                continue
            if plain.get("content.xml", b"").lstrip().startswith(b"<"):  # a wrong one gives noise, if it gives anything
                return _rewritten(archive, plain)
    raise DocumentError(path, "encrypted", REMEDY)


def _rewritten(archive: zipfile.ZipFile, plain: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as copy:
        for name in dict.fromkeys(archive.namelist()):
            if name != MANIFEST:
                copy.writestr(name, plain.get(name) or archive.read(name))
    return out.getvalue()


def _decrypt(data: bytes, entry: "_Element", password: str) -> bytes:
    """Return an entry's bytes by OpenDocument 1.3, part 2, section 4.8; raise ValueError for a wrong password."""
    from cryptography.hazmat.decrepit.ciphers.algorithms import Blowfish
    from cryptography.hazmat.decrepit.ciphers.modes import CFB
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    cipher, derivation, start = (
        _described(entry, part) for part in ("algorithm", "key-derivation", "start-key-generation")
    )
    start_hash = "sha256" if "sha256" in start.get("start-key-generation-name", "").lower() else "sha1"
    rounds, salt = int(derivation.get("iteration-count", 0)), b64decode(derivation["salt"])
    if not 0 < rounds <= MOST_ROUNDS:
        raise ValueError
    size = int(derivation.get("key-size", 16))
    key = hashlib.pbkdf2_hmac("sha1", hashlib.new(start_hash, password.encode()).digest(), salt, rounds, size)
    vector, name = b64decode(cipher["initialisation-vector"]), cipher["algorithm-name"].lower()
    if name.endswith("cbc"):
        opened = Cipher(algorithms.AES(key), modes.CBC(vector)).decryptor()
    else:
        opened = Cipher(Blowfish(key), CFB(vector)).decryptor()
    found = opened.update(data) + opened.finalize()
    limit = min(int(entry.get(f"{NAMESPACE}size", 0)), MOST_BYTES) + 1
    return zlib.decompressobj(-15).decompress(found, limit)


def _described(entry: "_Element", part: str) -> dict[str, str]:
    found = next(entry.iter(NAMESPACE + part), None)
    return {} if found is None else {str(name).removeprefix(NAMESPACE): str(v) for name, v in found.items()}
