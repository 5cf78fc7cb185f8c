"""What a run does: its scenes, and the phases in which the parts of the model learn one after the other."""

from __future__ import annotations

import enum
import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from geopixel_edge import limits
from geopixel_edge.checks import check_integer
from geopixel_edge.errors import CheckpointError, OptionError
from synthetic.scenes.generate import ANY_COLOUR_SEED, MAX_SIDE_PX, MIN_SIDE_PX, TUNING_SEED

MAX_COUNT = 100_000_000
RECIPES = Path(__file__).parent / "recipes"


class Part(enum.Enum):
    """What learns in a phase."""

    ENCODERS = "encoders"  # CLIP and SAM 2's encoder, from their teaching heads
    MASKS = "masks"  # the pixel decoder alone, from cached features and prompts made of the targets' fields
    READING = "reading"  # the language model, behind a CLIP that stays as it is
    GROUNDING = "grounding"  # every block but SAM 2's encoder, which stays as it is
    ALL = "all"


@dataclass(frozen=True)
class Phase:
    """`steps` of `batch` scenes in which `part` learns, at a rate that warms up and falls evenly from `rate` to
    `last_rate`; `questions` are asked about each scene and at most `masks` of it taught.

    For the part "masks": `kept_scenes` is how many scenes' features are cached, from which each step draws; `anew`: the
    decoder starts from fresh weights; `own_states`: it is prompted by the language model's own `[SEG]` states, as far
    as they point at their masks, not by the fields of the prompt targets.
    """

    part: Part
    steps: int
    rate: float
    last_rate: float = 0.0
    batch: int = 2
    questions: int = 16
    masks: int = 12
    kept_scenes: int = 0
    anew: bool = False
    own_states: bool = False

    def rate_at(self, step: int, warm_steps: int) -> float:
        """The rate of a step counted from 0."""
        falling = self.rate + (self.last_rate - self.rate) * step / self.steps
        return falling * min(1.0, (step + 1) / warm_steps)


@dataclass(frozen=True)
class Plan:
    """Stored with a run; a resumed run must have the same. `scenes` come in the colours of their classes, and
    `any_colour_scenes` in any. `start`: a checkpoint whose weights, sizes and tokenizer a run begins with, and the
    teaching heads beside it."""

    phases: tuple[Phase, ...]
    scenes: int
    side_px: int
    hd_num: int
    processes: int
    start: str | None = None
    any_colour_scenes: int = 0

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of all scenes of a round."""
        return *range(self.scenes), *range(ANY_COLOUR_SEED, ANY_COLOUR_SEED + self.any_colour_scenes)

    def as_json(self) -> dict[str, Any]:
        """As it is stored."""
        phases = [{**asdict(phase), "part": phase.part.value} for phase in self.phases]
        return {**asdict(self), "phases": phases}


def read_recipe(path: Path, processes: int, start: str | None = None) -> Plan:
    """A plan from a JSON file with `scenes`, `side_px`, `hd_num` and `phases`; OptionError names what is wrong."""
    try:
        raw = json.loads(path.read_text())
        phases = tuple(Phase(**{**phase, "part": Part(phase["part"])}) for phase in raw.pop("phases"))
        return Plan(phases=phases, processes=processes, start=start, **raw)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise OptionError(f"recipe={str(path)!r} is no recipe ({error}); see {RECIPES / 'small.json'}") from None


def store_plan(run: Path, wanted: dict[str, Any]) -> None:
    """A resumed run must do what it was begun to do, or its curve would lie; OptionError names what differs."""
    path = run / "plan.json"
    if path.is_file():
        try:
            stored = dict(json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise CheckpointError(f"{path} is no plan ({error}); begin in another directory") from None
        if other := sorted(name for name in wanted if stored.get(name) != wanted[name]):
            said = ", ".join(f"{name}={stored.get(name)!r}" for name in other)
            raise OptionError(f"{path} says {said}; give the same recipe and options, or another directory")
    path.write_text(json.dumps(wanted, indent=1))


def check_plan(plan: Plan, device: str) -> None:
    """OptionError for what no run can do."""
    check_integer("processes", plan.processes, 1, MAX_COUNT)
    # Those from TUNING_SEED on are never trained on.
    check_integer("scenes", plan.scenes, 1, ANY_COLOUR_SEED)
    check_integer("any_colour_scenes", plan.any_colour_scenes, 0, TUNING_SEED - ANY_COLOUR_SEED)
    check_integer("side_px", plan.side_px, MIN_SIDE_PX, MAX_SIDE_PX)
    check_integer("hd_num", plan.hd_num, 1, limits.MAX_HD_NUM)
    if not plan.phases:
        raise OptionError("phases=[] teach nothing; give at least one")
    for phase in plan.phases:
        _check_phase(phase, plan.processes)
    if plan.processes > 1 and device != "cpu":
        raise OptionError(f"processes={plan.processes} on device={device!r}: only a CPU is shared; give 1")
    check_device(device)


def check_device(device: str) -> None:
    """OptionError for a device that torch cannot use."""
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise OptionError(f"device={device!r} cannot be used ({reason}); give 'cpu' or a GPU that is there") from None


def _check_phase(phase: Phase, processes: int) -> None:
    low = {"kept_scenes": processes if phase.part is Part.MASKS else 0}
    for field in fields(phase):
        if field.type == "int":
            check_integer(field.name, getattr(phase, field.name), low.get(field.name, 1), MAX_COUNT)
        elif field.type == "bool" and not isinstance(getattr(phase, field.name), bool):
            raise OptionError(f"{field.name}={getattr(phase, field.name)!r} is no yes or no; give true or false")
    for name, least in (("rate", 1e-9), ("last_rate", 0.0)):
        value = getattr(phase, name)
        if not (isinstance(value, int | float) and math.isfinite(value) and least <= value <= 1):
            raise OptionError(f"{name}={value!r} is out of range; give a number from {least} to 1")
    for name in ("anew", "own_states"):
        if getattr(phase, name) and phase.part is not Part.MASKS:
            raise OptionError(f"{name}=True goes with part='masks', not {phase.part.value!r}; leave it out")
    if phase.batch % processes:
        raise OptionError(f"batch={phase.batch} is no multiple of processes={processes}; make it one")
