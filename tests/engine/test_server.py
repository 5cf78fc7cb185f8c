"""A server's answers equal those of a `Pipeline` that is asked directly, through OpenAI's own client and plain HTTP."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from geopixel_edge import Answer, Pipeline

from ..support.servers import BRIDGE, SCENE, Server, chat, data_url, png, tile

DESCRIBE = "Describe this image with interleaved segmentation masks."


@pytest.fixture(scope="module")
def client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def messages(image: bytes, question: str) -> Any:
    return chat(data_url(image), question)["messages"]


def check_equal(grounding: Any, text: str, answer: Answer) -> None:
    """Text, spans, scores and masks are the answer's, to the last bit."""
    wanted = answer.to_dict()
    assert text == wanted["text"]
    assert grounding["response"] == wanted["response"]
    assert grounding["finish_reason"] == wanted["finish_reason"]
    assert grounding["image_size"] == wanted["image_size"]
    assert len(grounding["regions"]) == len(wanted["regions"])
    for index, (one, other) in enumerate(zip(grounding["regions"], wanted["regions"], strict=True)):
        assert one["index"] == index
        assert {name: one[name] for name in other} == other


# --- OpenAI's client ------------------------------------------------------------------------------------------------


def test_a_whole_answer(client: openai.OpenAI, direct: Pipeline) -> None:
    image = tile(0)
    found = client.chat.completions.create(model="geopixel", messages=messages(png(image), DESCRIBE))
    answer = direct(image, DESCRIBE)
    (choice,) = found.choices
    check_equal(choice.message.grounding, choice.message.content or "", answer)  # type: ignore[attr-defined]
    assert choice.finish_reason == "stop"
    assert found.usage is not None
    assert found.usage.completion_tokens == len(answer.token_ids)
    assert answer.regions, "this scene has things to point at"


def test_a_stream_says_the_same_and_each_region_behind_its_phrase(client: openai.OpenAI, direct: Pipeline) -> None:
    image, text, regions, last = tile(0), "", [], None
    stream = client.chat.completions.create(
        model="geopixel", messages=messages(png(image), DESCRIBE), stream=True, stream_options={"include_usage": True}
    )
    for chunk in stream:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            grounding = getattr(choice.delta, "grounding", None)
            if grounding and choice.finish_reason is None:
                regions += grounding["regions"]
                start, end = regions[-1]["span"]
                assert text[start:end] == regions[-1]["phrase"]
            last = grounding if choice.finish_reason else last
        usage = chunk.usage
    check_equal(last, text, direct(image, DESCRIBE))
    assert last
    assert regions == last["regions"]
    assert usage
    assert usage.prompt_tokens_details
    assert usage.prompt_tokens_details.cached_tokens, "the same picture was asked about before"


def test_several_turns_a_system_message_and_what_was_said_before(client: openai.OpenAI, direct: Pipeline) -> None:
    image = tile(1)
    first = direct(image, BRIDGE)
    said = {"role": "assistant", "content": first.text, "grounding": {"response": first.response}}
    turns: Any = [*messages(png(image), BRIDGE), said, {"role": "user", "content": DESCRIBE}]
    found = client.chat.completions.create(model="geopixel", messages=turns, max_tokens=24)
    check_equal(
        found.choices[0].message.grounding,  # type: ignore[attr-defined]
        found.choices[0].message.content or "",
        direct(image, DESCRIBE, history=((BRIDGE, first.response),), max_new_tokens=24),
    )
    assert found.choices[0].finish_reason == "length"
    ruled: Any = [{"role": "system", "content": "Be brief."}, *messages(png(image), DESCRIBE)]
    brief = client.chat.completions.create(model="geopixel", messages=ruled, max_tokens=8)
    assert brief.choices[0].message.content == direct(image, f"Be brief.\n{DESCRIBE}", max_new_tokens=8).text


