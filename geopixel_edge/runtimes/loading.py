"""Chooses the runner of a block by its runtime: the only place that says `if runtime ==`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ..engine.directory import Engine
from ..engine.precision import EXACT
from ..errors import RuntimeUnavailableError
from . import Device, Runner
from .cut import WHOLE, Cut
from .onnx_import import needed_onnxruntime
from .tensorrt_import import MODULES

if TYPE_CHECKING:
    from .tensorrt import Gpu


def load_block(engine: Engine, block: str, device: Device, threads: int | None, cut: Cut = WHOLE) -> Runner:
    """Load one block with the runtime its manifest entry names; `cut` is ONNX Runtime's.

    EngineMismatchError when the file is not the one that the manifest describes; RuntimeUnavailableError when the
    runtime is absent.
    """
    spec = engine.manifest.blocks[block]
    paths = [engine.path(file) for file in spec.files]
    if spec.runtime == "onnx":
        needed_onnxruntime(f"block {block!r}")
        from .onnx import OnnxRunner

        if cut == WHOLE:
            return OnnxRunner(paths[0], spec, block, device, threads)
        from .onnx_cut import CutRunner

        return CutRunner(paths[0], spec, block, device, threads, cut)
    if spec.runtime in MODULES:
        from .tensorrt import TensorRtRunner

        return TensorRtRunner(paths[0], spec, block, cast("Gpu", device))
    known = ", ".join(["onnx", *MODULES])
    raise RuntimeUnavailableError(f"block {block!r} is for runtime {spec.runtime!r}; this version runs {known}")


def load_probed(engine: Engine, block: str, threads: int | None) -> Runner:
    """One block as its record is made, see probed.py; errors as `load_block`."""
    needed_onnxruntime(f"block {block!r}")
    from .probed import load_probed as load

    return load(engine, block, threads)


def load_in_pieces(engine: Engine, block: str, device: Device, threads: int | None, probed: bool = False) -> Runner:
    """One block, of which a piece is in memory at a time; in float32 where it is `probed`, as probed.py says.

    Errors as `load_block`.
    """
    spec = engine.manifest.blocks[block]
    path = engine.path(spec.files[0])
    needed_onnxruntime(f"block {block!r}")
    from .onnx_edit import widen
    from .onnx_in_pieces import UNPACKED, PieceRunner
    from .probed import widened

    options = {} if spec.precision.weights.startswith("int") else UNPACKED
    if not probed:
        return PieceRunner(path, spec, block, device, threads, options)
    return PieceRunner(path, widened(spec), block, device, threads, {**options, **EXACT}, widen)


def weights_left_out(engine: Engine, block: str, cut: Cut) -> int:
    """Bytes of a block's weights that it does without where it is so cut."""
    from .onnx_cut import left_out_bytes

    return left_out_bytes(engine.path(engine.manifest.blocks[block].files[0]).read_bytes(), cut)


def load_first_piece(engine: Engine, block: str, device: Device) -> tuple[Runner, float]:
    """The first piece of a large block as a user would load it, and its share of the block's bytes."""
    spec = engine.manifest.blocks[block]
    needed_onnxruntime(f"block {block!r}")
    from .onnx_in_pieces import FirstPiece

    runner = FirstPiece(engine.path(spec.files[0]), spec, block, device, None, {})
    return runner, runner.share
