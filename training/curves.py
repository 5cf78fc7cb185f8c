"""`python -m training.curves RUN_DIR OUT.png`: a run's losses over its steps, each as a moving mean."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray

from geopixel_edge.cli.command import run_command
from geopixel_edge.errors import OutputError

from .errors import DatasetError

matplotlib.use("Agg")
from matplotlib import pyplot

PANELS = (
    ("text", ("answer", "decision", "description")),
    ("masks", ("bce", "dice", "near", "selection")),
    ("encoders' heads", ("tokens", "pyramid")),
    ("language model's heads", ("places", "pointers", "looks", "names", "spots", "meaning", "prompt")),
)
WINDOW = 100


def read_curve(run: Path) -> dict[str, NDArray[np.float64]]:
    """Columns of `curve.jsonl`, NaN where a step did not measure something; DatasetError when there is none."""
    path = run / "curve.jsonl"
    try:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} is no curve ({error}); give the directory of a run") from None
    if not lines:
        raise DatasetError(f"{path} holds no step; give the directory of a run that has begun")
    names = {name for line in lines for name in line if name != "part"}
    return {name: np.array([line.get(name, np.nan) for line in lines], np.float64) for name in names}


def draw(curve: dict[str, NDArray[np.float64]], out: Path) -> None:
    """Write the picture; OutputError when it cannot be."""
    figure, axes = pyplot.subplots(1, len(PANELS), figsize=(4 * len(PANELS), 3.2), layout="constrained")
    for axis, (title, names) in zip(axes, PANELS, strict=True):
        for name in filter(curve.__contains__, names):
            values = np.where(curve[name] > 0, curve[name], np.nan)  # a loss of 0 was not measured in that step
            known = ~np.isnan(values)
            window = min(WINDOW, int(known.sum()))
            if window:
                mean = np.convolve(values[known], np.ones(window) / window, "valid")
                axis.plot(curve["step"][known][window - 1 :], mean, label=name)
        axis.set(title=title, xlabel="step", yscale="log")
        axis.grid(True, which="both", alpha=0.3)
        axis.legend()
    try:
        figure.savefig(out, dpi=80)
    except (OSError, ValueError) as error:
        raise OutputError(f"out={str(out)!r} cannot be written ({error}); give another place, ending in .png") from None


def _main(argv: list[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.curves", description=__doc__)
    parser.add_argument("run", type=Path, help="directory of a run")
    parser.add_argument("out", type=Path, help="picture to write")
    args = parser.parse_args(argv)
    draw(read_curve(args.run), args.out)
    return 0


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(lambda: _main(argv))


if __name__ == "__main__":
    sys.exit(main())
