"""What a server is started with, who may ask it, and what its bodies are checked by."""

from __future__ import annotations

import argparse
import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from geopixel_edge.cli import serve
from geopixel_edge.errors import (
    GeoPixelError,
    ImageError,
    InferenceError,
    MemoryBudgetError,
    OptionError,
    RuntimeUnavailableError,
)
from geopixel_edge.serve import jobs
from geopixel_edge.serve.bodies import Body
from geopixel_edge.serve.front import Front
from geopixel_edge.serve.keys import Keys
from geopixel_edge.serve.pictures import picture_of
from geopixel_edge.serve.problems import RequestError, told
from geopixel_edge.serve.segment import wants_geojson
from geopixel_edge.serve.settings import Settings, default_name, is_loopback
from geopixel_edge.serve.uploads import digest_of, kind_of

KEY = "k" * 24


# --- Settings and keys ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"host": "0.0.0.0"}, "host='0.0.0.0' is reached by others: give --api-key-file"),
        ({"host": "192.168.1.4"}, "--no-auth"),
        ({"port": 70_000}, "port=70000 is out of range"),
        ({"queue": 0}, "queue=0"),
        ({"name": "Ä"}, "name='Ä'"),
        ({"deadline_s": 0.0}, "deadline_s=0.0 is not a time"),
        ({"origins": ("*",)}, "origin='*' is none"),
        ({"origins": ("https://map.example/path",)}, "scheme, host and port"),
        ({"devices": ("gpu",)}, "device='gpu' is unknown"),
        ({"memory": "much"}, "memory='much'"),
        ({"hang_s": -1.0}, "hang_s=-1.0 is not a time"),
        ({"remote_images": ("https://images.example",)}, "allow-remote-images='https://images.example' is no host"),
        ({"remote_images": ("*.example",)}, "exact names"),
        ({"remote_images": ("images.example", "Images.example")}, "lower case"),
        ({"local_images": Path("/")}, "whole file system"),
        ({"local_images": Path("pyproject.toml")}, "allow-local-images='pyproject.toml' is no folder"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_listens(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=re.escape(said)):
        Settings(**fields)


def test_loopback_needs_no_key_and_others_do() -> None:
    assert Settings().watches_hosts
    assert not Settings(host="0.0.0.0", no_auth=True).watches_hosts
    assert not Settings(keys=Keys(())).watches_hosts
    assert is_loopback("127.8.8.8")
    assert is_loopback("::1")
    assert not is_loopback("example.org")
    assert re.fullmatch("[a-z0-9-]{1,32}", default_name())


def test_keys_are_read_and_each_client_has_a_name(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# two\n{KEY}\n\n{KEY}2\n")
    keys = Keys.read(path)
    assert [keys.client_of(key) for key in (KEY, KEY + "2", "", KEY[:-1], KEY + "3", "\udcff")] == [
        "key1",
        "key2",
        None,
        None,
        None,
        None,
    ]
    assert KEY not in repr(keys)


@pytest.mark.parametrize(
    ("text", "said"), [("short\n", "line 1 is no key"), ("# none\n", "holds no key"), ("ä" * 20, "ASCII")]
)
def test_a_file_without_usable_keys_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(OptionError, match=said):
        Keys.read(path)
    with pytest.raises(OptionError, match="cannot be read"):
        Keys.read(tmp_path / "none")


# --- Errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (ImageError("no image"), 400, "invalid_request_error"),
        (MemoryBudgetError("too little"), 413, "invalid_request_error"),
        (InferenceError("NaN"), 500, "server_error"),
        (GeoPixelError("other"), 500, "server_error"),
    ],
)
def test_errors_have_their_status_and_their_own_words(error: GeoPixelError, status: int, kind: str) -> None:
    found = told(error)
    assert (found.status, found.problem.type, found.problem.message) == (status, kind, str(error))


def test_an_error_of_a_library_says_nothing_of_itself() -> None:
    found = told(ValueError("/home/secret"))
    assert found.status == 500
    assert "secret" not in found.problem.message


# --- Images ---------------------------------------------------------------------------------------------------------


def picture(text: str, **fields: Any) -> jobs.Picture:
    body = Body(Front(Settings()))
    return asyncio.run(picture_of(text, "p", body, **{"bounds": None, "crs": None, "bands": None, **fields}))


def test_images_are_data_urls_ids_and_where_allowed_plain_base64() -> None:
    image_id = f"img_a.0_{'0' * 32}"
    assert picture("data:image/png;base64,AAEC").data == b"\0\1\2"
    assert picture("AAEC", plain=True).data == b"\0\1\2"
    assert picture(image_id) == jobs.Picture(id=image_id)
    long = b"abc" * 800_000
    assert picture("data:image/tiff;base64," + __import__("base64").b64encode(long).decode()).data == long


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/a.png",
        "file:///etc/passwd",
        "/etc/passwd",
        "../a.png",
        "AAEC",
        "img_a.0_short",
        "data:image/png;base64,!!",
        "",
    ],
)
def test_addresses_and_paths_are_not_followed(text: str) -> None:
    with pytest.raises(RequestError) as found:
        picture(text, plain=text not in ("AAEC", ""))
    assert found.value.told.problem.param == "p"


def test_the_first_bytes_say_what_a_file_is() -> None:
    assert [kind_of(data) for data in (b"\xff\xd8\xff\xe0", b"II*\0aa", b"RIFF1234WEBPVP8 ")] == [
        ".jpg",
        ".tif",
        ".webp",
    ]
    for archive in (b"PK\3\4aaaa", b"\x1f\x8baaaa", b"<svg/>", b"", b"%PDF-1.7", b"GIF89a"):
        with pytest.raises(ImageError, match="are no PNG"):
            kind_of(archive)


def test_the_same_file_elsewhere_is_another_image() -> None:
    one = jobs.Picture(data=b"x")
    placed = jobs.Picture(data=b"x", bounds=(0, 0, 1, 1), crs="EPSG:4326")
    assert digest_of(one) == digest_of(jobs.Picture(data=b"x")) != digest_of(placed)


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", False),
        ("*/*", False),
        ("application/geo+json", True),
        ("application/json, application/geo+json", False),
        ("application/json;q=0.5, application/geo+json", True),
        ("application/geo+json;q=0.1, */*", False),
    ],
)
def test_accept_chooses_the_form(accept: str, wanted: bool) -> None:
    assert wants_geojson(accept) is wanted


def test_a_form_that_is_not_there_is_refused() -> None:
    for accept in ("image/png", "application/json;q=0", "application/json;q=x"):
        with pytest.raises(RequestError, match="Accept"):
            wants_geojson(accept)


# --- The command ---------------------------------------------------------------------------------------------------


def test_without_the_extra_the_command_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "NEEDED", ("starlette", "no_such_library"))
    with pytest.raises(RuntimeUnavailableError, match=r"needs no_such_library.*geopixel-edge\[server\]"):
        serve.run(argparse.Namespace())
