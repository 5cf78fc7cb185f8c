"""Power, temperature and clocks while something runs: NVML on a GPU card, the INA3221 monitors of a Jetson in sysfs."""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

SAMPLE_S = 0.02
_HWMON = Path("/sys/bus/i2c/drivers/ina3221")
# Orin NX and Nano have a rail of the whole module. AGX Orin has none: its rails add up, but for one behind another.
_WHOLE_MODULE = "VDD_IN"
_NOT_ADDED = ("NC", "VDDQ_VDD2_1V8AO")


@dataclass(frozen=True)
class Sample:
    """Watts now; degrees Celsius and MHz where they are told."""

    power_w: float
    temperature_c: float | None = None
    clock_mhz: float | None = None
    throttled: bool = False


class Reader(Protocol):
    """A source of samples."""

    name: str

    def sample(self) -> Sample:
        """One reading."""
        ...


class Nvml:
    """The driver's own library, by `nvidia-ml-py`. Its power is an average of the last moments on recent cards."""

    name = "NVML"

    def __init__(self, index: int) -> None:
        import pynvml

        pynvml.nvmlInit()
        self._nvml: Any = pynvml
        self._handle = pynvml.nvmlDeviceGetHandleByIndex(index)

    def sample(self) -> Sample:
        """Of the whole card."""
        nvml, handle = self._nvml, self._handle
        reasons = nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
        idle = nvml.nvmlClocksThrottleReasonGpuIdle | nvml.nvmlClocksThrottleReasonApplicationsClocksSetting
        return Sample(
            nvml.nvmlDeviceGetPowerUsage(handle) / 1000,
            nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
            nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
            bool(reasons & ~idle),
        )


class Ina3221:
    """A Jetson's monitors: millivolts times milliamperes of each rail, readable without root."""

    name = "INA3221"

    def __init__(self, root: Path = _HWMON) -> None:
        rails = [
            (label.read_text().strip(), label.parent, label.name.removeprefix("in").removesuffix("_label"))
            for label in sorted(root.glob("*/hwmon/hwmon*/in*_label"))
        ]
        usable = [rail for rail in rails if rail[0] not in _NOT_ADDED and (rail[1] / f"curr{rail[2]}_input").is_file()]
        if not usable:
            raise FileNotFoundError(f"{root} has no rail with a current")
        self._rails = [rail for rail in usable if rail[0] == _WHOLE_MODULE] or usable

    def sample(self) -> Sample:
        """Of the whole module, or of all its rails where none stands for it."""
        watts = 0.0
        for _, place, number in self._rails:
            millivolts = int((place / f"in{number}_input").read_text())
            watts += millivolts * int((place / f"curr{number}_input").read_text()) / 1e6
        return Sample(watts)


def find_reader(index: int = 0, root: Path = _HWMON) -> Reader | None:
    """What this machine has; None where nothing tells its power, which is then "not measured"."""
    try:
        return Ina3221(root)
    except (OSError, ValueError):
        pass
    try:
        return Nvml(index)
    except Exception:  # the package is absent, or NVML's own error: there is no card
        return None


class Energy:
    """Samples while the context is open; joules by the trapezoid rule, None where no reader is."""

    def __init__(self, reader: Reader | None) -> None:
        self._reader, self._stop = reader, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.samples: list[tuple[float, Sample]] = []

    def _run(self) -> None:
        assert self._reader is not None
        while True:
            self.samples.append((time.perf_counter(), self._reader.sample()))
            if self._stop.wait(SAMPLE_S):
                self.samples.append((time.perf_counter(), self._reader.sample()))
                return

    def __enter__(self) -> Energy:
        if self._reader is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reader is not None:
            self._stop.set()
            self._thread.join()

    @property
    def joules(self) -> float | None:
        """Over the whole time."""
        if len(self.samples) < 2:
            return None
        pairs = zip(self.samples, self.samples[1:], strict=False)
        return sum((b - a) * (one.power_w + two.power_w) / 2 for (a, one), (b, two) in pairs)

    def summary(self) -> dict[str, Any]:
        """Plain values for JSON."""
        if self._reader is None or not self.samples:
            return {"source": "not measured"}
        found = [sample for _, sample in self.samples]
        hot = [one.temperature_c for one in found if one.temperature_c is not None]
        clocks = [one.clock_mhz for one in found if one.clock_mhz is not None]
        return {
            "source": self._reader.name,
            "joules": self.joules,
            "median_w": statistics.median(one.power_w for one in found),
            "peak_c": max(hot, default=None),
            "median_clock_mhz": statistics.median(clocks) if clocks else None,
            "throttled": any(one.throttled for one in found),
            "samples": len(found),
        }
