"""A secret comes in; the function that gives each passage its fence, which no author can have foreseen, goes out."""

import hmac
import secrets
from collections.abc import Callable

Fence = Callable[[str], str]  # a passage's heading and text → what marks its beginning and end


def build_fence(key: bytes) -> Fence:
    """Return the fences of this secret: eight hexadecimal digits of an HMAC-SHA256 over the whole passage.

    Who writes a document can't compute them without the key, and a fence that an answer gave away is of no use: with
    the first letter that is changed, to make use of it, the passage gets another one. The same passage always has the
    same fence, so that the model reads it once for many questions, and the same question gets the same answer.
    """
    return lambda text: hmac.digest(key, text.encode("utf-8", "replace"), "sha256").hex()[:8]


fence_of_this_process = build_fence(secrets.token_bytes(32))
