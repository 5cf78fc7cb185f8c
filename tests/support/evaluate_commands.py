"""The commands of docs/evaluate.md, typed one after another in a clone."""

from __future__ import annotations

EVAL = "pip install -e '.[eval]'"
_SCENES = "python -m evaluate miniature mini/geopixeld --layout geopixeld --images 20"
_ASK = "python -m evaluate rsgcg bundled --data mini/geopixeld --out runs/mini"
_REFER = "python -m evaluate miniature mini/rrsisd --layout rrsisd --images 20"
_ASK_REFER = "python -m evaluate rrsisd bundled --data mini/rrsisd --out runs/refer --split val test"
_TRUTH = "python -m evaluate truth --data mini/geopixeld --out gt"
_FP32 = "geopixel-edge export training/checkpoint fp32 --precision fp32"

# Command, what it shows, what it writes, what is typed before.
EVALUATE: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...]], ...] = (
    (EVAL, "", (), ()),
    ("python -m evaluate check", "of 101 cases, 0 wrong", (), (EVAL,)),
    (_SCENES, "20 images", ("mini/geopixeld/test",), (EVAL,)),
    (_ASK, "20 of 20 images here", ("runs/mini/run.json",), (EVAL, _SCENES)),
    ("python -m evaluate score runs/mini", r"recall \(words\)", ("runs/mini/report.html",), (EVAL, _SCENES, _ASK)),
    (_REFER, "20 images", ("mini/rrsisd/rrsisd/instances.json",), (EVAL,)),
    (_ASK_REFER, "images here", ("runs/refer/run.json",), (EVAL, _REFER)),
    ("python -m evaluate score runs/refer", "oIoU", ("runs/refer/report.html",), (EVAL, _REFER, _ASK_REFER)),
    (
        "python -m evaluate compare bundled fp32 --data mini/geopixeld --out runs/compared",
        "same text",
        ("runs/compared/comparison.html",),
        (EVAL, _SCENES, _FP32),
    ),
    (_TRUTH, "test_gcg_coco_mask_gt.json", ("gt/test_gcg_coco_mask_gt.json",), (EVAL, _SCENES)),
    (
        "python -m evaluate score --predictions runs/mini/predictions --truth gt",
        "as given",
        (),
        (EVAL, _SCENES, _ASK, _TRUTH),
    ),
)
