"""What a server is started with, who may ask it, and what its bodies are checked by."""

from __future__ import annotations

import argparse
import asyncio
import re
from pathlib import Path
from typing import Any

import msgspec
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
from geopixel_edge.serve.app import make_app
from geopixel_edge.serve.bodies import picture_of
from geopixel_edge.serve.front import Front
from geopixel_edge.serve.keys import Keys
from geopixel_edge.serve.openapi import document
from geopixel_edge.serve.page import made
from geopixel_edge.serve.problems import RequestError, told
from geopixel_edge.serve.records import ChatRequest
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
    return asyncio.run(picture_of(text, "p", **{"bounds": None, "crs": None, "bands": None, **fields}))


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


# --- The documents --------------------------------------------------------------------------------------------------


def test_the_openapi_document_has_every_route_and_resolves() -> None:
    page = document()
    routes = {
        (method.lower(), route.path)  # type: ignore[attr-defined]
        for route in make_app(Front(Settings())).routes
        for method in route.methods  # type: ignore[attr-defined]
        if method != "HEAD"
    }
    described = {(method, path) for path, one in page["paths"].items() for method in one}
    assert routes - described == {("get", "/"), ("get", "/openapi.json")}
    assert described <= routes
    text = msgspec.json.encode(page).decode()
    named = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert named == page["components"]["schemas"].keys()
    chat = page["components"]["schemas"]["ChatRequest"]
    assert set(chat["properties"]) == set(ChatRequest.__struct_fields__)


def test_the_page_is_one_file_whose_own_script_alone_runs() -> None:
    content, policy = made()
    page = content.decode("utf-8")
    assert "{{" not in page
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)
    assert "@import" not in page
    assert "url(http" not in page
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert len(content) < 200_000


def test_everything_on_the_page_that_is_used_has_a_name() -> None:
    page = made()[0].decode("utf-8")
    body = page[page.index("<body>") : page.index('<script type="application/json"')]
    for control in re.findall(r"<(?:input|textarea)[^>]*>", body):
        name = re.search(r'id="([\w-]+)"', control)
        assert name
        inside = re.search(rf"<label[^>]*>[^<]*{re.escape(control)}", body)
        before = re.search(rf"<label[^>]*>{re.escape(control)}", body)
        assert inside or before or f'for="{name[1]}"' in body, control
    script = page[page.index("// Phrases and masks") :]
    used = set(re.findall(r"\$\('([\w-]+)'\)", script))
    assert used - set(re.findall(r'id="([\w-]+)"', page)) == set()
    assert 'aria-live="polite"' in body
    assert 'role="status"' in body
    assert "prefers-color-scheme:dark" in page
    assert "max-width:60rem" in page


def test_without_the_extra_the_command_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "NEEDED", ("starlette", "no_such_library"))
    with pytest.raises(RuntimeUnavailableError, match=r"needs no_such_library.*geopixel-edge\[server\]"):
        serve.run(argparse.Namespace())
