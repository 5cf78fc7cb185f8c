"""The engine directory: its names. `manifest` says what it holds, `directory` reads and verifies it."""

from __future__ import annotations

from pathlib import Path

# The small engine that `training/` made and the package carries.
BUNDLED = Path(__file__).parents[1] / "bundled"
MANIFEST_NAME = "manifest.json"
CHECKSUM_NAME = "manifest.sha256"  # what `sha256sum manifest.json` prints
