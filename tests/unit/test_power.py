"""Watts of a Jetson are read from its monitors in sysfs, without root; a machine without any is not measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.gpu.power import Energy, Ina3221, Sample, find_reader

# label -> (millivolts, milliamperes), by monitor
AGX_ORIN = {
    "1-0040": {"VDD_GPU_SOC": (19_000, 500), "VDD_CPU_CV": (19_000, 200), "VIN_SYS_5V0": (5_000, 900)},
    "1-0041": {"NC": (0, 0), "VDDQ_VDD2_1V8AO": (5_000, 300)},
}
ORIN_NX = {"1-0040": {"VDD_IN": (19_000, 600), "VDD_CPU_GPU_CV": (19_000, 200), "VDD_SOC": (19_000, 100)}}
ORIN_NANO = {"1-0040": {"VDD_IN": (5_000, 1_300), "VDD_CPU_GPU_CV": (5_000, 400), "VDD_SOC": (5_000, 250)}}


def tree(root: Path, monitors: dict[str, dict[str, tuple[int, int]]]) -> Path:
    for monitor, rails in monitors.items():
        place = root / monitor / "hwmon" / "hwmon3"
        place.mkdir(parents=True)
        for number, (label, (millivolts, milliamperes)) in enumerate(rails.items(), 1):
            (place / f"in{number}_label").write_text(f"{label}\n")
            (place / f"in{number}_input").write_text(f"{millivolts}\n")
            (place / f"curr{number}_input").write_text(f"{milliamperes}\n")
    return root


@pytest.mark.parametrize(("board", "watts"), [(AGX_ORIN, 9.5 + 3.8 + 4.5), (ORIN_NX, 11.4), (ORIN_NANO, 6.5)])
def test_the_whole_module(tmp_path: Path, board: dict[str, dict[str, tuple[int, int]]], watts: float) -> None:
    assert Ina3221(tree(tmp_path, board)).sample().power_w == pytest.approx(watts)
    reader = find_reader(root=tmp_path)
    assert reader is not None
    assert reader.name == "INA3221"


def test_a_machine_without_monitors_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    assert find_reader(root=tmp_path) is None
    with Energy(None) as energy:
        pass
    assert energy.joules is None
    assert energy.summary() == {"source": "not measured"}


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
