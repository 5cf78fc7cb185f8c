"""The application: routes, and what stands before them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ..errors import GeoPixelError
from .chat import Chat
from .front import Front
from .guard import Guard
from .images import Images
from .page import page
from .problems import RequestError, told
from .responses import error_response
from .segment import Segmenting
from .status import Status


def make_app(front: Front) -> Starlette:
    """The ASGI application of a front; its lifespan holds the workers."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with front:
            yield

    chat, images, status = Chat(front), Images(front), Status(front)
    routes = [
        Route("/", page, methods=["GET"]),
        Route("/v1/chat/completions", chat.complete, methods=["POST"]),
        Route("/v1/models", chat.models, methods=["GET"]),
        Route("/v1/models/{model}", chat.models, methods=["GET"]),
        Route("/v1/segment", Segmenting(front).segment, methods=["POST"]),
        Route("/v1/images", images.post, methods=["POST"]),
        Route("/v1/images/{image_id}/preview", images.preview, methods=["GET"]),
        Route("/v1/images/{image_id}", images.delete, methods=["DELETE"]),
        Route("/healthz", status.health, methods=["GET"]),
        Route("/readyz", status.ready, methods=["GET"]),
        Route("/metrics", status.metrics, methods=["GET"]),
        Route("/openapi.json", status.openapi, methods=["GET"]),
    ]
    return Starlette(
        routes=routes,
        middleware=_middleware(front),
        exception_handlers={HTTPException: _refused, GeoPixelError: _teller(front)},
        lifespan=lifespan,
    )


def _middleware(front: Front) -> list[Middleware]:
    """CORS outermost, so that pages of the origins named can read a refusal too."""
    origins = front.settings.origins
    cors = [Middleware(_Cors, origins=origins)] if origins else []
    return [*cors, Middleware(Guard, front=front)]


class _Cors:
    """Starlette's, for the origins that were named alone: strangers are told by the guard, and nothing of this."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self.app, self.origins = app, origins
        # A page may ask in any way that it likes: an address that takes another method says so itself.
        self.cors = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["X-Request-Id", "Retry-After"],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        named = scope["type"] == "http" and Headers(scope=scope).get("origin") in self.origins
        await (self.cors if named else self.app)(scope, receive, send)


def _teller(front: Front) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Answers one of our errors with its status and remedy, and counts it."""

    async def tell(request: Request, error: Exception) -> Response:
        found = told(error)
        front.metrics.refusals.labels(found.problem.code).inc()
        return error_response(found, getattr(error, "headers", {}))

    return tell


async def _refused(request: Request, error: Exception) -> Response:
    """An address or method that is none, as the error object it is."""
    assert isinstance(error, HTTPException)
    known = {
        404: "there is nothing at this address; /openapi.json lists what there is",
        405: "this address takes another method",
    }
    message = known.get(error.status_code, str(error.detail))
    headers = dict(error.headers or {})
    return error_response(
        RequestError(error.status_code, message, code="not_found" if error.status_code == 404 else "refused").told,
        headers,
    )
