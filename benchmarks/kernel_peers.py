"""What the kernels are measured against: the original's own composition, OpenCV, torch, pycocotools and rasterio.

OpenCV's bilinear does not widen its support when it shrinks, so it does less work than the reference asks for.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geopixel_edge.arrays import F32
from geopixel_edge.blocks.divider import Grid
from geopixel_edge.engine.manifest import Normalisation

U8 = NDArray[np.uint8]


def optional(name: str) -> ModuleType | None:
    """The module, or None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def limit_threads(threads: int) -> None:
    """Tell the peers that have threads of their own how many to use."""
    torch, cv2 = optional("torch"), optional("cv2")
    if torch is not None:
        torch.set_num_threads(threads)
    if cv2 is not None:
        cv2.setNumThreads(threads)


def reference_divide(image: U8, grid: Grid, scaling: Normalisation) -> F32:
    """The original's steps on a landscape image as it composes them: Pillow's resize, NumPy's padding, then torch.

    To float planes, / 255, - mean, / std (each a new tensor or in place as torchvision has it), bicubic global view,
    tiles by reshape and permute, and both in one batch.
    """
    import torch

    size, tile = (grid.resized_w_px, grid.resized_h_px), grid.tile_px
    resized = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    padded = np.pad(resized, ((0, grid.rows * tile - grid.resized_h_px), (0, 0), (0, 0)), constant_values=255)
    planes = torch.from_numpy(padded).permute(2, 0, 1).contiguous().to(torch.float32).div(255)
    mean, std = torch.tensor(scaling.mean).view(3, 1, 1), torch.tensor(scaling.std).view(3, 1, 1)
    planes = planes.clone().sub_(mean).div_(std)
    view = torch.nn.functional.interpolate(planes[None], size=(tile, tile), mode="bicubic")
    split = planes.reshape(3, grid.rows, tile, grid.cols, tile).permute(1, 3, 0, 2, 4)
    batch: F32 = torch.cat([view, split.reshape(-1, 3, tile, tile)]).numpy()
    return batch


def opencv_divide(cv2: ModuleType, image: U8, grid: Grid, scaling: Normalisation) -> F32:
    """The same batch by OpenCV's functions, channels extracted straight into the tiles."""
    resized = cv2.resize(image, (grid.resized_w_px, grid.resized_h_px), interpolation=cv2.INTER_LINEAR)
    below = grid.rows * grid.tile_px - grid.resized_h_px
    padded = cv2.copyMakeBorder(resized, 0, below, 0, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    centre = (*(255 * value for value in scaling.mean), 0.0)
    factor = (*(1 / (255 * value) for value in scaling.std), 1.0)
    scaled = cv2.multiply(cv2.subtract(padded, centre, dtype=cv2.CV_32F), factor, dtype=cv2.CV_32F)
    batch = np.empty((1 + grid.tiles, 3, grid.tile_px, grid.tile_px), np.float32)
    view = cv2.resize(scaled, (grid.tile_px, grid.tile_px), interpolation=cv2.INTER_CUBIC)
    for index in range(1 + grid.tiles):
        top, left = (index - 1) // grid.cols * grid.tile_px, (index - 1) % grid.cols * grid.tile_px
        part = scaled[top : top + grid.tile_px, left : left + grid.tile_px] if index else view
        for channel in range(3):
            cv2.extractChannel(part, channel, batch[index, channel])
    return batch


def reference_grounding(image: U8, side_px: int, scaling: Normalisation) -> F32:
    """torch: to float planes, antialiased bilinear, normalised."""
    import torch

    planes = torch.from_numpy(image).permute(2, 0, 1).float().div_(255)[None]
    size = (side_px, side_px)
    squashed = torch.nn.functional.interpolate(planes, size=size, mode="bilinear", antialias=True)
    mean, std = torch.tensor(scaling.mean).view(3, 1, 1), torch.tensor(scaling.std).view(3, 1, 1)
    result: F32 = squashed.sub_(mean).div_(std).numpy()
    return result


def opencv_grounding(cv2: ModuleType, image: U8, side_px: int, scaling: Normalisation) -> F32:
    """OpenCV: area resize of the bytes (its nearest to antialiasing), normalised planes."""
    small = cv2.resize(image, (side_px, side_px), interpolation=cv2.INTER_AREA)
    planes: F32 = cv2.dnn.blobFromImage(small, 1 / 255, mean=tuple(255 * value for value in scaling.mean))
    planes /= np.asarray(scaling.std, np.float32)[:, None, None]
    return planes


def reference_masks(logits: F32, height_px: int, width_px: int) -> list[dict[str, Any]]:
    """torch's upsampling to full size, a threshold, pycocotools' run lengths; mask by mask, to fit the memory."""
    import torch
    from pycocotools import mask as coco

    found = []
    for plane in torch.from_numpy(logits)[:, None, None]:
        full = torch.nn.functional.interpolate(plane, size=(height_px, width_px), mode="bilinear", align_corners=False)
        found.append(coco.encode(np.asfortranarray((full[0, 0] > 0).numpy().view(np.uint8))))
    return found


def opencv_masks(cv2: ModuleType, logits: F32, height_px: int, width_px: int) -> list[dict[str, Any]]:
    """OpenCV's upsampling mask by mask, a threshold, pycocotools' run lengths."""
    from pycocotools import mask as coco

    found = []
    for plane in logits:
        full = cv2.resize(plane, (width_px, height_px), interpolation=cv2.INTER_LINEAR)
        found.append(coco.encode(np.asfortranarray((full > 0).view(np.uint8))))
    return found


def rasterio_polygons(features: ModuleType, bits: list[NDArray[np.bool_]]) -> list[list[Any]]:
    """rasterio's shapes of each dense mask, which it needs to be given."""
    return [list(features.shapes(mask.view(np.uint8), mask=mask)) for mask in bits]


def opencv_polygons(cv2: ModuleType, bits: list[NDArray[np.bool_]]) -> list[Any]:
    """OpenCV's contours of each dense mask: through pixel centres, so not the same outlines."""
    return [cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)[0] for mask in bits]
