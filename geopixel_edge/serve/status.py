"""What operators and their machines ask: /healthz, /readyz, /metrics, /openapi.json."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ..version import __version__
from .front import Front
from .openapi import document
from .replies import Health
from .responses import json_response


class Status:
    """The routes about the server itself; none waits for a worker."""

    def __init__(self, front: Front) -> None:
        self.front = front
        self._document = document()

    async def health(self, request: Request) -> Response:
        """GET /healthz: the front answers."""
        return json_response(Health("ok", __version__))

    async def ready(self, request: Request) -> Response:
        """GET /readyz: 503 until the engine is verified and loaded, and while draining."""
        health = self.front.health()
        return json_response(health, 200 if health.status == "ok" else 503)

    async def metrics(self, request: Request) -> Response:
        """GET /metrics."""
        return Response(self.front.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def openapi(self, request: Request) -> Response:
        """GET /openapi.json."""
        return json_response(self._document)
