"""A library comes in; the address of a real server over it, in a thread of this process, goes out."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from serving.library import Library
from serving.server import build_server


@contextmanager
def served(library: Library) -> Iterator[str]:
    server = build_server(library, "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)
