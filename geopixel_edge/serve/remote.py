"""Images that a client names by address: fetched over HTTPS, from hosts that the server was started with."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import SplitResult, urljoin, urlsplit

from ..errors import reason
from ..version import __version__
from .problems import RequestError

MAX_REDIRECTS = 3
FETCHED_AT_ONCE = 4
_REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK = 1 << 16
_HEADERS = {"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": f"geopixel-edge/{__version__}"}


class RemoteImages:
    """`hosts`: exact names, with the port where it is not 443. Every address is held against them, redirects too.

    The certificate must be the name's, so that a name which leads elsewhere than it should gives nothing.
    """

    def __init__(self, hosts: tuple[str, ...]) -> None:
        self._hosts = {host if ":" in host else f"{host}:443" for host in hosts}
        self._threads = ThreadPoolExecutor(FETCHED_AT_ONCE, "fetch")

    async def read(self, url: str, param: str, most_bytes: int, within_s: float) -> bytes:
        """The file behind an address, within so many seconds. RequestError 400, 403 or 413 names `param`."""
        fetch = _Fetch(self._hosts, param, most_bytes, time.monotonic() + within_s)
        fetch.allowed(url)
        running = asyncio.get_running_loop().run_in_executor(self._threads, fetch.run, url)
        try:
            return await asyncio.wait_for(running, within_s)
        except asyncio.TimeoutError:
            raise fetch.failed(f"it did not come within {within_s:g} s") from None
        finally:
            fetch.break_off()

    def close(self) -> None:
        """Begin no further fetch."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Fetch:
    """One address on its way, in a thread."""

    def __init__(self, hosts: set[str], param: str, most_bytes: int, ends_s: float) -> None:
        self._hosts, self._param, self._most_bytes, self._ends_s = hosts, param, most_bytes, ends_s
        self._connection: http.client.HTTPSConnection | None = None

    def allowed(self, url: str) -> SplitResult:
        """The parts of an address that may be asked; RequestError 400 or 403 for another one."""
        try:
            parts = urlsplit(url)
            port = parts.port or 443
        except ValueError:
            raise self._refused(400, f"{url[:80]!r} is no address; correct it") from None
        if parts.scheme != "https" or "@" in parts.netloc or not url.isascii() or not url.isprintable() or " " in url:
            raise self._refused(
                400, f"{url[:80]!r}: images are fetched by https:// addresses alone, without a user in them"
            )
        if f"{parts.hostname}:{port}" not in self._hosts:
            raise self._refused(
                403,
                f"host {(parts.hostname or '')[:80]!r} is none that this server fetches images from; send the image, "
                "or start the server with --allow-remote-images for it",
            )
        return parts

    def run(self, url: str) -> bytes:
        """Ask, following redirects to hosts that are allowed."""
        try:
            for _ in range(MAX_REDIRECTS + 1):
                with contextlib.closing(self._asked(self.allowed(url))) as response:
                    if response.status not in _REDIRECTS:
                        return self._body(response)
                    url = urljoin(url, response.headers.get("location", ""))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self.failed(reason(error)) from None
        raise self.failed(f"it leads on more than {MAX_REDIRECTS} times")

    def _asked(self, parts: SplitResult) -> http.client.HTTPResponse:
        self.break_off()
        self._connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port or 443, timeout=self._left_s(), context=ssl.create_default_context()
        )
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._connection.request("GET", target, headers=_HEADERS)
        return self._connection.getresponse()

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        """The whole body, its declared length checked before a byte of it is read."""
        if response.status != 200:
            raise self.failed(f"its host answered {response.status}")
        found, length = bytearray(), response.length or 0
        while length <= self._most_bytes and len(found) <= self._most_bytes:
            self._left_s()
            if not (part := response.read1(_CHUNK)):
                return bytes(found)
            found += part
        raise self._refused(
            413, f"the image has over {self._most_bytes:,} bytes, what this request may still hold; give a smaller one"
        )

    def _left_s(self) -> float:
        if (left_s := self._ends_s - time.monotonic()) <= 0:
            raise TimeoutError
        return left_s

    def break_off(self) -> None:
        """End the connection, from any thread."""
        if self._connection is not None and (found := self._connection.sock) is not None:
            with contextlib.suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError):
                found.close()

    def failed(self, why: str) -> RequestError:
        """400 for an image that did not come."""
        return self._refused(400, f"the image could not be fetched ({why}); see that its address serves it, or send it")

    def _refused(self, status: int, message: str) -> RequestError:
        code = {403: "host_not_allowed", 413: "image_too_large"}.get(status, "image_not_fetched")
        return RequestError(status, f"{self._param}: {message}", code=code, param=self._param)
