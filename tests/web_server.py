"""A real web server on the loopback address for the tests: each path answers as a test says."""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from loaders.web.pages import Access

Answer = Callable[[BaseHTTPRequestHandler], None]

# of wiki.test, valid until 2120: it signs itself, and guards nothing
CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBhjCCASygAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAl3aWtpLnRl
c3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM
CXdpa2kudGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABHidvhH9HKiTbe6H
2UOmKCmPLKFhV4CZVUFjmXLAZRfTR5U1ZzzrKz7WeXjQ0v1pxlQZHltZOxdps88K
C6mCQbyjbTBrMBQGA1UdEQQNMAuCCXdpa2kudGVzdDAPBgNVHRMBAf8EBTADAQH/
MA4GA1UdDwEB/wQEAwIChDATBgNVHSUEDDAKBggrBgEFBQcDATAdBgNVHQ4EFgQU
gVf+To6iRY7oKjbo+utpD/wwtoUwCgYIKoZIzj0EAwIDSAAwRQIgGQLKtnJtlbFH
VwqrQtQKK66TCbz3FMMGOqpWyhOxs2gCIQC0GaTR7nl6qNxgdymIJkaa0bVbP/My
KoLxLzk3WJd8qg==
-----END CERTIFICATE-----
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQge4HX+K9xsB878elw
Cy8ZdlSVt6YHvQNnyk7iJvNMkayhRANCAAR4nb4R/Ryok23uh9lDpigpjyyhYVeA
mVVBY5lywGUX00eVNWc86ys+1nl40NL9acZUGR5bWTsXabPPCgupgkG8
-----END PRIVATE KEY-----
"""


class Site:
    """Answers GET by `pages`, and keeps the path and headers of every request."""

    def __init__(self, certificate: Path | None = None, family: socket.AddressFamily = socket.AF_INET) -> None:
        self.pages: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.asked.append(self.path)
                site.headers.append({name.lower(): value for name, value in self.headers.items()})
                self.close_connection = True
                with suppress(OSError):  # the client has heard enough
                    site.pages.get(self.path, status(404))(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            address_family = family

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # a handshake that the client refused

        self.server = Server(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            context.sni_callback = lambda socket, name, context: self.asked.append(f"sni {name}")
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_port
        self.thread = threading.Thread(target=lambda: self.server.serve_forever(0.02))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def url(self, path: str = "/", host: str = "site.test") -> str:
        return f"http://{host}:{self.port}{path}"

    def access(self, *more: str, **options: object) -> Access:
        """Allow this server by the name site.test, whatever the port of the others."""
        return Access(
            **{
                "allow_hosts": frozenset({f"site.test:{self.port}", *more}),
                "resolve": lambda host: ["127.0.0.1"],
                "delay": 0.0,
                "seconds": 10.0,
            }
            | options
        )


def send(body: bytes | str, kind: str = "text/html", code: int = 200, **headers: str) -> Answer:
    data = body.encode() if isinstance(body, str) else body

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in ({"Content_Type": kind, "Content_Length": str(len(data))} | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def status(code: int) -> Answer:
    return send(b"sorry", code=code)


def redirect(location: str, code: int = 302) -> Answer:
    return send(b"", code=code, Location=location)


def raw(*pieces: bytes, between: Callable[[], object] = lambda: None) -> Answer:
    """Send bytes as they are."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        for piece in pieces:
            handler.connection.sendall(piece)
            between()

    return answer


def unless_known(answer: Answer, etag: str) -> Answer:
    """Answer 304, which has no body, to whoever names the ETag."""

    def answer_rightly(handler: BaseHTTPRequestHandler) -> None:
        known = handler.headers["If-None-Match"] == etag
        (raw(b"HTTP/1.1 304 Not Modified\r\n\r\n") if known else answer)(handler)

    return answer_rightly
