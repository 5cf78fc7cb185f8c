"""A pipeline whose blocks write down what went in and what came out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from geopixel_edge.arrays import Array
from geopixel_edge.engine.manifest import BlockSpec
from geopixel_edge.pipeline import Pipeline
from geopixel_edge.runtimes import BlockRunner, State

BLOCKS = ("vision_encoder", "language_model", "grounding_encoder", "pixel_decoder")


@dataclass
class Recorder:
    """Stands before a block's runner and keeps copies of its inputs and outputs."""

    runner: BlockRunner
    feeds: list[dict[str, Array]] = field(default_factory=list)
    outputs: list[dict[str, Array]] = field(default_factory=list)

    @property
    def spec(self) -> BlockSpec:
        return self.runner.spec

    def run(self, feeds: Mapping[str, Array], state: State | None = None) -> dict[str, Array]:
        self.feeds.append({name: np.array(value) for name, value in feeds.items()})
        self.outputs.append(self.runner.run(feeds, state))
        return self.outputs[-1]

    def new_state(self, pairs: Mapping[str, str], dims: Mapping[str, int]) -> State:
        return self.runner.new_state(pairs, dims)


@contextmanager
def recorded(pipeline: Pipeline) -> Iterator[dict[str, Recorder]]:
    """Recorders in front of all four exported blocks while the context is open."""
    owners = {name: getattr(pipeline, name) for name in BLOCKS}
    recorders = {name: Recorder(owner.runner) for name, owner in owners.items()}
    for name, owner in owners.items():
        owner.runner = recorders[name]
    try:
        yield recorders
    finally:
        for name, owner in owners.items():
            owner.runner = recorders[name].runner
