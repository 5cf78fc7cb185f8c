"""A Ray cluster: joined or started, and what an engine asks it for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..checks import check_integer
from ..errors import RuntimeUnavailableError, reason

REMEDY = "pip install 'geopixel-edge[cluster]'"
# What an engine asks Ray for where cores are few: two whole ones on two cores would leave none to read with.
SHARE_OF_CPUS = 0.5
MAX_WORKERS = 10_000


@dataclass(frozen=True)
class Share:
    """Of each of `workers` engines: its threads, and the CPUs and GPUs that it asks Ray for."""

    workers: int
    threads: int
    cpus: float
    gpus: float


@contextmanager
def joined(address: str | None) -> Iterator[Any]:
    """The module `ray`, connected to the cluster at `address`; None starts one on this machine and ends it.

    A connection that is there already is used and left. RuntimeUnavailableError without Ray, or where the cluster
    cannot be reached.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise RuntimeUnavailableError(f"Ray Data cannot be imported ({reason(error)}); {REMEDY}") from None
    mine = not ray.is_initialized()
    if mine:
        _connect(ray, address)
    try:
        yield ray
    finally:
        if mine:
            ray.shutdown()


def share_of(ray: Any, workers: int, threads: int | None, gpus: float | None, device: str) -> Share:
    """What each of `workers` engines gets. OptionError for no number of workers.

    `threads` are by default its part of the cores; `gpus` one where the cluster has one for each and `device` takes it.
    """
    workers = check_integer("workers", workers, 1, MAX_WORKERS)
    there = ray.cluster_resources()
    cores = float(there.get("CPU", 1.0))
    threads = threads or max(1, int(cores // workers))
    if gpus is None:
        gpus = 1.0 if device.startswith("cuda") or (device == "auto" and there.get("GPU", 0.0) >= workers) else 0.0
    return Share(workers, threads, min(float(threads), SHARE_OF_CPUS * cores / workers), gpus)


def _connect(ray: Any, address: str | None) -> None:
    try:
        if address is None:
            ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="warning")
        else:
            ray.init(address=address, log_to_driver=False, logging_level="warning")
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise RuntimeUnavailableError(
            f"ray={address or 'local'!r} cannot be reached ({reason(error)}); start it with `ray start --head`, or "
            "leave the address out"
        ) from None
