"""Text that may be a question or the name of a file: which of the two it is."""

from __future__ import annotations

import re
from pathlib import Path

# What people call images, whether or not this package reads them: here only the intention counts.
_IMAGE_SUFFIX = re.compile(
    r"[^\s.]\.(jpe?g|jpe|png|bmp|webp|tiff?|geotiff|jp2|j2k|jpx|gif|heic|heif|avif|img|vrt|nitf?|ntf|ecw|sid|hdf5?|h5|nc"
    r"|dng|raw|npy|npz|pdf|svg|safe|zip)$",
    re.IGNORECASE,
)
_ANY_SUFFIX = re.compile(r"\S*[\w-]\.[A-Za-z][A-Za-z0-9]{0,7}")
_SPACE = re.compile(r"\s")
_PATH = re.compile(r"[\w.~:@%+\\/-]+", re.ASCII)


def is_there(text: str) -> bool:
    """Whether `text` is the path of a file that is there, or as one word of a directory; other text is none."""
    try:
        path = Path(text)
        return path.is_file() or (path.is_dir() and bool(text) and not _SPACE.search(text))
    except (OSError, ValueError):  # too long a name, a null byte, characters that the file system does not know
        return False


def looks_like_a_file(text: str) -> bool:
    """Whether somebody who wrote `text` meant a file: a word with a suffix or slashes, or the path of an image."""
    text = text.strip()
    slashes = "/" in text or "\\" in text
    if _IMAGE_SUFFIX.search(text) and (slashes or not _SPACE.search(text)):
        return True
    return bool(_ANY_SUFFIX.fullmatch(text) or (_PATH.fullmatch(text) and slashes))
