"""The page at /: one self-contained file, made once from its parts."""

from __future__ import annotations

import base64
import functools
import hashlib
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..writers.colours import hex_colour
from ..writers.drawing import DRAWING_SCRIPT, DRAWING_STYLE

COLOURS = 64
PARTS = Path(__file__).with_name("page_parts")


@functools.cache
def made() -> tuple[bytes, str]:
    """The page, and the content policy under which its own script alone runs."""

    def part(name: str) -> str:
        return (PARTS / name).read_text(encoding="utf-8")

    script = f"{DRAWING_SCRIPT}\n{part('page.js')}"
    style = f"{DRAWING_STYLE}\n{part('page.css')}"
    scene = base64.b64encode((PARTS / "scene.webp").read_bytes()).decode("ascii")
    text = part("page.html")
    palette = msgspec.json.encode([hex_colour(index) for index in range(COLOURS)]).decode()
    parts = {"STYLE": style, "SCENE": f"data:image/webp;base64,{scene}", "PALETTE": palette, "SCRIPT": script}
    for mark, value in parts.items():
        text = text.replace(f"{{{{{mark}}}}}", value)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data: blob:; "
        "connect-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text.encode("utf-8"), policy


async def page(request: Request) -> Response:
    """GET /."""
    content, policy = made()
    headers = {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"}
    return Response(content, headers=headers, media_type="text/html; charset=utf-8")
