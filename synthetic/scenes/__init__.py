"""Aerial scenes made from a seed, with exact masks. `make_scene(seed)` is all a trainer needs."""

from __future__ import annotations

from .generate import CLASS_NAMES, EVALUATION_SEED, GENERATOR_VERSION, HELD_OUT_COLOURS, KINDS, make_scene
from .scene import Instance, Scene

__all__ = [
    "CLASS_NAMES",
    "EVALUATION_SEED",
    "GENERATOR_VERSION",
    "HELD_OUT_COLOURS",
    "KINDS",
    "Instance",
    "Scene",
    "make_scene",
]
