"""A model whose blocks write down what went in and what came out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from geopixel_edge.arrays import Array
from geopixel_edge.engine.manifest import BlockSpec
from geopixel_edge.pipeline import Pipeline
from geopixel_edge.runtimes import NONE, Device, Runner, Step, Tensor

BLOCKS = ("vision_encoder", "language_model", "grounding_encoder", "pixel_decoder")


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Array]:
    return {name: np.array(tensor.numpy()) for name, tensor in tensors.items() if not name.startswith("past_")}


@dataclass(eq=False)
class Recorder:
    """Stands before a block's runner and keeps copies of its inputs and outputs, caches excepted."""

    runner: Runner
    feeds: list[dict[str, Array]] = field(default_factory=list)
    outputs: list[dict[str, Array]] = field(default_factory=list)

    @property
    def spec(self) -> BlockSpec:
        return self.runner.spec

    @property
    def device(self) -> Device:
        return self.runner.device

    def run(
        self, feeds: Mapping[str, Tensor], into: Mapping[str, Tensor] = NONE, more_follow: bool = False
    ) -> dict[str, Tensor]:
        self.feeds.append(_copies(feeds))
        outputs = self.runner.run(feeds, into, more_follow)
        self.outputs.append(_copies(outputs))
        return outputs

    def give_back(self, feeds: Mapping[str, Tensor]) -> None:
        self.runner.give_back(feeds)

    def bind(self, feeds: Mapping[str, Tensor], into: Mapping[str, Tensor] = NONE) -> Step:
        return RecordedStep(self, self.runner.bind(feeds, into))

    def close(self) -> None:
        self.runner.close()


class RecordedStep:
    """A bound run that writes down what it was fed each time."""

    def __init__(self, recorder: Recorder, step: Step) -> None:
        self._recorder, self._step = recorder, step
        self.feeds, self.outputs = step.feeds, step.outputs

    def run(self) -> None:
        self._recorder.feeds.append(_copies(self.feeds))
        self._step.run()
        self._recorder.outputs.append(_copies(self.outputs))


@contextmanager
def recorded(pipeline: Pipeline) -> Iterator[dict[str, Recorder]]:
    """Recorders in front of all four exported blocks while the context is open."""
    runners = pipeline.model.residency.load(frozenset(BLOCKS))
    assert isinstance(runners, dict)
    before = dict(runners)
    recorders = {name: Recorder(runner) for name, runner in before.items()}
    runners.update(recorders)
    try:
        yield recorders
    finally:
        runners.update(before)
