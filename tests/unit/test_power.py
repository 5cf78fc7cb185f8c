"""Watts of a Jetson are read from its monitors in sysfs, without root; a machine without any is not measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import machine
from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu.report import environment_text, power_text
from benchmarks.jetson_power import Ina3221, Sample
from benchmarks.latency_report import energy_text
from benchmarks.power import Energy, find_reader
from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.directory import read_manifest

# label -> (millivolts, milliamperes), by monitor
AGX_ORIN = {
    "1-0040": {"VDD_GPU_SOC": (19_000, 500), "VDD_CPU_CV": (19_000, 200), "VIN_SYS_5V0": (5_000, 900)},
    "1-0041": {"NC": (0, 0), "VDDQ_VDD2_1V8AO": (5_000, 300)},
}
ORIN_NX = {"1-0040": {"VDD_IN": (19_000, 600), "VDD_CPU_GPU_CV": (19_000, 200), "VDD_SOC": (19_000, 100)}}
ORIN_NANO = {"1-0040": {"VDD_IN": (5_000, 1_300), "VDD_CPU_GPU_CV": (5_000, 400), "VDD_SOC": (5_000, 250)}}


def tree(root: Path, monitors: dict[str, dict[str, tuple[int, int]]]) -> Path:
    """A Jetson's sysfs: monitors, the GPU's thermal zone, alert and clock, and over-current events."""
    for monitor, rails in monitors.items():
        place = root / "bus/i2c/drivers/ina3221" / monitor / "hwmon" / "hwmon3"
        place.mkdir(parents=True)
        for number, (label, (millivolts, milliamperes)) in enumerate(rails.items(), 1):
            (place / f"in{number}_label").write_text(f"{label}\n")
            (place / f"in{number}_input").write_text(f"{millivolts}\n")
            (place / f"curr{number}_input").write_text(f"{milliamperes}\n")
    files = {
        "class/thermal/thermal_zone0/type": "cpu-thermal",
        "class/thermal/thermal_zone0/temp": "48000",
        "class/thermal/thermal_zone1/type": "gpu-thermal",
        "class/thermal/thermal_zone1/temp": "51500",
        "class/thermal/cooling_device4/type": "gpu-throttle-alert",
        "class/thermal/cooling_device4/cur_state": "0",
        "class/devfreq/17000000.gpu/cur_freq": "918000000",
        "devices/platform/soctherm-oc-event/hwmon/hwmon2/oc1_event_cnt": "3",
        "devices/platform/soctherm-oc-event/hwmon/hwmon2/oc3_event_cnt": "0",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    return root


@pytest.mark.parametrize(("board", "watts"), [(AGX_ORIN, 9.5 + 3.8 + 4.5), (ORIN_NX, 11.4), (ORIN_NANO, 6.5)])
def test_the_whole_module(tmp_path: Path, board: dict[str, dict[str, tuple[int, int]]], watts: float) -> None:
    assert Ina3221(tree(tmp_path, board)).sample().power_w == pytest.approx(watts)
    reader = find_reader(root=tmp_path)
    assert reader is not None
    assert reader.name == "INA3221"


@pytest.mark.parametrize("board", [AGX_ORIN, ORIN_NX, ORIN_NANO])
def test_heat_clock_and_throttling(tmp_path: Path, board: dict[str, dict[str, tuple[int, int]]]) -> None:
    reader = Ina3221(tree(tmp_path, board))
    found = reader.sample()
    assert (found.temperature_c, found.clock_mhz, found.throttled) == (51.5, 918.0, False)
    alert = tmp_path / "class/thermal/cooling_device4/cur_state"
    alert.write_text("1")
    assert reader.sample().throttled
    alert.write_text("0")
    assert not reader.sample().throttled
    (tmp_path / "devices/platform/soctherm-oc-event/hwmon/hwmon2/oc3_event_cnt").write_text("2")
    assert reader.sample().throttled
    assert not Ina3221(tmp_path).sample().throttled, "events of before are not this run's"
    (tmp_path / "class/devfreq/17000000.gpu/cur_freq").unlink()
    (tmp_path / "class/thermal/thermal_zone1/temp").write_text("")
    assert Ina3221(tmp_path).sample().clock_mhz is None
    assert reader.sample().temperature_c is None


def test_a_machine_without_monitors_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    assert find_reader(root=tmp_path) is None
    with Energy(None) as energy:
        pass
    assert energy.joules is None
    assert energy.summary() == {"source": "not measured"}
    each = energy.each(3, 60)
    assert each == {"source": "not measured", "joules_per_image": None, "joules_per_token": None}
    assert (energy_text(each), power_text(each)) == ("not measured", "not measured")


def test_joules_are_watts_over_time() -> None:
    class Steady:
        name = "steady"

        def sample(self) -> Sample:
            return Sample(5.0, 40.0, 1000.0)

    with Energy(Steady()) as energy:
        pass
    (start, _), (stop, _) = energy.samples[0], energy.samples[-1]
    assert energy.joules == pytest.approx(5.0 * (stop - start))
    assert energy.summary()["median_w"] == 5.0
    each = energy.each(2, 10)
    assert energy.joules is not None
    assert (each["joules_per_image"], each["joules_per_token"]) == (energy.joules / 2, energy.joules / 10)
    assert "5.0 W by steady" in energy_text(each)
    assert "1000 MHz, at most 40 degrees Celsius, not throttled" in power_text(each)
    assert energy.each(0, 0)["joules_per_image"] is None


def test_a_card_is_asked_through_its_drivers_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import ModuleType

    reasons = {"now": 1}
    module = ModuleType("pynvml")
    vars(module).update(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetCurrentClocksThrottleReasons=lambda handle: reasons["now"],
        nvmlClocksThrottleReasonGpuIdle=1,
        nvmlClocksThrottleReasonApplicationsClocksSetting=2,
        nvmlDeviceGetPowerUsage=lambda handle: 300_000 + handle,
        nvmlDeviceGetTemperature=lambda handle, kind: 61,
        NVML_TEMPERATURE_GPU=0,
        nvmlDeviceGetClockInfo=lambda handle, kind: 1755,
        NVML_CLOCK_SM=1,
    )
    monkeypatch.setitem(__import__("sys").modules, "pynvml", module)
    reader = find_reader(2, tmp_path)
    assert reader is not None
    assert reader.sample() == Sample(300.002, 61, 1755, False)
    reasons["now"] = 64
    assert reader.sample().throttled


@pytest.mark.parametrize("argv", [["engine", "--against", "ort"], ["engine", "--against", "--onnx", "engine"]])
def test_a_peer_and_its_engine_go_together(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        gpu.main(argv)
    assert "--against ort and --onnx go together" in capsys.readouterr().err


def test_a_benchmark_says_what_it_ran_on() -> None:
    assert set(machine.runtimes(read_manifest(BUNDLED))) == {"onnxruntime"}
    found = machine.gpu_machine()
    assert found.keys() == {"driver", "cuda", "gpus", "board"}
    orin = {"name": "Orin", "sm": 87, "total_bytes": 1, "integrated": True}
    board = {"model": "AGX Orin", "l4t": "36.4.3", "jetpack": "6.2", "power_mode": "30W (2)"}
    told = environment_text(
        {"device": "cuda: it was asked for", **found, "cuda": [12, 6], "gpus": [orin], "board": board}
    )
    assert told.endswith("cuda 12.6, gpus Orin, board AGX Orin, power mode 30W (2)")
