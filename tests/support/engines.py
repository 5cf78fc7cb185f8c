"""Copies of an exported engine to damage: unchanged files are hard links, and the manifest can be made to fit."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from geopixel_edge.engine.digests import describe_file
from geopixel_edge.engine.directory import read_manifest, write_manifest
from geopixel_edge.engine.manifest import Manifest


def linked(source: Path, parent: Path) -> Path:
    """`parent/engine` with the files of `source`; replace them with `put`, never in place."""
    target = parent / "engine"
    shutil.copytree(source, target, copy_function=os.link)
    return target


def put(root: Path, name: str, data: bytes) -> None:
    """Replace or add a file."""
    (root / name).unlink(missing_ok=True)
    (root / name).write_bytes(data)


def sign(root: Path, change: Callable[[dict[str, Any]], object] = lambda manifest: None) -> None:
    """Write a manifest whose sizes, hashes and checksum fit the files, as somebody who means harm would."""
    manifest = msgspec.to_builtins(read_manifest(root))
    change(manifest)

    def fit(value: Any) -> None:
        if isinstance(value, dict) and {"path", "bytes", "sha256"} <= value.keys():
            value.update(msgspec.to_builtins(describe_file(root, value["path"])))
        elif isinstance(value, (dict, list, tuple)):
            for part in value.values() if isinstance(value, dict) else value:
                fit(part)

    fit(manifest)
    for name in ("manifest.json", "manifest.sha256"):
        (root / name).unlink()
    write_manifest(root, msgspec.convert(manifest, Manifest))
