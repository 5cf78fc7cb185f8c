"""What an engine may take: what was allowed, and on a GPU never more than it has free."""

from __future__ import annotations

from dataclasses import dataclass

from ..engine.manifest import Manifest
from ..errors import MemoryBudgetError
from ..runtimes import Device
from .plan import Plan, Request, make_plan


@dataclass(frozen=True)
class Budget:
    """`allowed_bytes`: None is no limit. `free_bytes`: of a GPU before anything was loaded; None on the host."""

    allowed_bytes: int | None
    free_bytes: int | None
    place: str

    @classmethod
    def of(cls, device: Device, allowed_bytes: int | None) -> Budget:
        """For an engine that is about to be loaded on a device."""
        free = None if device.kind == "cpu" else device.free_bytes()
        return cls(allowed_bytes, free, f"{device.kind}:{device.index}")

    def plan(self, manifest: Manifest, request: Request, bytes_now: int | None = None) -> Plan:
        """How a request fits, or how it fits `bytes_now`; MemoryBudgetError, before anything is loaded."""
        wanted = bytes_now or self.allowed_bytes
        if self.free_bytes is None or (wanted is not None and wanted <= self.free_bytes):
            return make_plan(manifest, request, wanted)
        try:
            return make_plan(manifest, request, self.free_bytes)
        except MemoryBudgetError as error:
            told = f"device={self.place!r} has {self.free_bytes / 1e6:.1f} MB free"
            raise MemoryBudgetError(f"{told}: {error}; or free memory that other programs hold there") from None
