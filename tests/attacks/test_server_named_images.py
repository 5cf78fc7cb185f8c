"""Images that are named instead of sent: nothing by default, and what was allowed by name leads nowhere else."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from geopixel_edge import Pipeline
from geopixel_edge.serve.front import Front
from geopixel_edge.serve.local import LocalImages
from geopixel_edge.serve.problems import RequestError
from geopixel_edge.serve.remote import RemoteImages
from geopixel_edge.serve.settings import Settings

from ..support.picture_host import TLS, PictureHost, picture_host
from ..support.servers import chat, png, refused, serving, tile

PNG = png(tile(3))
MOST = 1 << 20


@pytest.fixture(scope="module")
def host() -> Iterator[PictureHost]:
    with picture_host(PNG) as running:
        yield running


@pytest.fixture(autouse=True)
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "certificate.pem"))


def fetched(host: PictureHost, url: str, within_s: float = 20.0, most_bytes: int = MOST) -> bytes:
    images = RemoteImages((f"localhost:{host.port}",))
    return asyncio.run(images.read(url, "image", most_bytes, within_s))


# --- Addresses ------------------------------------------------------------------------------------------------------


def test_a_picture_of_a_host_that_was_named(host: PictureHost) -> None:
    for path in ("/a.png", "/a.png?size=1", "/to-itself"):
        assert fetched(host, host.url(path)) == PNG


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:{port}/a.png",
        "https://[::1]:{port}/a.png",
        "https://localhost/a.png",
        "https://localhost:{other}/a.png",
        "https://localhost.:{port}/a.png",
        "https://localhost.evil.example:{port}/a.png",
        "https://localhost:{port}@evil.example/a.png",
        "https://user@localhost:{port}/a.png",
        "https://evil.example#@localhost:{port}/a.png",
        "https://evil.example\\@localhost:{port}/a.png",
        "https://169.254.169.254/latest/meta-data",
        "http://localhost:{port}/a.png",
        "https://localhost:{port}/a.png\r\nX-Evil: 1",
        "https://localhost:{port}/a b.png",
        "https://löcalhost:{port}/a.png",
        "https://localhost:99999/a.png",
        "https://[::1",
        "https:///a.png",
    ],
)
def test_other_addresses_are_not_asked(host: PictureHost, url: str) -> None:
    before = len(host.asked)
    with pytest.raises(RequestError) as refused:
        fetched(host, url.format(port=host.port, other=host.port + 1))
    assert refused.value.told.status in (400, 403)
    assert refused.value.told.problem.param == "image"
    assert len(host.asked) == before


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/to-an-address", 403, "'127.0.0.1' is none that this server fetches"),
        ("/to-http", 400, "https:// addresses alone"),
        ("/to-a-file", 400, "https:// addresses alone"),
        ("/round", 400, "more than 3 times"),
        ("/none", 400, "its host answered 404"),
        ("/large", 413, "over 1,048,576 bytes"),
        ("/endless", 413, "over 1,048,576 bytes"),
    ],
)
def test_what_a_named_host_may_not_do(host: PictureHost, path: str, status: int, said: str) -> None:
    with pytest.raises(RequestError, match=said) as refused:
        fetched(host, host.url(path))
    assert refused.value.told.status == status


def test_a_host_that_drips_is_left_in_time(host: PictureHost) -> None:
    began = time.monotonic()
    with pytest.raises(RequestError, match=r"could not be fetched \("):
        fetched(host, host.url("/slow"), within_s=0.5)
    assert time.monotonic() - began < 5


def test_a_certificate_of_nobody_known_is_refused(host: PictureHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    before = len(host.asked)
    with pytest.raises(RequestError, match="certificate verify failed"):
        fetched(host, host.url("/a.png"))
    assert len(host.asked) == before


# --- Paths ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to be named, with what must not be reached beside it and links that lead there."""
    root = tmp_path / "scenes"
    (root / "deep").mkdir(parents=True)
    (root / "deep" / "a b.png").write_bytes(PNG)
    (tmp_path / "secret.png").write_bytes(PNG)
    (tmp_path / "scenes-of-others").mkdir()
    (tmp_path / "scenes-of-others" / "a.png").write_bytes(PNG)
    (root / "out").symlink_to(tmp_path / "secret.png")
    (root / "up").symlink_to(tmp_path)
    (root / "in").symlink_to(root / "deep" / "a b.png")
    (root / "round").symlink_to(root / "round")
    os.mkfifo(root / "pipe")
    (root / "large.png").touch()
    os.truncate(root / "large.png", 10 * MOST)
    return root


