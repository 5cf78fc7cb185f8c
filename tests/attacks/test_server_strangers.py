"""Those who may not ask: keys that are wrong, pages of other origins, names that are not this machine's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from geopixel_edge.serve.app import make_app
from geopixel_edge.serve.front import Front
from geopixel_edge.serve.keys import Keys
from geopixel_edge.serve.problems import Problem, Told
from geopixel_edge.serve.responses import error_response
from geopixel_edge.serve.settings import Settings

from ..support.servers import ROOT

KEY = "0123456789abcdef0123456789abcdef"


def client(**fields: object) -> TestClient:
    """The application without workers: who is refused never gets that far."""
    front = Front(Settings(**fields))  # type: ignore[arg-type]
    return TestClient(make_app(front), base_url="http://127.0.0.1:8000", raise_server_exceptions=False)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    path = tmp_path / "keys"
    path.write_text(f"# the map's\n{KEY}\n")
    return Keys.read(path)


@pytest.mark.parametrize(
    "key",
    ["", "0", KEY[:-1], KEY + "0", KEY.upper(), KEY + "\0", " " + KEY[1:], "x" * 50_000, "é" * 32, KEY + "," + KEY],
)
def test_keys_of_the_wrong_length_and_others(keys: Keys, key: str) -> None:
    asking = client(host="0.0.0.0", keys=keys)
    for scheme in ("Bearer", "Basic", ""):
        head = {"Authorization": f"{scheme} {key}".encode()}
        for method, path in (("GET", "/v1/models"), ("POST", "/v1/segment"), ("GET", "/metrics"), ("GET", "/none")):
            reply = asking.request(method, path, headers=head)  # type: ignore[arg-type]
            assert reply.status_code == 401
            assert reply.headers["www-authenticate"] == "Bearer"
            assert reply.json()["error"]["code"] == "invalid_api_key"
            assert KEY not in reply.text


def test_the_key_opens_and_what_balancers_ask_needs_none(keys: Keys) -> None:
    asking = client(host="0.0.0.0", keys=keys)
    assert asking.get("/v1/models", headers={"Authorization": f"bearer {KEY}"}).status_code == 200
    for path, status in (("/healthz", 200), ("/readyz", 503), ("/", 200), ("/openapi.json", 200)):
        assert asking.get(path).status_code == status


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:9", "https://map.example.evil"])
def test_preflights_and_requests_from_strangers(origin: str) -> None:
    for origins in ((), ("https://map.example",)):
        asking = client(origins=origins)
        head = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        for reply in (
            asking.options("/v1/chat/completions", headers=head),
            asking.get("/v1/models", headers=head),
            asking.post("/v1/segment", headers=head, json={}),
        ):
            assert reply.status_code == 403
            assert reply.json()["error"]["code"] == "origin_refused"
            assert not [name for name in reply.headers if name.startswith("access-control")]


def test_a_named_origin_may_ask_and_no_other_is_told_so() -> None:
    asking = client(origins=("https://map.example",))
    head = {"Origin": "https://map.example", "Access-Control-Request-Method": "POST"}
    reply = asking.options("/v1/segment", headers={**head, "Access-Control-Request-Headers": "authorization"})
    assert reply.status_code == 200
    assert reply.headers["access-control-allow-origin"] == "https://map.example"
    assert "access-control-allow-credentials" not in reply.headers
    assert asking.get("/v1/models", headers=head).headers["access-control-allow-origin"] == "https://map.example"


def test_a_named_origins_page_can_ask_as_openais_client_does_and_reads_refusals(keys: Keys) -> None:
    asking = client(host="0.0.0.0", keys=keys, origins=("https://map.example",))
    origin = {"Origin": "https://map.example"}
    for method in ("POST", "PUT"):
        named = "authorization,content-type,x-stainless-lang,x-stainless-retry-count,openai-organization"
        head = {**origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": named}
        reply = asking.options("/v1/chat/completions", headers=head)
        assert reply.status_code == 200
        assert reply.headers["access-control-allow-headers"] == named
        assert method in reply.headers["access-control-allow-methods"]
    right = {**origin, "Authorization": f"Bearer {KEY}"}
    many = {f"x-{number}": "y" for number in range(120)}
    for reply, status in (
        (asking.get("/v1/models", headers=origin), 401),
        (asking.get("/v1/models", headers={**right, **many}), 431),
        (asking.put("/v1/segment", headers=right), 405),
        (asking.post("/v1/chat/completions", headers={**right, "Content-Type": "text/plain"}), 415),
    ):
        assert reply.status_code == status
        assert reply.json()["error"]["code"]
        assert reply.headers["access-control-allow-origin"] == "https://map.example"
    told = asking.get("/v1/models", headers={**origin, "Authorization": "Bearer x"})
    assert "retry-after" in told.headers["access-control-expose-headers"].lower()


def test_behind_the_proxy_of_the_docs_its_own_page_may_ask(keys: Keys) -> None:
    page = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
    block = page[page.index("upstream geopixel {") :].partition("```")[0]
    sent = dict(re.findall(r"proxy_set_header (\S+) (\S+);", block))
    asking = client(host="0.0.0.0", keys=keys)
    # What nginx sends: $host is the name that the browser asked for; unsaid, it is the upstream's.
    host = {"$host": "geo.example", None: "geopixel"}[sent.get("Host")]
    head = {"Origin": "https://geo.example", "Host": host, "Authorization": f"Bearer {KEY}"}
    reply = asking.post("/v1/chat/completions", headers=head, json={})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_value")


@pytest.mark.parametrize("status", [429, 503])
def test_what_may_be_asked_later_says_when(status: int) -> None:
    told = Told(status, Problem(message="not now", code="worker_died"))
    assert int(error_response(told).headers["retry-after"]) >= 1
    assert error_response(told, {"Retry-After": "40"}).headers["retry-after"] == "40"
    assert "retry-after" not in error_response(Told(400, told.problem)).headers


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "0.0.0.0", "[::", "", "localhost.evil:8000"]
)
def test_a_name_that_is_not_this_machines_is_refused(host: str) -> None:
    reply = client().get("/v1/models", headers={"Host": host})
    assert reply.status_code in (400, 403)
    assert reply.json()["error"]["code"] in ("invalid_host", "host_refused")


def test_names_of_this_machine_and_those_that_were_allowed() -> None:
    asking = client(hosts=("map.example",))
    for host in ("127.0.0.1:8000", "localhost", "[::1]:8000", "map.example:80"):
        assert asking.get("/v1/models", headers={"Host": host}).status_code == 200
