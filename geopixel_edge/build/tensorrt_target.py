"""For which GPU plans are built, and what the library at hand can do."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import OptionError, RuntimeUnavailableError
from ..runtimes.cuda import compute_capability
from ..runtimes.tensorrt_import import release_of
from .tensorrt_block import Outcome

_ATTENTION = (10, 15)  # TensorRT's first release whose parser takes the portable form as it is
_OLDEST = (10, 3)


@dataclass(frozen=True)
class Library:
    """A TensorRT, the compute capability it builds for, and whether that is this machine's own GPU."""

    runtime: str
    version: str
    sm: int
    is_here: bool

    @property
    def name(self) -> str:
        """As people call it."""
        return f"{'TensorRT-RTX' if self.runtime == 'tensorrt-rtx' else 'TensorRT'} {self.version}"

    @property
    def has_attention(self) -> bool:
        """Whether its parser knows attention and a cache that is written in place."""
        return self.runtime == "tensorrt-rtx" or release_of(self.version) >= _ATTENTION


def choose(runtime: str, sm: int | None, found: Outcome) -> Library:
    """The library with its target: `sm`, or this machine's GPU.

    OptionError for a target that it does not build for; RuntimeUnavailableError where there is no GPU to go by.
    """
    here = compute_capability()
    if runtime == "tensorrt" and release_of(found.version) < _OLDEST:
        raise RuntimeUnavailableError(f"TensorRT {found.version} is too old; install 10.3 or newer (JetPack 6.1)")
    if found.targets:
        return _ahead_of_time(runtime, sm, here, found)
    if here is None:
        raise RuntimeUnavailableError(
            f"TensorRT {found.version} builds for the GPU of its machine alone, and none is found here (nor can one be "
            "without `pip install cuda-core`); build on the board"
        )
    if sm not in (None, here):
        raise OptionError(
            f"sm={sm}: this machine's GPU is {here}, and TensorRT builds for no other; build on the board"
        )
    return Library(runtime, found.version, here, True)


def _ahead_of_time(runtime: str, sm: int | None, here: int | None, found: Outcome) -> Library:
    known = ", ".join(map(str, found.targets))
    if sm is None and here is None:
        raise RuntimeUnavailableError(f"no GPU is found here: say which the plans are for, one of --sm {known}")
    target = here if sm is None else sm
    assert target is not None
    if target not in found.targets:
        raise OptionError(
            f"sm={target}: TensorRT-RTX {found.version} builds for {known} alone; build with --runtime tensorrt on the "
            "machine whose GPU it is"
        )
    return Library(runtime, found.version, target, target == here)
