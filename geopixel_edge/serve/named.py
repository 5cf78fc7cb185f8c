"""Images that clients name instead of sending them: nothing, unless the server was started with hosts or a folder."""

from __future__ import annotations

import asyncio

from .local import LocalImages
from .remote import RemoteImages
from .settings import Settings


class NamedImages:
    """Images that are named instead of sent; with the settings as they are by default, none."""

    def __init__(self, settings: Settings) -> None:
        self._remote = RemoteImages(settings.remote_images)
        self._takes_remote = bool(settings.remote_images)
        self._local = None if settings.local_images is None else LocalImages(settings.local_images)

    async def read(self, text: str, param: str, most_bytes: int, within_s: float) -> bytes | None:
        """The bytes behind an address or path; None where it names nothing that may be read here."""
        scheme = text[:8].lower()
        if self._takes_remote and scheme.startswith(("http:", "https:")):
            return await self._remote.read(text, param, most_bytes, within_s)
        if self._local is not None and scheme.startswith("file:"):
            return await asyncio.to_thread(self._local.read, text, param, most_bytes)
        return None

    def close(self) -> None:
        """Begin no further fetch."""
        self._remote.close()
