"""The C++ kernels, with the signatures of geopixel_edge.twins; bad arguments raise ValueError or TypeError."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_Box = tuple[int, int, int, int]
_Counts = NDArray[np.uint32]
_Rle = tuple[int, int, int, int, _Counts]
_Triple = tuple[float, float, float]

MAX_SIDE_PX: int
MAX_TOLERANCE_PX: float
INSTRUCTION_SET: str

def resize(
    image: NDArray[np.uint8], width_px: int, height_px: int, vertical_first: bool, threads: int = 0
) -> NDArray[np.uint8]: ...
def divide(
    image: NDArray[np.uint8],
    rows: int,
    cols: int,
    resized_w_px: int,
    resized_h_px: int,
    transposed: bool,
    tile_px: int,
    mean: _Triple,
    std: _Triple,
    pad_value: int,
    threads: int = 0,
    out: NDArray[Any] | None = None,
    half: bool = False,
) -> NDArray[Any]: ...
def grounding_input(
    image: NDArray[np.uint8],
    side_px: int,
    mean: _Triple,
    std: _Triple,
    threads: int = 0,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]: ...
def mask_from_array(mask: NDArray[np.bool_]) -> _Rle: ...
def masks_from_logits(logits: NDArray[np.float32], height_px: int, width_px: int, threads: int = 0) -> list[_Rle]: ...
def rle_window(box: _Box, counts: _Counts, window: _Box) -> NDArray[np.bool_]: ...
def rle_overlap(box_a: _Box, counts_a: _Counts, box_b: _Box, counts_b: _Counts) -> int: ...
def rle_combine(box_a: _Box, counts_a: _Counts, box_b: _Box, counts_b: _Counts, kind: str) -> _Rle: ...
def rle_clean(
    height_px: int, width_px: int, box: _Box, counts: _Counts, max_hole_px: int, max_sprinkle_px: int
) -> _Rle: ...
def rle_full(height_px: int, width_px: int, box: _Box, counts: _Counts) -> _Counts: ...
def rle_crop(height_px: int, width_px: int, counts: _Counts) -> _Rle: ...
def rle_string(counts: _Counts) -> str: ...
def rle_parse(text: str) -> _Counts: ...
def rle_polygons(box: _Box, counts: _Counts, tolerance_px: float = 0.0) -> list[list[NDArray[np.int32]]]: ...
