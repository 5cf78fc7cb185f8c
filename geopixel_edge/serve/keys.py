"""API keys: read from a file, kept as digests, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import OptionError

MIN_KEY_CHARS, MAX_KEY_CHARS = 16, 512


@dataclass(frozen=True)
class Keys:
    """SHA-256 digests of the keys, in the file's order."""

    digests: tuple[bytes, ...]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Keys:
        """One key a line; blank lines and lines that begin with # are none. OptionError names the line."""
        what = f"api-key-file={str(path)!r}"
        try:
            text = Path(path).read_text(encoding="ascii")
        except OSError as error:
            raise OptionError(
                f"{what} cannot be read ({type(error).__name__}); correct the path or its permissions"
            ) from None
        except UnicodeDecodeError:
            raise OptionError(f"{what} holds characters that no header can carry; give ASCII") from None
        digests = []
        for number, line in enumerate(text.splitlines(), 1):
            key = line.strip()
            if not key or key.startswith("#"):
                continue
            if not MIN_KEY_CHARS <= len(key) <= MAX_KEY_CHARS or not key.isprintable() or " " in key:
                raise OptionError(
                    f"{what}: line {number} is no key; give {MIN_KEY_CHARS} to {MAX_KEY_CHARS} printable characters, "
                    "as `openssl rand -hex 24` prints"
                )
            digests.append(hashlib.sha256(key.encode()).digest())
        if not digests:
            raise OptionError(f"{what} holds no key; write one a line")
        return cls(tuple(digests))

    def client_of(self, key: str) -> str | None:
        """A short name of who holds `key`, None where nobody does. Every digest is compared, whatever was found."""
        asked = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        found = None
        for number, digest in enumerate(self.digests, 1):
            if hmac.compare_digest(asked, digest):
                found = f"key{number}"
        return found
