"""A picture with what is in it, as facts and groups look at it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from synthetic.expressions import LOOKALIKES

from .colour import colour_of
from .items import Instance, Item
from .names import Profile, coloured, plain


class Picture:
    """An item under a profile: plain names, who owns which pixel, measured colours."""

    def __init__(self, item: Item, profile: Profile) -> None:
        self.item, self.profile = item, profile
        self.width_px, self.height_px = item.width_px, item.height_px
        self.instances = tuple(sorted(item.instances, key=lambda one: one.order))
        self._names = {one.id: plain(one.class_name, profile) for one in self.instances}
        self._colours: dict[int | str, str | None] = {}

    def name(self, instance: Instance) -> str:
        """The class of a thing in plain words."""
        return self._names[instance.id]

    @cached_property
    def by_class(self) -> dict[str, list[Instance]]:
        """Plain class -> its things, the largest first; classes by the area they cover."""
        found: dict[str, list[Instance]] = {}
        for one in self.instances:
            found.setdefault(self.name(one), []).append(one)
        return dict(sorted(found.items(), key=lambda entry: (-sum(one.area_px for one in entry[1]), entry[0])))

    @cached_property
    def owners(self) -> NDArray[np.int32]:
        """int32 (height, width): one more than the number of the thing a pixel belongs to, the smallest of several."""
        owners = np.zeros((self.height_px, self.width_px), np.int32)
        for number, one in enumerate(self.instances, 1):
            x, y, width, height = one.mask.bbox
            owners[y : y + height, x : x + width][one.crop] = number
        return owners

    def colour(self, instance: Instance) -> str | None:
        """The measured colour of a thing; None where it is not clear, or not worth naming."""
        if not coloured(self.name(instance)):
            return None
        if instance.id not in self._colours:
            self._colours[instance.id] = colour_of(self.item.image, instance)
        return self._colours[instance.id]

    def parts(self, instance: Instance) -> tuple[float, float]:
        """Its centre in parts of the width and height."""
        return instance.centre[0] / self.width_px, instance.centre[1] / self.height_px

    def around(self, instance: Instance) -> NDArray[np.int32]:
        """The owners of the pixels around it, its own left out: those of its box and two pixels beyond."""
        x, y, width, height = instance.mask.bbox
        window = self.owners[max(0, y - 2) : y + height + 2, max(0, x - 2) : x + width + 2]
        return np.asarray(window[window != self.instances.index(instance) + 1])

    def edges(self, instance: Instance) -> tuple[str, ...]:
        """The edges of the picture that it reaches."""
        x, y, width, height = instance.mask.bbox
        reached = {
            "left": x == 0,
            "right": x + width == self.width_px,
            "top": y == 0,
            "bottom": y + height == self.height_px,
        }
        return tuple(edge for edge, there in reached.items() if there)

    def mistakable(self, name: str) -> bool:
        """Whether something else in the picture may be taken for a thing of this class."""
        return any(other in self.by_class for other in LOOKALIKES.get(name, ()))

    def only(self, name: str) -> Instance | None:
        """The only thing of a class, well visible and not to be mistaken; None otherwise."""
        found: Sequence[Instance] = self.by_class.get(name, ())
        return found[0] if len(found) == 1 and found[0].clear and not self.mistakable(name) else None
