"""FlatGeobuf: the objects alone. Its index needs all of them, so their outlines are held until the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .feature import FIELDS, Feature, Layer, WindowFeature, columns, to_wkb
from .gpkg import vector_files


class FlatGeobuf:
    """A FlatGeobuf that is made at `path`, in the scene's CRS."""

    def __init__(self, path: Path, layer: Layer) -> None:
        self.path, self.layer = path, layer
        self._rows: list[dict[str, Any]] = []
        self._shapes: list[bytes] = []

    def add(self, features: Sequence[Feature]) -> None:
        """The next objects."""
        self._rows += [feature.values() for feature in features]
        self._shapes += [to_wkb(self.layer.place, feature.polygons) for feature in features]

    def finish(self, windows: Iterable[WindowFeature]) -> None:
        """Write the file."""
        data, unknown = columns(self._rows, FIELDS)
        place = self.layer.place
        with vector_files(self.path, self.layer.started) as raw:
            raw.write(
                str(self.path),
                np.array(self._shapes, object),
                data,
                np.array(list(FIELDS), object),
                field_mask=unknown,
                driver="FlatGeobuf",
                layer="objects",
                geometry_type="MultiPolygon",
                crs=place.wkt if place.has_crs else None,
            )
