"""The frame of every page that is written: one file that needs nothing else, and lets nothing else in.

Every text of the model, the user or a file name is escaped, and the page's content policy lets only its own scripts
run and no resource be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# What HTML forbids even as a reference becomes its visible sign.
_CONTROLS = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"} | {0x7F: 0x2421}


def as_html(value: object) -> str:
    """A text as HTML."""
    return escape(str(value).translate(_CONTROLS))


def page(title: str, facts: str, body: str, style: str, scripts: Sequence[str], generator: str = "") -> bytes:
    """A whole page in UTF-8; `facts` are items of a list, `body` is what `<main>` is, `title` a text."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in scripts)
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {hashes}"
    made_by = f'<meta name="generator" content="{as_html(generator)}">' if generator else ""
    whole = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{made_by}'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><meta name="referrer" content="no-referrer">'
        f"<title>{as_html(title)} - GeoPixel Edge</title>"
        f"<style>{style}</style></head>\n<body><header><b><i></i>GeoPixel Edge</b>"
        f"<ul>{facts}</ul></header>\n{body}"
        f"\n{''.join(f'<script>{one}</script>' for one in scripts)}</body></html>\n"
    )
    return whole.encode("utf-8", "replace")


def jpeg(pixels: NDArray[np.uint8], shown: tuple[int, int], quality: int) -> bytes:
    """Pixels (height, width, 3) at the size (width, height) they are shown, as a JPEG."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image = image.resize(shown, Image.Resampling.LANCZOS) if shown != image.size else image
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def data_url(picture: bytes) -> str:
    """A JPEG as the address of an `<img>`."""
    return "data:image/jpeg;base64," + base64.b64encode(picture).decode("ascii")


CONTROL_BAR = (
    '<figcaption class="controls"><label><input type="checkbox" id="show" checked> Masks</label>'
    '<label>Strength <input type="range" id="strength" min="5" max="100" value="40"></label></figcaption>'
)
