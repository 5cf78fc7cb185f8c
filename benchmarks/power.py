"""Power, temperature and clocks while something runs: NVML on a GPU card, the INA3221 monitors of a Jetson in sysfs."""

from __future__ import annotations

import statistics
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from .jetson_power import SYSFS, Ina3221, Sample

SAMPLE_S = 0.02


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


def find_reader(index: int = 0, root: Path = SYSFS) -> Reader | None:
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

    def each(self, answers: int, tokens: int) -> dict[str, Any]:
        """The summary, with the joules of an image and of a token where so many were answered and written."""
        joules = self.joules
        known = joules is not None and answers > 0 and tokens > 0
        return {
            **self.summary(),
            "joules_per_image": joules / answers if joules is not None and known else None,
            "joules_per_token": joules / tokens if joules is not None and known else None,
        }

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
