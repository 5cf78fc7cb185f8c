"""What a documented command finds when it is typed: each prepares a place, and is named in the command's line."""

from __future__ import annotations

import json
import shutil
import subprocess

from .places import Place


def nothing(place: Place) -> None:
    """Most commands find what they need."""


def without_engine(place: Place) -> None:
    """An export to `engine` must find the name free."""
    shutil.rmtree(place.clone / "engine", ignore_errors=True)


def files_in_clone(place: Place) -> None:
    """A user's files, for a command of the clone that names them."""
    shutil.copytree(place.folder, place.clone, dirs_exist_ok=True)


def geotiff_in_folder(place: Place) -> None:
    """A generated port with ships in it, 0.3 m a pixel, as geo.tif among a user's files."""
    from rasterio.transform import Affine

    from synthetic.scenes import make_scene

    from .rasters import write_tiff

    image = make_scene(1_000_003, 640, "port").image.transpose(2, 0, 1)
    where = {"crs": "EPSG:32640", "transform": Affine(0.3, 0, 251_000, 0, -0.3, 2_711_000)}
    write_tiff(place.folder / "geo.tif", image, photometric="rgb", **where)


def checkpoint_in_clone(place: Place) -> None:
    """GeoPixel-7B's place is taken by the reference checkpoint, and the name `engine` is free."""
    files_in_clone(place)
    without_engine(place)


def adapter_in_clone(place: Place) -> None:
    """Beside the checkpoint, what PEFT saves of fine-tuning it."""
    from .adapters import fine_tuned  # torch and PEFT, which the rest does without

    checkpoint_in_clone(place)
    fine_tuned().save_pretrained(str(place.clone / "finetuned"))


def pictures_in_clone(place: Place) -> None:
    """Beside the checkpoint, a folder of pictures."""
    checkpoint_in_clone(place)
    (place.clone / "pictures").mkdir(exist_ok=True)
    shutil.copyfile(place.clone / "examples" / "scene.png", place.clone / "pictures" / "scene.png")


def instances_in_clone(place: Place) -> None:
    """A COCO file of instances and, in a folder, its pictures; and no `data` that another page wrote."""
    from .annotations import coco_of

    if not (place.clone / "data" / "run.json").is_file():
        shutil.rmtree(place.clone / "data", ignore_errors=True)
    pictures = place.clone / "pictures"
    pictures.mkdir(exist_ok=True)
    coco_of([2_000_066, 2_000_143], pictures)
    (pictures / "instances.json").replace(place.clone / "instances.json")


def repository(place: Place) -> None:
    """The copy of the clone becomes a repository, as a clone is."""
    subprocess.run(["git", "init", "--quiet", str(place.clone)], check=True)


def short_recipe(place: Place) -> None:
    """Two steps that hardly change the checkpoint they begin with."""
    phase = {"part": "all", "steps": 2, "rate": 1e-6, "questions": 4, "masks": 2}
    recipe = {"scenes": 4, "side_px": 640, "hd_num": 9, "phases": [phase]}
    (place.clone / "recipe.json").write_text(json.dumps(recipe))


def short_run(place: Place) -> None:
    """The run that `short_recipe` made, as if it were the one of days."""
    shutil.rmtree(place.clone / "run", ignore_errors=True)
    shutil.copytree(place.clone / "further", place.clone / "run")
    without_engine(place)
