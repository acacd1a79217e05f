"""An index directory comes in; its secret, made once and for its owner's eyes only, goes out."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

NAME = "secret"  # of the file
LENGTH = 32  # bytes


def read_secret(directory: Path) -> bytes:
    """Return the 32 random bytes that belong to an index directory; new ones each time where it can't be written."""
    path = directory / NAME
    with suppress(OSError):
        if not path.exists():
            draft = directory / f"{NAME}.{os.getpid()}-{secrets.token_hex(4)}"
            with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as stream:
                stream.write(secrets.token_bytes(LENGTH))
            with suppress(FileExistsError):
                os.link(draft, path)  # whole or not at all; the first of two processes wins
            draft.unlink()
        if len(secret := path.read_bytes()) == LENGTH:
            return secret
    return secrets.token_bytes(LENGTH)
