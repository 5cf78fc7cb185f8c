"""What surrounds an image: files beside it, memory, closed images, forks, and where it came from."""

from __future__ import annotations

import os
import pickle
import struct
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from geopixel_edge.errors import ImageError, ResourceError
from geopixel_edge.images import load_image

PIXELS = np.random.default_rng(4).integers(0, 256, (33, 47, 3), dtype=np.uint8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Image.fromarray(PIXELS).save(tmp_path / "scene.png")
    return tmp_path / "scene.png"


def beside(path: Path, *values: str) -> None:
    texts = "".join(f"<PAMRasterBand><NoDataValue>{value}</NoDataValue></PAMRasterBand>" for value in values)
    path.with_name(path.name + ".aux.xml").write_text(f"<PAMDataset>{texts}</PAMDataset>")


def test_nodata_in_a_file_beside(path: Path) -> None:
    holes = PIXELS.copy()
    holes[3:8] = 9
    Image.fromarray(holes).save(path)
    beside(path, "9", "9", "9")
    loaded = load_image(path)
    assert np.array_equal(loaded.pixels, np.where((holes == 9).all(axis=2)[..., None], 255, holes))
    assert loaded.notes == (f"{5 * 47} pixels of nodata 9 became white",)
    beside(path, "9", "0", "9")
    with pytest.raises(ImageError, match=r"'scene\.png\.aux\.xml' gives each band another nodata value; set one"):
        load_image(path)


def test_a_decoder_without_memory_is_no_damaged_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = [MemoryError(), OSError("out of memory error when reading image file"), OSError("decoder error -9")]
    for error in errors:

        def load(self: ImageFile.ImageFile, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(ImageFile.ImageFile, "load", load)
        with pytest.raises(ResourceError, match=r"scene\.png' needs more memory than there is; free some"):
            load_image(path)


def test_an_array_without_memory_names_the_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geopixel_edge.images._from_array", lambda array: bytearray(2**62))
    with pytest.raises(ResourceError, match="image=<array> needs more memory than there is"):
        load_image(PIXELS)


def test_a_child_forked_while_threads_decode_decodes(path: Path, tmp_path: Path) -> None:
    big = tmp_path / "big.png"
    Image.fromarray(np.tile(PIXELS, (30, 30, 1))).save(big)
    before, stop = list(warnings.filters), threading.Event()

    def busy() -> None:
        while not stop.is_set():
            load_image(big)

    workers = [threading.Thread(target=busy) for _ in range(2)]
    for worker in workers:
        worker.start()
    statuses = []
    for turn in range(6):
        time.sleep(0.02 + 0.01 * turn)
        child = os.fork()
        if child == 0:
            ok = np.array_equal(load_image(path).pixels, PIXELS) and list(warnings.filters) == before
            os._exit(0 if ok else 9)
        deadline = time.monotonic() + 30
        while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        if ended[0] == 0:
            os.kill(child, 9)
            os.waitpid(child, 0)
        statuses.append(ended)
    stop.set()
    for worker in workers:
        worker.join()
    assert [status for child, status in statuses if child] == [0] * 6
    assert list(warnings.filters) == before


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_closed_lazy_image_is_told_to_be_closed(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(PIXELS).save(tmp_path / f"c{suffix}")
    image = Image.open(tmp_path / f"c{suffix}")
    image.close()
    with pytest.raises(ImageError, match=r"was closed and cannot be decoded; open it again$"):
        load_image(image)


def test_where_an_image_came_from(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    assert load_image("scene.png").path == path
    with Image.open("scene.png") as image:
        assert load_image(image).path == path
    with path.open("rb") as stream:
        assert load_image(Image.open(stream)).path == path
    assert load_image(PIXELS).path is None
    assert load_image(Image.fromarray(PIXELS)).path is None
    loaded = load_image(path)
    assert pickle.loads(pickle.dumps(loaded)).path == path
    assert str(path.parent) not in repr(loaded)


def test_a_jpeg_of_12_bits_is_named(tmp_path: Path) -> None:
    path = tmp_path / "twelve.jpg"
    Image.fromarray(PIXELS).save(path)
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\xc0")
    assert struct.unpack_from(">HB", data, at + 2)[1] == 8
    data[at + 1 : at + 5] = b"\xc1" + data[at + 2 : at + 4] + b"\x0c"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"twelve\.jpg' is a JPEG of 3 bands of 12 bits, which is not read here"):
        load_image(path)


def test_exif_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "e.png"
    Image.fromarray(PIXELS).save(path, exif=b"Exif\0\0no TIFF at all")
    assert load_image(path).notes == ()
    assert np.array_equal(load_image(path).pixels, PIXELS)
