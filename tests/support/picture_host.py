"""A host of pictures over HTTPS on loopback, which also answers as none should. Its certificate: tests/data/tls."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TLS = Path(__file__).parents[1] / "data" / "tls"


@dataclass
class PictureHost:
    """Where it listens, the picture at /a.png, and the paths that it was asked for."""

    port: int
    picture: bytes
    asked: list[str] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"https://localhost:{self.port}{path}"


class _Handler(BaseHTTPRequestHandler):
    host: PictureHost  # of the class that a server is given

    def do_GET(self) -> None:
        self.host.asked.append(self.path)
        with contextlib.suppress(OSError):
            {"/slow": self.slow, "/endless": self.endless}.get(self.path, self.plain)()

    def plain(self) -> None:
        leads = {
            "/to-itself": "/a.png",
            "/to-an-address": f"https://127.0.0.1:{self.host.port}/a.png",
            "/to-http": f"http://localhost:{self.host.port}/a.png",
            "/to-a-file": "file:///etc/passwd",
            "/round": "/round",
        }
        if self.path in leads:
            self.head(302, Location=leads[self.path], **{"Content-Length": "0"})
        elif self.path in ("/a.png", "/a.png?size=1"):
            self.head(200, **{"Content-Length": str(len(self.host.picture))})
            self.wfile.write(self.host.picture)
        elif self.path == "/large":
            self.head(200, **{"Content-Length": "100000000000"})
        else:
            self.head(404, **{"Content-Length": "0"})

    def slow(self) -> None:
        self.head(200)
        for _ in range(300):
            self.wfile.write(b"x")
            time.sleep(0.1)

    def endless(self) -> None:
        self.head(200)
        while True:
            self.wfile.write(bytes(1 << 16))

    def head(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *given: object) -> None:
        """Nothing."""


@contextlib.contextmanager
def picture_host(picture: bytes) -> Iterator[PictureHost]:
    """A host in threads of this process. Whoever asks it must trust `TLS / "certificate.pem"`."""

    host = PictureHost(0, picture)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"host": host}))
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "localhost.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    host.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
