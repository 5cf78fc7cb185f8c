"""Every reference case through the SDK on the float32 engine in both forms, compared at every block's border."""

from __future__ import annotations

import numpy as np
import pytest

from geopixel_edge.blocks.language_model import Rows
from geopixel_edge.masks import Mask
from geopixel_edge.memory.capacity import cache_capacity
from geopixel_edge.model import Model
from geopixel_edge.pipeline import Pipeline

from ..support.recording import Recorder, recorded
from ..support.sam2_reference import DATA, Golden, golden

CHUNK = 512
CASES = sorted(path.stem for path in (DATA / "goldens").glob("s*.json"))
TOLERANCES = {
    "clip_in_global": 1e-5,
    "clip_in_tiles": 1e-5,
    "image_embeds": 2e-5,
    "inputs_embeds": 2e-5,
    "prefill_final_norm": 2e-5,
    "step_logits": 5e-5,
    "seg_hidden": 5e-5,
    "sam_in": 1e-5,
    "sam_image_embed": 2e-5,
    "sam_high_res0": 2e-5,
    "sam_high_res1": 2e-5,
    "low_res_masks": 1e-4,
}


def borders(case: Golden, recorders: dict[str, Recorder], model_of: Model) -> dict[str, np.ndarray]:
    """What crossed each block's border, under the reference's names and in its shapes."""
    facts = case.facts
    views = np.concatenate([feeds["views"] for feeds in recorders["vision_encoder"].feeds] or [np.zeros(0)])
    model = recorders["language_model"]
    embeds = np.concatenate([feeds["inputs_embeds"] for feeds in model.feeds], axis=1)
    prompt, steps = facts["prompt_len"], len(facts["generated_ids"])
    # Every run of one token is a decode step; the last run before them gave the first token.
    logits = [outputs["logits"][0] for outputs in model.outputs if len(outputs["logits"])][-steps:]
    found = {
        "inputs_embeds": embeds[:, :prompt],
        "prefill_final_norm": every_hidden(model_of, embeds[0, :prompt], image_rows(model))[None],
        "step_logits": np.stack(logits),
    }
    if len(views):
        found |= {"clip_in_global": views[:1], "clip_in_tiles": views[1:]}
        found["image_embeds"] = embeds[:, 1 : 1 + facts["image_token_count"]]
    if facts.get("seg_steps_used_1based"):
        found["seg_hidden"] = np.concatenate([feeds["seg_hidden"] for feeds in recorders["pixel_decoder"].feeds])
        found["sam_in"] = recorders["grounding_encoder"].feeds[0]["image"]
        pyramid = recorders["grounding_encoder"].outputs[0]
        found["sam_image_embed"] = pyramid["image_embed"]
        found["sam_high_res0"], found["sam_high_res1"] = pyramid["high_res0"], pyramid["high_res1"]
        low_res = [outputs["low_res_masks"] for outputs in recorders["pixel_decoder"].outputs]
        found["low_res_masks"] = np.concatenate(low_res)[:, None]
    return found


def image_rows(recorder: Recorder) -> np.ndarray:
    """Which rows of the prompt hold image tokens, over all its runs."""
    marks = [np.isin(np.arange(feeds["inputs_embeds"].shape[1]), feeds["image_rows"]) for feeds in recorder.feeds]
    return np.concatenate(marks)


def every_hidden(model: Model, embeds: np.ndarray, is_image: np.ndarray) -> np.ndarray:
    """The hidden states of all rows; an answer asks for those of the last alone."""
    rows = Rows.of(model.device, model.embeddings, [model.device.put(embeds)])
    rows.is_image[:] = is_image[: len(embeds)]
    cache = model.new_cache(cache_capacity(model.manifest, len(rows)))
    found = []
    for start in range(0, len(rows), CHUNK):
        part = rows.part(start, min(start + CHUNK, len(rows)))
        found.append(model.read(part, cache, wanted=range(len(part))).hidden.numpy())
    return np.concatenate(found)


@pytest.mark.parametrize("name", CASES)
def test_case_equals_the_original_at_every_border(pipeline_of_form: Pipeline, name: str) -> None:
    pipeline = pipeline_of_form
    case = golden(name)
    facts = case.facts
    image = None if facts["image"] is None else DATA / "images" / facts["image"]
    options = {"hd_num": facts["hd_num"], "max_new_tokens": facts["max_new_tokens"]}
    with recorded(pipeline) as recorders:
        answer = pipeline(image, facts["query"], history=facts["history"], compat=True, **options)
    assert answer.token_ids == facts["generated_ids"]
    assert answer.response == facts["response"]
    assert answer.finish_reason == {"eos": "eos", "max_new_tokens": "length"}[facts["ended_by"]]
    found = borders(case, recorders, pipeline.model)
    distances = {key: case.distance(key, value) for key, value in found.items() if key in case.arrays}
    assert {"inputs_embeds", "step_logits"} <= distances.keys()
    assert {key: value for key, value in distances.items() if value > TOLERANCES[key]} == {}
    expected = {key for key in TOLERANCES if key in case.arrays}
    if not facts.get("seg_steps_used_1based"):
        # The grounding encoder runs for the first mask only, so without one it has nothing to show here.
        expected = {key for key in expected if not key.startswith("sam_")}
    assert distances.keys() == expected
    check_masks(case, [region.mask for region in answer.regions])


def check_masks(case: Golden, masks: list[Mask]) -> None:
    """As many masks as the original gave, equal up to pixels whose logit is within float noise of the threshold."""
    assert len(masks) == len(case.facts.get("seg_steps_used_1based", []))
    if not masks:
        return
    shape = tuple(case.facts["final_mask_shape"])
    bits = np.unpackbits(case.arrays["final_mask_bits"], count=int(np.prod(shape))).reshape(shape).astype(bool)
    for mask, expected, allowed in zip(masks, bits, case.facts["final_pixels_abs_lt_1e-3"], strict=True):
        assert np.count_nonzero(mask.to_array() != expected) <= allowed
        assert mask.area_px == np.count_nonzero(mask.to_array())
