"""A Jetson's power, temperature, clock and throttling from sysfs: without root, and without a daemon."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SYSFS = Path("/sys")
# Orin NX and Nano have a rail of the whole module. AGX Orin has none: its rails add up, but for one behind another.
_WHOLE_MODULE = "VDD_IN"
_NOT_ADDED = ("NC", "VDDQ_VDD2_1V8AO")
_GPU_ZONE, _GPU_ALERT = "gpu-thermal", "gpu-throttle-alert"


@dataclass(frozen=True)
class Sample:
    """Watts now; degrees Celsius and MHz where they are told."""

    power_w: float
    temperature_c: float | None = None
    clock_mhz: float | None = None
    throttled: bool = False


class Ina3221:
    """A Jetson's monitors: millivolts times milliamperes of each rail, and what else its kernel tells of the GPU.

    It is throttled while its thermal alert is raised, and once an over-current event was counted since this was made.
    FileNotFoundError where there is no monitor.
    """

    name = "INA3221"

    def __init__(self, root: Path = SYSFS) -> None:
        monitors = root / "bus/i2c/drivers/ina3221"
        rails = [
            (label.read_text().strip(), label.parent, label.name.removeprefix("in").removesuffix("_label"))
            for label in sorted(monitors.glob("*/hwmon/hwmon*/in*_label"))
        ]
        usable = [rail for rail in rails if rail[0] not in _NOT_ADDED and (rail[1] / f"curr{rail[2]}_input").is_file()]
        if not usable:
            raise FileNotFoundError(f"{monitors} has no rail with a current")
        self._rails = [rail for rail in usable if rail[0] == _WHOLE_MODULE] or usable
        thermal = root / "class/thermal"
        self._temperature = _named(thermal, "thermal_zone*", _GPU_ZONE, "temp")
        self._alert = _named(thermal, "cooling_device*", _GPU_ALERT, "cur_state")
        self._clock = next(iter(sorted((root / "class/devfreq").glob("*gpu*/cur_freq"))), None)
        self._events = sorted((root / "devices/platform").glob("*soctherm-oc-event*/hwmon/hwmon*/oc*_event_cnt"))
        self._counted = self._count()

    def sample(self) -> Sample:
        """Of the whole module, or of all its rails where none stands for it."""
        watts = 0.0
        for _, place, number in self._rails:
            millivolts = int((place / f"in{number}_input").read_text())
            watts += millivolts * int((place / f"curr{number}_input").read_text()) / 1e6
        millidegrees, hertz = _number(self._temperature), _number(self._clock)
        return Sample(
            watts,
            None if millidegrees is None else millidegrees / 1e3,
            None if hertz is None else hertz / 1e6,
            bool(_number(self._alert)) or self._count() > self._counted,
        )

    def _count(self) -> int:
        return sum(_number(path) or 0 for path in self._events)


def _named(root: Path, pattern: str, kind: str, name: str) -> Path | None:
    """The file `name` beside the one `type` file that says `kind`."""
    kinds = (path for path in sorted(root.glob(f"{pattern}/type")) if path.read_text().strip() == kind)
    return next((path.with_name(name) for path in kinds), None)


def _number(path: Path | None) -> int | None:
    """None where the file is absent, or its sensor is switched off, as a GPU's at rest may be."""
    if path is None:
        return None
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
