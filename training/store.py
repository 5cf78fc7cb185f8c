"""Scenes kept on disk, and turned: drawing a scene takes longer than learning from it once."""

from __future__ import annotations

import json
import os
import sys
import zipfile
import zlib
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from synthetic.scenes import GENERATOR_VERSION, Instance, Scene, make_scene

from .errors import DatasetError

ORIENTATIONS = 8  # of a square: bit 0 transposes, bit 1 mirrors left to right, bit 2 top to bottom, in this order
_PLAIN = ("number", "class_name", "colour", "kind", "bbox", "centre", "area_px", "full_area_px")


def oriented(scene: Scene, orientation: int) -> Scene:
    """The scene in one of its ORIENTATIONS, 0 being its own; shadows turn with it: the sun may stand anywhere."""
    image, owners, instances = scene.image, scene.owners, scene.instances
    side = scene.side_px
    if orientation & 1:
        image, owners = image.swapaxes(0, 1), owners.T
        instances = tuple(_transposed(one) for one in instances)
    for bit, axis in ((2, 1), (4, 0)):
        if orientation & bit:
            image, owners = np.flip(image, axis), np.flip(owners, axis)
            instances = tuple(_mirrored(one, axis, side) for one in instances)
    image, owners = np.ascontiguousarray(image), np.ascontiguousarray(owners)
    return Scene(scene.seed, scene.kind, scene.gsd, image, owners, instances)


def _transposed(one: Instance) -> Instance:
    x, y, width, height = one.bbox
    return replace(one, bbox=(y, x, height, width), centre=one.centre[::-1], crop=one.crop.T)


def _mirrored(one: Instance, axis: int, side: int) -> Instance:
    """An instance after the picture was mirrored along a NumPy axis."""
    bbox, centre, place = list(one.bbox), list(one.centre), 1 - axis
    bbox[place] = side - one.bbox[place] - one.bbox[place + 2]
    centre[place] = side - one.centre[place]
    crop = np.flip(one.crop, axis)
    return replace(one, bbox=(bbox[0], bbox[1], bbox[2], bbox[3]), centre=(centre[0], centre[1]), crop=crop)


class SceneStore:
    """A folder of scenes of one size, a file each, named by seed; a file that is there is never drawn again."""

    def __init__(self, folder: Path, side_px: int) -> None:
        self.folder = folder / f"scenes-v{GENERATOR_VERSION}-{side_px}px"
        self.side_px = side_px

    def path(self, seed: int) -> Path:
        """Where the scene of this seed is or will be."""
        return self.folder / f"{seed:07d}.npz"

    def fill(self, seeds: Iterable[int], workers: int) -> None:
        """Draw what is missing; DatasetError when the place cannot be written."""
        missing = [seed for seed in seeds if not self.path(seed).is_file()]
        if not missing:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with ProcessPoolExecutor(workers) as pool:
                try:
                    drawn = pool.map(self._draw, missing, chunksize=8)
                    for _ in tqdm(drawn, total=len(missing), unit="scene", disable=None, file=sys.stderr):
                        pass
                finally:
                    pool.shutdown(cancel_futures=True)  # an interruption does not wait for all other scenes
        except OSError as error:
            raise DatasetError(f"{self.folder} cannot be written ({error.strerror}); choose another place") from None

    def _draw(self, seed: int) -> None:
        scene = make_scene(seed, self.side_px)
        table = [{name: getattr(one, name) for name in _PLAIN} for one in scene.instances]
        facts = {"seed": seed, "kind": scene.kind, "gsd": scene.gsd, "instances": table}
        aside = self.path(seed).with_suffix(f".{os.getpid()}.tmp")
        with aside.open("wb") as stream:
            np.savez(
                stream,
                image=scene.image,
                facts=np.frombuffer(json.dumps(facts).encode(), np.uint8),
                owners=np.frombuffer(zlib.compress(scene.owners.astype(np.uint16).tobytes(), 1), np.uint8),
            )
        aside.replace(self.path(seed))

    def load(self, seed: int) -> Scene:
        """The scene of this seed; DatasetError when its file is not there or damaged."""
        side = self.side_px
        try:
            with np.load(self.path(seed)) as kept:
                image, facts = kept["image"], json.loads(kept["facts"].tobytes())
                packed = np.frombuffer(zlib.decompress(kept["owners"].tobytes()), np.uint16)
            owners = packed.reshape(side, side).astype(np.int32)
            instances = tuple(_instance(owners, row) for row in facts["instances"])
            return Scene(facts["seed"], facts["kind"], facts["gsd"], image, owners, instances)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise DatasetError(f"{self.path(seed)} is no stored scene ({error}); remove it, to draw it again") from None


def _instance(owners: NDArray[np.int32], row: dict[str, Any]) -> Instance:
    """An instance from its table row; its mask is what it owns of its box."""
    x, y, width, height = row["bbox"]
    crop = owners[y : y + height, x : x + width] == row["number"]
    plain = {**row, "bbox": tuple(row["bbox"]), "centre": tuple(row["centre"])}
    return Instance(**plain, side_px=owners.shape[0], crop=crop)