def test_text_alone_and_two_images(client: openai.OpenAI, direct: Pipeline) -> None:
    alone = client.chat.completions.create(
        model="geopixel", messages=[{"role": "user", "content": "What is a pier?"}], max_tokens=6
    )
    assert alone.choices[0].message.content == direct(None, "What is a pier?", max_new_tokens=6).text
    one, other = tile(1), tile(2)
    parts: Any = [{"type": "image_url", "image_url": {"url": data_url(png(image))}} for image in (one, other)]
    found = client.chat.completions.create(
        model="geopixel",
        messages=[{"role": "user", "content": [*parts, {"type": "text", "text": "Which shows more?"}]}],
        max_tokens=6,
    )
    query = "<ImageHere>\n<ImageHere>\nWhich shows more?"
    assert found.choices[0].message.content == direct([one, other], query, max_new_tokens=6).text


def test_models_and_errors_are_openais(client: openai.OpenAI) -> None:
    (model,) = client.models.list().data
    assert client.models.retrieve(model.id).id == model.id == "geopixel"
    with pytest.raises(openai.NotFoundError, match="ask for 'geopixel'"):
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "x"}])
    with pytest.raises(openai.BadRequestError, match="control token") as refused:
        client.chat.completions.create(model="geopixel", messages=[{"role": "user", "content": "[UNUSED_TOKEN_146]"}])
    assert refused.value.code == "query_error"
    with pytest.raises(openai.BadRequestError, match="n=2 cannot be honoured") as unsupported:
        client.chat.completions.create(model="geopixel", messages=[{"role": "user", "content": "x"}], n=2)
    assert unsupported.value.param == "n"


def test_a_deadline_gives_what_is_known_by_then(server: Server) -> None:
    found = server.post("/v1/chat/completions", chat(data_url(png(tile(3))), DESCRIBE, deadline_s=0.001)).json
    assert found["choices"][0]["finish_reason"] == "length"
    assert found["choices"][0]["message"]["grounding"]["finish_reason"] == "deadline"


def test_what_is_asked_for_beside_the_masks(server: Server, direct: Pipeline) -> None:
    image, wanted = tile(0), {"polygons": True, "geojson": True, "coco": True}
    found = server.post("/v1/chat/completions", chat(data_url(png(image)), DESCRIBE, grounding=wanted)).json
    grounding, answer = found["choices"][0]["message"]["grounding"], direct(image, DESCRIBE)
    assert grounding["geojson"] == json.loads(json.dumps(answer.to_geojson()))
    assert grounding["coco"] == json.loads(json.dumps(answer.to_coco()))
    rings = grounding["regions"][0]["polygons"]
    assert rings == [[ring.tolist() for ring in one] for one in answer.regions[0].mask.polygons(256 / 2000)]


def test_an_image_that_is_placed_places_its_regions(server: Server, direct: Pipeline) -> None:
    where = {"bounds": (54.37, 24.48, 54.38, 24.49), "crs": "EPSG:4326"}
    asked = chat(data_url(png(tile(0))), DESCRIBE)
    asked["messages"][0]["content"][0] |= where
    message = server.post("/v1/chat/completions", asked).json["choices"][0]["message"]
    with direct.open(tile(0), **where) as opened:  # type: ignore[arg-type]
        check_equal(message["grounding"], message["content"], opened.ask(DESCRIBE))
    assert message["grounding"]["regions"][0]["place"]["area_m2"] > 0


# --- Phrases --------------------------------------------------------------------------------------------------------


def test_a_phrase_of_a_file_by_multipart(server: Server, direct: Pipeline) -> None:
    reply = server.form("/v1/segment", [("image", "s.png", SCENE.read_bytes()), ("phrase", None, b"the bridge")])
    (result,) = reply.json["results"]
    wanted = direct.segment(SCENE, "the bridge")
    assert [one["segmentation"] for one in result["regions"]] == [one.mask.to_coco() for one in wanted]
    assert [one["phrase"] for one in result["regions"]] == [one.phrase for one in wanted]


