"""Images that a client names by path: regular files below one folder that the server was started with."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from .problems import RequestError

# A pipe would be waited for, and a link at the very end followed.
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def _opened(path: str, flags: int) -> int:
    """Open a regular file; OSError for what is none."""
    descriptor = os.open(path, flags | _FLAGS)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(path)
    return descriptor


class LocalImages:
    """`folder`: what may be opened lies below it, links resolved. What lies elsewhere is not even told to exist."""

    def __init__(self, folder: Path) -> None:
        self._root = folder.resolve()

    def read(self, url: str, param: str, most_bytes: int) -> bytes:
        """The file of a `file:///` address. RequestError 400, 403, 404 or 413 names `param`."""
        path = self._inside(url, param)
        try:
            with open(path, "rb", opener=_opened) as stream:
                if (size := os.fstat(stream.fileno()).st_size) > most_bytes:
                    raise self._refused(
                        413, param, f"the image has {size:,} bytes, this request may still hold {most_bytes:,}"
                    )
                return stream.read(most_bytes)
        except OSError:
            raise self._refused(404, param, f"{url[:80]!r} is no file that can be opened; correct the path") from None

    def _inside(self, url: str, param: str) -> Path:
        """The resolved path; RequestError 403 for one that does not stay below the folder."""
        try:
            parts = urlsplit(url)
            plain = parts.netloc in ("", "localhost") and not parts.query and not parts.fragment
            path = Path(url2pathname(parts.path))
            if plain and path.is_absolute() and (found := path.resolve()).is_relative_to(self._root):
                return found
        except (OSError, ValueError, RuntimeError):
            pass
        raise self._refused(
            403, param, f"{url[:80]!r} is not below the folder whose images may be named; name one there as file:///..."
        )

    @staticmethod
    def _refused(status: int, param: str, message: str) -> RequestError:
        codes = {403: "path_not_allowed", 404: "image_not_found", 413: "image_too_large"}
        return RequestError(status, f"{param}: {message}", code=codes.get(status, "invalid_image_url"), param=param)
