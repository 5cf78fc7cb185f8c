"""The arrows of docs/design.md: who may import whom, where a library may be imported, and that nothing goes in circles.

Every import counts: at the top, inside a function, for a type checker alone, and by `importlib` with a plain name.
"""

from __future__ import annotations

import pytest

from ..support.imports import ROOMS, ROOT, graph, imported, imports, in_circles, modules

PACKAGE = "geopixel_edge"

# What any room may stand on.
BASE = "arrays checks errors json_text limits processes resources stop timings version"
# Room -> the rooms it may import besides itself, lowest first. A room is a file or folder of the package, or one file
# of a folder that stands higher than its neighbours. A line may name rooms above it, none below.
ARROWS = {
    "arrays": "",
    "errors": "",
    "limits": "",
    "timings": "",
    "version": "",
    "checks": "arrays errors limits",
    "json_text": "errors",
    "processes": "errors",
    "resources": "errors",
    "stop": "errors timings",
    "draft": "",
    "kernels": f"{BASE} _native",
    "masks": f"{BASE} kernels",
    "engine": BASE,
    "rasters": f"{BASE} kernels",
    "images": f"{BASE} rasters",
    "image_ref": f"{BASE} images rasters",
    "regions": f"{BASE} masks rasters",
    "document": f"{BASE} image_ref masks rasters regions",
    "writers": f"{BASE} document kernels masks rasters regions",
    "parts": f"{BASE} masks rasters writers",
    "interop": f"{BASE} masks regions writers",
    "answer": f"{BASE} document image_ref interop masks parts rasters regions writers",
    "runtimes": f"{BASE} engine",
    "memory": f"{BASE} engine runtimes",
    "blocks": f"{BASE} engine kernels masks runtimes",
    "text": f"{BASE} answer engine masks rasters",
    "memory.preview": f"{BASE} blocks engine images memory",
    "options": f"{BASE} text",
    "families": f"{BASE} blocks draft engine images text",
    "model": f"{BASE} blocks draft engine families images masks memory runtimes text",
    "engine.probes": f"{BASE} blocks engine memory model runtimes",
    "engine.golden": f"{BASE} blocks engine engine.probes families images memory model options runtimes",
    "engine.first_load": f"{BASE} engine engine.golden model",
    "scenes": f"{BASE} blocks engine images kernels masks memory memory.preview rasters writers",
    "turn": f"{BASE} answer draft options text",
    "question": f"{BASE} answer blocks draft families image_ref images memory model options text turn",
    "writing": f"{BASE} question answer blocks model runtimes",
    "session": f"{BASE} question answer blocks families images memory model options runtimes text turn writing",
    "batched": f"{BASE} question answer blocks memory model options runtimes session",
    "pipeline": (
        f"{BASE} answer batched engine engine.first_load images memory model options rasters runtimes scenes session "
        "turn"
    ),
    "serve": (
        f"{BASE} answer document engine images memory model options pipeline rasters runtimes session text writers"
    ),
    "build": f"{BASE} engine engine.first_load engine.golden memory model runtimes",
    "batch": f"{BASE} options pipeline rasters scenes session",
    "cli": (
        f"{BASE} answer batch build engine engine.first_load engine.golden families images kernels memory "
        "memory.preview model options pipeline rasters runtimes scenes serve session text turn writers"
    ),
    "__main__": "cli",
    "": f"{BASE} answer image_ref masks options pipeline scenes session turn",
}
# Rooms outside the package -> whom they may import at all.
OUTSIDE = {
    "export": {PACKAGE},
    "synthetic": {PACKAGE},
    "evaluate": {PACKAGE, "synthetic"},
    "annotate": {PACKAGE, "synthetic"},
    "training": {PACKAGE, "export", "synthetic", "evaluate"},
    "benchmarks": {PACKAGE, "export", "synthetic", "evaluate", "training"},
    "examples": {PACKAGE, "synthetic"},
}
# Library -> where in the package it may be imported.
LIBRARIES = {
    "onnxruntime": ("runtimes/",),
    **dict.fromkeys(("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"), ("runtimes/tensorrt", "build/")),
    "cuda": ("runtimes/cuda",),
    "rasterio": ("rasters/", "writers/"),
    "pyogrio": ("rasters/extra.py", "writers/"),
    "pyproj": ("rasters/extra.py",),
    "shapely": ("rasters/extra.py", "writers/"),
    "pyarrow": ("writers/", "batch/"),
    "ray": ("batch/",),
    "supervision": ("interop/", "answer.py"),
    **dict.fromkeys(("starlette", "uvicorn", "h11", "prometheus_client", "python_multipart"), ("serve/",)),
    **dict.fromkeys(("torch", "torchvision", "transformers", "onnx", "onnxscript", "safetensors"), ()),
}


