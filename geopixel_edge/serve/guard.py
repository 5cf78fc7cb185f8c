"""What every request passes first: its id, who asks, from which page, by which name; and the one place that logs it."""

from __future__ import annotations

import secrets
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .. import limits
from .front import Front
from .logs import log
from .problems import RequestError, told
from .responses import error_response
from .settings import LOOPBACK

MAX_HEADERS = 100  # browsers send some twenty, proxies add ten
# Reachable without a key: what load balancers and a first visit need.
OPEN = frozenset({"/", "/healthz", "/readyz", "/openapi.json"})
SAFE = {
    b"x-content-type-options": b"nosniff",
    b"cache-control": b"no-store",
    b"cross-origin-resource-policy": b"same-origin",
}


class Guard:
    """ASGI middleware: refuses strangers, gives every request an id, logs and counts it."""

    def __init__(self, app: ASGIApp, front: Front) -> None:
        self.app, self.front = app, front

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status, begun = time.monotonic(), 500, False
        state = scope.setdefault("state", {})
        state["request_id"] = request_id = f"req_{secrets.token_hex(8)}"

        async def passed(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                headers = MutableHeaders(raw=message["headers"])
                headers["x-request-id"] = request_id
                for name, value in SAFE.items():
                    headers.setdefault(name.decode(), value.decode())
            await send(message)

        try:
            state["client"] = self._client(scope)
            await self.app(scope, receive, passed)
        except Exception as error:
            if not isinstance(error, RequestError):
                log("error", request=request_id, kind=type(error).__name__, reason=str(error)[:500])
            if not begun:
                found = told(error)
                self.front.metrics.refusals.labels(found.problem.code).inc()
                await error_response(found, getattr(error, "headers", {}))(scope, receive, passed)
        finally:
            self._tell(scope, status, time.monotonic() - started, request_id)

    def _tell(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self.front.metrics.requests.labels(route, str(status)).inc()
        self.front.metrics.seconds.labels(route).observe(seconds)
        log(
            "request",
            request=request_id,
            method=scope["method"][:16],
            path=scope["path"][:200],
            status=status,
            seconds=round(seconds, 4),
            client=scope["state"].get("client"),
        )

    # --- Who asks ---------------------------------------------------------------------------------------------

    def _client(self, scope: Scope) -> str:
        """A name for who asks: of their key, else their address. RequestError 400, 401, 403, 431, 503."""
        headers, settings = Headers(scope=scope), self.front.settings
        _check_head(scope, headers)
        if self.front.connections() > limits.MAX_CONNECTIONS and scope["path"] != "/healthz":
            raise RequestError(
                503,
                f"over {limits.MAX_CONNECTIONS} connections are open; close those that you do not use, and ask again",
                code="too_many_connections",
                kind="server_error",
                headers={"Connection": "close"},
            )
        self._check_origin(headers)
        peer = (scope.get("client") or ("unknown", 0))[0]
        if settings.keys is None or scope["path"] in OPEN:
            return peer
        scheme, _, key = headers.get("authorization", "").partition(" ")
        client = settings.keys.client_of(key.strip()) if scheme.lower() == "bearer" else None
        if client is None and scope["method"] != "OPTIONS":
            raise RequestError(
                401,
                "the API key is missing or wrong; send Authorization: Bearer KEY with one of the server's keys",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return client or peer

    def _check_origin(self, headers: Headers) -> None:
        """Pages of other origins get nothing, and without keys neither do names that are not this machine's."""
        settings, host = self.front.settings, headers.get("host", "")
        try:
            name = urlsplit(f"//{host}").hostname or ""
            origin = urlsplit(headers.get("origin", ""))
        except ValueError:
            raise RequestError(400, "Host or Origin is no address; correct it", code="invalid_host") from None
        if settings.watches_hosts and name not in {*LOOPBACK, settings.host, *settings.hosts}:
            raise RequestError(
                403,
                f"Host is {host[:80]!r}, which is not this machine; start the server with --allow-host for it",
                code="host_refused",
            )
        sent = headers.get("origin")
        if sent is not None and sent not in settings.origins and (origin.netloc != host or not host):
            raise RequestError(
                403,
                f"pages of {sent[:80]!r} may not ask this server; start it with --cors-origin for them",
                code="origin_refused",
            )


def _check_head(scope: Scope, headers: Headers) -> None:
    """Refuse too many headers and what a proxy in front may have read otherwise; close, nothing behind is a request."""
    status, wrong = 400, ""
    if scope["http_version"] not in ("1.0", "1.1"):
        wrong = f"HTTP/{scope['http_version'][:8]} is not spoken here; speak HTTP/1.1"
    elif "content-length" in headers and "transfer-encoding" in headers:
        wrong = "Content-Length and Transfer-Encoding contradict each other; send one of them"
    elif len(headers) > MAX_HEADERS:
        status, wrong = 431, f"{len(headers)} headers; send at most {MAX_HEADERS}"
    if wrong:
        raise RequestError(status, wrong, code="bad_request", headers={"Connection": "close"})