def test_a_picture_below_the_folder_that_was_named(folder: Path) -> None:
    images = LocalImages(folder)
    for url in (f"file://{folder}/deep/a%20b.png", f"file://localhost{folder}/in", f"file://{folder}/deep/../in"):
        assert images.read(url, "image", MOST) == PNG


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("/../secret.png", 403),
        ("/%2e%2e/secret.png", 403),
        ("/deep/../../secret.png", 403),
        ("/out", 403),
        ("/up/secret.png", 403),
        ("-of-others/a.png", 403),
        ("/../no-such-file", 403),
        ("/in?x", 403),
        ("/in#x", 403),
        ("/in%00", 403),
        ("/" + "a" * 5000, 404),
        ("/none.png", 404),
        ("/round", 404),
        ("/pipe", 404),
        ("/deep", 404),
        ("", 404),
        ("/large.png", 413),
    ],
)
def test_paths_that_lead_elsewhere_or_to_no_picture(folder: Path, name: str, status: int) -> None:
    with pytest.raises(RequestError) as found:
        LocalImages(folder).read(f"file://{folder}{name}", "image", MOST)
    assert found.value.told.status in ({status, 403} if name == "/round" else {status})
    assert found.value.told.problem.param == "image"
    assert "secret" not in str(found.value) or "secret" in name


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "file:relative.png", "file://host/etc/passwd", "file://", "file:"]
)
def test_paths_of_other_places(folder: Path, url: str) -> None:
    with pytest.raises(RequestError, match="not below the folder"):
        LocalImages(folder).read(url, "image", MOST)


# --- The server -----------------------------------------------------------------------------------------------------


def test_by_default_nothing_is_read() -> None:
    front = Front(Settings())
    for text in ("https://localhost/a.png", "file:///etc/passwd", "http://localhost/"):
        assert asyncio.run(front.named.read(text, "image", MOST, 1.0)) is None


def test_named_images_are_answered_and_count_among_the_bytes_of_a_request(
    host: PictureHost, folder: Path, direct: Pipeline, tmp_path: Path
) -> None:
    arguments = ("--allow-remote-images", f"localhost:{host.port}", "--allow-local-images", str(folder))
    with serving(tmp_path, *arguments, "--max-body", "1MB") as server:
        urls = [host.url("/a.png"), f"file://{folder}/in"]
        wanted = [region.mask.to_coco() for region in direct.segment(tile(3), "the buildings")]
        found = server.post("/v1/segment", {"images": urls, "phrases": ["the buildings"]}).json["results"]
        assert [[region["segmentation"] for region in one["regions"]] for one in found] == [wanted, wanted]
        assert server.post("/v1/chat/completions", chat(urls[0], "What is here?", max_tokens=1)).status == 200
        assert server.post("/v1/images", {"image": urls[1]}).status == 200
        refused(server.post("/v1/images", {"image": "file:///etc/passwd"}), 403, "not below the folder")
        refused(server.post("/v1/chat/completions", chat("https://evil.example/a.png", "a")), 403, "evil.example")
        refused(server.post("/v1/images", {"image": f"file://{folder}/large.png"}), 413, "may still hold")
        refused(server.post("/v1/segment", {"images": urls * 16, "phrases": ["a"]}), 413)
        assert server.metric("held_body_bytes") == 0
