"""The server of a window: Bokeh's, on this computer alone, for whoever knows the address.

Other users of the computer, and pages of the web in the same browser, can reach a port of the
loopback interface. So the address holds a token, without which nothing is answered; what a page of
another origin sends is refused, and so is what comes for another host's name, as after DNS
rebinding. All requests go through one gate, websockets and static files included.
"""

import os
import secrets
from collections.abc import Callable
from typing import Any

from bokeh.application import Application
from bokeh.application.handlers import FunctionHandler
from bokeh.document import Document
from bokeh.resources import Resources
from bokeh.server.server import BaseServer
from bokeh.server.tornado import BokehTornado
from bokeh.server.views.static_handler import StaticHandler
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.web import ErrorHandler, OutputTransform

from ..errors import UsageError
from ..files.atomic import read_small

LOOPBACK = "127.0.0.1"
TOKEN_BYTES = 32
LARGEST_MESSAGE = 1 << 20
"""Bytes that a page may send at once; it sends what was chosen and what is in view."""
_CONNECTIONS = ("/proc/net/tcp", "/proc/net/tcp6")
"""Linux' tables: local address, other address and user are cells 1, 2 and 7 of a line."""
FORGOTTEN = 60_000
"""ms after which what was drawn for a closed page is given up; a page that is loaded again, or a
laptop that wakes up, has its own anew."""


class Gate(BokehTornado):
    """Bokeh's application, which answers what comes through the gate alone."""

    def __init__(self, application: Application, port: int) -> None:
        self.token, self.port = secrets.token_urlsafe(TOKEN_BYTES), port
        self.hosts = {f"{name}:{port}" for name in (LOOPBACK, "localhost")}
        super().__init__(
            {"/": application},
            prefix=self.token,
            extra_websocket_origins=sorted(self.hosts),
            websocket_max_message_size_bytes=LARGEST_MESSAGE,
            unused_session_lifetime_milliseconds=FORGOTTEN,
            # Nothing of a request is needed, and all of it would stand in the page.
            include_headers=[],
            include_cookies=[],
            transforms=[_Headers],
            log_function=lambda handler: None,
        )

    def find_handler(self, request: HTTPServerRequest, **more: Any) -> Any:
        """What answers a request; each comes here first."""
        if not self.lets_in(request):
            return self.get_handler_delegate(request, ErrorHandler, {"status_code": 403})
        return super().find_handler(request, **more)

    def lets_in(self, request: HTTPServerRequest) -> bool:
        """Whether a request is for this host, of no other origin and user, and has the token."""
        origins = request.headers.get_list("Origin")
        origins += request.headers.get_list("Sec-Websocket-Origin")
        first = request.path.lstrip("/").partition("/")[0]
        return (
            request.headers.get_list("Host") in [[host] for host in self.hosts]
            and all(origin in {f"http://{host}" for host in self.hosts} for origin in origins)
            # Compared in a time that tells nothing of how much of it is right.
            and secrets.compare_digest(first.encode(errors="replace"), self.token.encode())
            and _may_look(getattr(request.connection, "context", None), self.port)
        )

    def resources(self, absolute_url: str | bool | None = None) -> Resources:
        """Bokeh's scripts are this server's own, whatever the environment says."""
        return Resources(
            mode="server", root_url=self.prefix, path_versioner=StaticHandler.append_version
        )


def _may_look(context: Any, port: int) -> bool:
    """Whether the other end of a connection may be this user's, or the administrator's.

    Linux knows whose it is. A browser is started with the address among its arguments, which every
    user of the computer can read.
    """
    address = getattr(context, "address", None)
    try:
        lines = [line.split() for table in _CONNECTIONS for line in _lines(table)]
        other = f":{address[1]:04X}"  # type: ignore[index]
    except (OSError, ValueError, TypeError):  # not Linux: nobody else is at a laptop
        return True
    mine = {
        cells[7] for cells in lines if (cells[1][-5:], cells[2][-5:]) == (other, f":{port:04X}")
    }
    return mine <= {str(os.getuid()), "0"}


def _lines(table: str) -> list[str]:
    return read_small(table).splitlines()[1:]


class _Headers(OutputTransform):
    """What every answer says: the address, with its token, goes nowhere else."""

    def __init__(self, request: HTTPServerRequest) -> None:
        pass

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        headers["Referrer-Policy"] = "no-referrer"
        headers["X-Content-Type-Options"] = "nosniff"
        headers["X-Frame-Options"] = "DENY"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        headers["Cache-Control"] = "no-store"
        return status_code, headers, chunk


def serve(
    draw: Callable[[Document], None], opened: Callable[[str], object], *, port: int = 0
) -> None:
    """Serve windows until Ctrl-C; each that is opened is drawn anew into its document.

    `opened` is called with the address once it answers. `port` is by default a free one;
    `UsageError` if it is taken.
    """
    try:
        if not 0 <= port < 1 << 16:  # the system would take what is left of it
            raise OSError(0, "there is none")
        sockets = bind_sockets(port, LOOPBACK)
    except OSError as error:
        raise UsageError(
            f"port {port} cannot be had ({error.strerror}); leave it out (--port)"
        ) from None
    port = sockets[0].getsockname()[1]
    loop = IOLoop()
    gate = Gate(Application(FunctionHandler(draw)), port)
    http = HTTPServer(gate)
    http.add_sockets(sockets)
    server = BaseServer(loop, gate, http)
    server.start()
    loop.add_callback(opened, f"http://{LOOPBACK}:{port}/{gate.token}/")
    try:
        loop.start()
    except KeyboardInterrupt:  # how a window is ended
        pass
    finally:
        server.stop(wait=False)
        loop.close()