def room_of(module: str) -> str:
    """The line of ARROWS that a module of the package belongs to; "" is the package's own file."""
    inside = module.removeprefix(PACKAGE).lstrip(".")
    while inside and inside not in ARROWS and "." in inside:
        inside = inside.rpartition(".")[0]
    return inside


# --- The arrows ----------------------------------------------------------------------------------------------------


def test_every_room_of_the_package_has_a_line() -> None:
    rooms = {room_of(name) for name in modules() if name.startswith(PACKAGE)} - {"_native"}
    assert rooms - ARROWS.keys() == set(), "say in ARROWS whom these may import"


def test_the_lines_lead_downwards() -> None:
    lines = list(ARROWS)
    for place, (room, allowed) in enumerate(ARROWS.items()):
        later = {one for one in allowed.split() if one in lines[place:]}
        assert room in BASE.split() or later == set(), f"{room} may import {later}, which stands above it"


@pytest.mark.parametrize("room", ARROWS, ids=lambda room: room or PACKAGE)
def test_a_room_imports_only_what_stands_below_it(room: str) -> None:
    allowed = {*ARROWS[room].split(), room}
    found = {
        f"{name} -> {target}"
        for name, targets in graph().items()
        if name.partition(".")[0] == PACKAGE and room_of(name) == room
        for target in targets
        if target.partition(".")[0] == PACKAGE and room_of(target) not in allowed
    }
    assert sorted(found) == []


@pytest.mark.parametrize("room", ROOMS)
def test_the_package_needs_no_other_room_and_the_others_only_theirs(room: str) -> None:
    allowed = {room, *OUTSIDE.get(room, set())}
    found = {
        f"{name} -> {target}"
        for name, names in imports().items()
        if name.partition(".")[0] == room
        for target in names
        if target.partition(".")[0] in {*ROOMS, "tests"} - allowed
    }
    assert sorted(found) == []


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_imported_in_its_place_alone(library: str) -> None:
    found = {
        modules()[name].relative_to(ROOT / PACKAGE).as_posix()
        for name, names in imports().items()
        if name.partition(".")[0] == PACKAGE and any(one.partition(".")[0] == library for one in names)
    }
    assert sorted(place for place in found if not place.startswith(LIBRARIES[library] or ("nowhere",))) == []


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "examples"])
def test_no_module_imports_in_a_circle(room: str) -> None:
    edges = {
        name: {target for target in targets if target.partition(".")[0] == room}
        for name, targets in graph().items()
        if name.partition(".")[0] == room
    }
    circles = in_circles(edges)
    assert sorted(f"{name} -> {', '.join(sorted(targets))}" for name, targets in circles.items()) == []


# --- The reading of sources ------------------------------------------------------------------------------------------

SOURCE = """
import os.path
from typing import TYPE_CHECKING
from . import limits
from ..answer import Answer
if TYPE_CHECKING:
    from .masks import Mask
def late():
    import torch.nn as nn
    import importlib
    importlib.import_module("onnx.helper")
    return __import__("rasterio")
"""


def test_every_kind_of_import_is_seen() -> None:
    found = imported(SOURCE, "geopixel_edge.text.assembler", False)
    assert found == {
        "os.path",
        "typing.TYPE_CHECKING",
        "geopixel_edge.text.limits",
        "geopixel_edge.answer.Answer",
        "geopixel_edge.text.masks.Mask",
        "torch.nn",
        "importlib",
        "onnx.helper",
        "rasterio",
    }
    assert "geopixel_edge.text.limits" in imported("from . import limits", "geopixel_edge.text", True)


def test_a_circle_is_found_and_what_leads_to_it_left_out() -> None:
    assert in_circles({"a": {"b"}, "b": {"c"}, "c": set()}) == {}
    assert in_circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == {"b": {"c"}, "c": {"b"}}


def test_rooms_are_named_by_the_longest_line() -> None:
    assert room_of("geopixel_edge.engine.golden") == "engine.golden"
    assert room_of("geopixel_edge.engine.manifest") == "engine"
    assert room_of("geopixel_edge.memory.preview") == "memory.preview"
    assert room_of("geopixel_edge.kernels.twins.masks") == "kernels"
    assert room_of("geopixel_edge") == ""
