"""Tests of the package, the exporter, training, evaluation and annotation.

Where several processes share them out, each keeps to one core: threads that wait by spinning would take the others'.
"""

import os

if "PYTEST_XDIST_WORKER" in os.environ and hasattr(os, "sched_setaffinity"):
    _CORES = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {_CORES[int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw")) % len(_CORES)]})
