"""Names: the classes a scene holds, the colours a thing of each class can have, and how far colours stand apart."""

from __future__ import annotations

Rgb = tuple[int, int, int]

# Colours whose names a person would not mix up from the air, even through haze.
COLOURS: dict[str, Rgb] = {
    "white": (236, 236, 230),
    "grey": (138, 140, 144),
    "black": (44, 46, 52),
    "red": (168, 46, 38),
    "blue": (42, 84, 150),
    "green": (62, 116, 62),
    "yellow": (218, 186, 62),
    "orange": (216, 118, 44),
    "brown": (116, 82, 60),
    "beige": (202, 184, 150),
}

# Class -> colours it comes in; an empty tuple: its colour is not worth naming.
CLASSES: dict[str, tuple[str, ...]] = {
    "building": ("red", "grey", "white", "brown", "blue", "beige"),
    "storage tank": ("white", "grey", "beige", "green"),
    "ship": ("red", "blue", "white", "black", "green", "orange"),
    "plane": ("white", "grey", "green", "blue"),
    "helicopter": ("red", "white", "green", "yellow", "black"),
    "car": ("white", "black", "red", "blue", "grey", "yellow"),
    "truck": ("white", "red", "blue", "orange", "green"),
    "tennis court": ("green", "blue", "orange"),
    "sports field": (),
    "swimming pool": (),
    "bridge": (),
    "pier": ("grey", "brown"),
    "road": (),
    "tree": (),
    "tree group": (),
    "crop field": ("green", "yellow", "brown"),
    "roundabout": (),
    "parking lot": (),
    "runway": (),
}

# Fine grain each class adds to its drawn colour, in parts of its brightness.
GRAIN: dict[str, float] = {
    "building": 0.035,
    "storage tank": 0.02,
    "ship": 0.03,
    "plane": 0.02,
    "helicopter": 0.02,
    "car": 0.02,
    "truck": 0.02,
    "tennis court": 0.03,
    "sports field": 0.06,
    "swimming pool": 0.03,
    "bridge": 0.045,
    "pier": 0.06,
    "road": 0.05,
    "tree": 0.07,
    "tree group": 0.07,
    "crop field": 0.085,
    "roundabout": 0.05,
    "parking lot": 0.05,
    "runway": 0.055,
}

# What some classes make of a colour; they take the others as they are.
ROOFS: dict[str, Rgb] = {
    **COLOURS,
    "red": (160, 82, 62),
    "grey": (132, 134, 138),
    "white": (224, 224, 218),
    "brown": (104, 78, 62),
    "blue": (72, 106, 150),
    "beige": (196, 178, 146),
}
CROPS: dict[str, Rgb] = {"green": (98, 124, 60), "yellow": (204, 180, 96), "brown": (128, 98, 72)}
COURTS: dict[str, Rgb] = {**COLOURS, "green": (64, 116, 82), "blue": (58, 98, 146), "orange": (190, 106, 62)}
TANKS: dict[str, Rgb] = {
    **COLOURS,
    "white": (228, 228, 222),
    "grey": (146, 148, 150),
    "beige": (204, 188, 154),
    "green": (104, 136, 110),
}
PIERS: dict[str, Rgb] = {"grey": (158, 156, 150), "brown": (122, 98, 76)}

ASPHALT: Rgb = (94, 95, 97)
CONCRETE: Rgb = (162, 160, 152)
PAINT: Rgb = (216, 216, 208)


def plural(class_name: str) -> str:
    """The class for several things: "ships", "storage tanks", "piers"."""
    return class_name + ("es" if class_name.endswith(("s", "ch", "sh")) else "s")


def lit(colour: Rgb, factor: float) -> Rgb:
    """The colour in other light."""
    red, green, blue = (max(0, min(255, round(value * factor))) for value in colour)
    return red, green, blue


def mix(first: Rgb, second: Rgb, part: float) -> Rgb:
    """`part` of the way from `first` to `second`."""
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(first, second, strict=True))
    return red, green, blue
