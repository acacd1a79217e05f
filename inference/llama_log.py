"""Nothing comes in; what llama.cpp writes to its log, kept instead of printed, goes out."""

import ctypes
from collections import deque
from functools import cache
from typing import Any


@cache
def llama_log() -> tuple[deque[str], Any]:
    """Collect llama.cpp's log instead of having it on stderr; the callback comes along to be kept alive."""
    import llama_cpp

    kept: deque[str] = deque(maxlen=20_000)  # a line for each tensor, of which large models have thousands

    def keep(level: int, text: bytes, data: object) -> None:
        kept.append(text.decode("utf-8", "replace"))

    callback = llama_cpp.llama_log_callback(keep)
    llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))
    return kept, callback