def test_tiles_are_answered_in_one_batch_and_as_alone(server: Server, direct: Pipeline) -> None:
    images, phrases = [tile(number) for number in range(3)], ["the buildings", "the bridge"]
    asked = {"images": [data_url(png(image)) for image in images], "phrases": phrases}
    before = {name: server.metric(name) for name in ("batch_size_count", "batch_size_sum")}
    found = server.post("/v1/segment", asked).json["results"]
    assert [(one["image"], one["phrase"]) for one in found] == [(i, p) for i in range(3) for p in range(2)]
    for one in found:
        wanted = direct.segment(images[one["image"]], phrases[one["phrase"]])
        assert [region["segmentation"] for region in one["regions"]] == [region.mask.to_coco() for region in wanted]
    # Each is drafted, and so a batch of its own.
    assert {name: server.metric(name) - was for name, was in before.items()} == dict.fromkeys(before, 6)


def test_geojson_of_tiles_that_are_placed(server: Server, direct: Pipeline) -> None:
    boxes = [(54.37, 24.48, 54.38, 24.49), (54.38, 24.48, 54.39, 24.49)]
    images = [{"image": data_url(png(tile(1))), "bounds": box, "crs": "EPSG:4326"} for box in boxes]
    asked = {"images": images, "phrases": ["the buildings"]}
    reply = server.post("/v1/segment", asked, {"Accept": "application/geo+json"})
    assert reply.headers["content-type"] == "application/geo+json"
    features = reply.json["features"]
    assert {one["properties"]["image"] for one in features} == {0, 1}
    for one in features:
        west, south, east, north = boxes[one["properties"]["image"]]
        assert west <= one["bbox"][0] <= one["bbox"][2] <= east
        assert south <= one["bbox"][1] <= one["bbox"][3] <= north
    with direct.open(tile(1), bounds=boxes[0], crs="EPSG:4326") as opened:
        answer = opened.ask(direct.model.family.segment_query("the buildings")).with_phrase("the buildings")
    wanted = answer.to_geojson()["features"]
    assert [one["geometry"] for one in features[: len(wanted)]] == json.loads(
        json.dumps([w["geometry"] for w in wanted])
    )
    nowhere = server.post(
        "/v1/segment", {**asked, "images": [data_url(png(tile(0)))]}, {"Accept": "application/geo+json"}
    )
    assert nowhere.status == 406
    assert "bounds and crs" in nowhere.problem["message"]


# --- Kept images ----------------------------------------------------------------------------------------------------


def test_an_image_is_kept_found_again_and_let_go(server: Server, direct: Pipeline) -> None:
    data = png(tile(4))
    kept = server.ask("POST", "/v1/images", data, {"Content-Type": "image/png"})
    assert (kept.status, kept.json["width_px"], kept.json["height_px"]) == (201, 256, 256)
    again = server.form("/v1/images", [("image", "other name.png", data)])
    assert (again.status, again.json["id"]) == (200, kept.json["id"])
    image_id = kept.json["id"]
    for number in range(2):
        found = server.post("/v1/chat/completions", chat(image_id, BRIDGE)).json
        assert bool(found["usage"]["prompt_tokens_details"]["cached_tokens"]) == bool(number)
    check_equal(
        found["choices"][0]["message"]["grounding"], found["choices"][0]["message"]["content"], direct(tile(4), BRIDGE)
    )
    assert server.get(f"/v1/images/{image_id}/preview").body.startswith(b"\xff\xd8\xff")
    assert server.ask("DELETE", f"/v1/images/{image_id}").json["deleted"] is True
    for reply in (
        server.ask("DELETE", f"/v1/images/{image_id}"),
        server.post("/v1/chat/completions", chat(image_id, BRIDGE)),
        server.post("/v1/chat/completions", chat(f"img_elsewhere.0_{'0' * 32}", BRIDGE)),
    ):
        assert reply.status == 404
        assert "upload" in reply.problem["message"]
