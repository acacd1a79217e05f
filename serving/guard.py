"""An ASGI application comes in; the same behind checks of who asks, from where and how many at once goes out."""

import secrets
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from errors import SettingsError
from serving.replies import refusal

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
OPEN = "/health"  # says nothing that is secret
MOST_REQUESTS = 64  # at once; the model's own queue is shorter (RAG_QUEUE)
RETRY_S = 2.0


def check_host(host: str, key: str) -> None:
    """Raise SettingsError where others could ask without a key: an address beyond loopback needs one."""
    if not key and not _is_loopback(host):
        reason = "others on the network could ask your documents"
        raise SettingsError(f"--host {host}", reason, "set RAG_SERVER_KEY to a secret that they have to send")


def guarded(app: ASGIApp, *, host: str, key: str) -> ASGIApp:
    """Refuse requests of web pages from elsewhere, without the key, or beyond MOST_REQUESTS; let no answer be stored.

    Without a key the header Host has to name this machine: a page whose name was rebound to 127.0.0.1 names itself. A
    key makes up for that, as such a page has none.
    """
    names = LOOPBACK | {host.casefold()}
    running = 0

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal running
        if scope["type"] != "http":
            await app(scope, receive, send)
            return

        async def send_unstored(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update({"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})
            await send(message)

        if refused := _refused(Headers(scope=scope), scope["path"], names, key):
            await refusal(*refused)(scope, receive, send_unstored)
        elif running >= MOST_REQUESTS:
            await refusal(503, f"{running} requests are served already", RETRY_S)(scope, receive, send_unstored)
        else:
            running += 1
            try:
                await app(scope, receive, send_unstored)
            finally:
                running -= 1

    return serve


def _refused(headers: Headers, path: str, names: frozenset[str], key: str) -> tuple[int, str] | None:
    """Return the status and the reason for which a request is refused."""
    hosts = headers.getlist("host")
    if len(hosts) != 1 or not (key or _name(hosts[0]) in names):
        return 403, "The header Host does not name this server"
    origin = headers.get("origin")
    if origin is not None and origin.casefold().partition("://")[2] != hosts[0].casefold():
        return 403, "Web pages of other origins may not ask here"
    if key and path != OPEN and not _has_key(headers, key):
        return 401, "Send the key of this server (RAG_SERVER_KEY) as a bearer token"
    return None


def _has_key(headers: Mapping[str, str], key: str) -> bool:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    same = secrets.compare_digest(given.strip().encode("latin-1", "replace"), key.encode())  # in constant time
    return same and scheme.casefold() == "bearer"


def _name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").casefold()
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.casefold() == "localhost"
