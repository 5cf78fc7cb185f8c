"""An engine that rounds no activations for a while: what is left between it and torch is float32's noise."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from geopixel_edge.engine.digests import describe_file
from geopixel_edge.engine.directory import read_manifest, write_manifest
from geopixel_edge.engine.precision import EXACT
from geopixel_edge.runtimes.onnx_edit import exact


@contextlib.contextmanager
def exact_arithmetic(root: Path) -> Iterator[None]:
    """Products that round their activations take them as they are; files and manifest are put back at the end."""
    manifest = read_manifest(root)
    blocks, kept = dict(manifest.blocks), {}
    for name, block in manifest.blocks.items():
        if block.precision.compute == "int8":
            graph, *data = block.files
            path = root / graph.path
            kept[path] = path.read_bytes()
            path.write_bytes(exact(kept[path]))
            precision = msgspec.structs.replace(block.precision, ort_options=EXACT)
            files = (describe_file(root, graph.path), *data)
            blocks[name] = msgspec.structs.replace(block, precision=precision, files=files)
    write_manifest(root, msgspec.structs.replace(manifest, blocks=blocks))
    try:
        yield
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
        write_manifest(root, manifest)
