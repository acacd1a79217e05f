"""A host name comes in; a connection to the very address that passed the guard, closed to time at a deadline, goes out.

httpcore asks its network backend for connections, by name: this one resolves the name once, checks every address and
connects to one of those, so that no second look-up can answer otherwise (DNS rebinding). TLS still checks the name.
"""

import functools
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import httpcore

from errors import DocumentError, one_line
from loaders.web.guard import Target, is_named, may_connect

CONNECT_SECONDS = 10.0  # an address that does not answer must not use up the time of the next one
Resolve = Callable[[str], Sequence[str]]  # host name → addresses


def system_resolve(host: str) -> list[str]:
    """Return a host's addresses in the system's order of preference."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise DocumentError(host, "no such host", "check its spelling and the connection") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@functools.cache
def trusted_roots() -> ssl.SSLContext:
    """Return a context that trusts this machine's certificates and those that certifi brings."""
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def seconds_left(deadline: float) -> float:
    """Return what is left until a time of the monotonic clock; raise httpcore's timeout when nothing is."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("out of time")
    return left


class TimedStream(httpcore.NetworkStream):
    """A connection whose reads all end by one deadline: a timeout for each would let a slow drip go on for ever."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        """Wrap a connection."""
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what has come."""
        return self._stream.read(max_bytes, seconds_left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it."""
        self._stream.write(buffer, seconds_left(self._deadline))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Shake hands, and stay under the deadline."""
        inner = self._stream.start_tls(ssl_context, server_hostname, seconds_left(self._deadline))
        return TimedStream(inner, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        """Pass the question on."""
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()


class GuardedBackend(httpcore.NetworkBackend):
    """Connects to checked addresses only, until a deadline."""

    def __init__(self, allow_hosts: frozenset[str], resolve: Resolve, deadline: float) -> None:
        """Take what the user allowed, how names become addresses, and the monotonic time of the end."""
        self._allow_hosts, self._resolve, self._deadline = allow_hosts, resolve, deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first of the host's addresses that answers; raise DocumentError if any is not allowed."""
        error: Exception = DocumentError(host, "it has no address", "check its spelling and the connection")
        for address in self._checked(host, port):
            patience = min(CONNECT_SECONDS, seconds_left(self._deadline))
            try:
                stream = httpcore.SyncBackend().connect_tcp(address, port, patience, local_address, socket_options)
                return TimedStream(stream, self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failure:
                error = DocumentError(host, f"no connection: {one_line(failure)}", "try again later")
        raise error

    def _checked(self, host: str, port: int) -> Sequence[str]:
        """Resolve once. One address out of bounds condemns them all: no honest name has both kinds."""
        addresses = self._resolve(host)
        named = any(is_named(Target(scheme, host, port, ""), self._allow_hosts) for scheme in ("http", "https"))
        for address in addresses:
            if not may_connect(address, named=named):
                remedy = "if it is a server of yours, allow its host by name"
                raise DocumentError(host, f"its address {address} is not a public one", remedy)
        return addresses
