"""Settings and an address come in; the server runs there until it is interrupted."""

import contextlib
import socket
from collections.abc import Callable

import uvicorn

from chat_models import locate
from errors import SettingsError, one_line
from serving.app import build_app
from serving.guard import check_host
from serving.library import Library, open_library
from settings import Settings

GRACE_S = 10  # that answers may take to end after Ctrl-C


def serve(settings: Settings, host: str, port: int, *, on_note: Callable[[str], None]) -> None:
    """Answer over HTTP until Ctrl-C; `on_note` is told the address when it does.

    Raise SettingsError for an address that can't be had, or that others could reach without a key.
    """
    check_host(host, settings.server_key.get_secret_value())
    with _listening(host, port) as listener, open_library(settings) as library:
        server = build_server(library, host)
        shown = f"[{host}]" if ":" in host else host
        on_note(f"Answering at http://{shown}:{listener.getsockname()[1]}/v1 until Ctrl-C.")
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it once more when all is closed
            server.run(sockets=[listener])


def build_server(library: Library, host: str) -> uvicorn.Server:
    """Return the server over an open library; `host` is the address at which it will listen."""
    settings = library.settings
    name = settings.model if settings.model_url else locate(settings).stem
    config = uvicorn.Config(
        build_app(library, host=host, model_name=name),
        access_log=False,  # questions are nobody's business
        log_level="warning",
        proxy_headers=False,  # anybody could claim to be forwarded
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        ws="none",
    )
    return uvicorn.Server(config)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise SettingsError(f"{host}:{port}", one_line(error), "choose another with --host and --port") from error
