"""Every command that the pages show, and how `test_documented_commands.py` runs it.

`installed`: the package installed from the clone, commands typed in a folder that is not the clone unless they are
about it. `editable`: the clone installed in place, commands typed in it. `developer`: the clone with the `.venv` that
make made.
"""

from __future__ import annotations

from .evaluate_commands import EVAL, EVALUATE
from .preparations import (
    adapter_in_clone,
    files_in_clone,
    geotiff_in_folder,
    pictures_in_clone,
    repository,
    short_recipe,
    short_run,
)
from .ways import (
    ANNOTATE,
    BENCH,
    EXPORT,
    GEO,
    MAKE_TEST,
    PLAIN,
    SERVER,
    TOOLS,
    How,
    annotating,
    bench,
    develop,
    exported,
    placed,
    scores,
    user,
)

PEERS, TRAINING = "pip install -e '.[bench,export]'", "pip install -e '.[training]'"
ANNOTATED = "python -m annotate instances.json data --images pictures --describer rules"
FURTHER = "python -m training.train further --start training/checkpoint --recipe recipe.json"
STAYS_INT8 = "geopixel-edge export training/checkpoint int8 --precision int8"
FP32 = "geopixel-edge export training/checkpoint fp32 --precision fp32"
SEVERAL = 'geopixel-edge ask before.png after.png "<ImageHere> or <ImageHere>: which shows more ships?" --engine engine'
MIXED = (
    "geopixel-edge export GeoPixel-7B engine --precision "
    "vision_encoder=fp16,language_model=int8,grounding_encoder=fp16,pixel_decoder=fp32 --overwrite"
)
INT8 = "geopixel-edge export GeoPixel-7B engine --precision int8 --overwrite --json"
ASAN = "cmake --build build/asan && cp build/asan/_native*.so geopixel_edge/"
ASAN_BUILD = (
    "cmake -S . -B build/asan -DGEOPIXEL_EDGE_SANITIZE=address,undefined "
    "-Dpybind11_DIR=$(python -m pybind11 --cmakedir)"
)
ARM = (
    "cmake -S . -B build/arm -DGEOPIXEL_EDGE_PYTHON=OFF -DGEOPIXEL_EDGE_DIGEST=ON -DCMAKE_SYSTEM_NAME=Linux "
    "-DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ && cmake --build build/arm"
)

# Its `curl` lines and its snippet are typed by test_server_pages.py, against a server.
SERVED = "docs/serve.md"
# Pages with a Python snippet, and where it runs.
SNIPPETS = {
    "README.md": ("installed", PLAIN),
    "docs/start.md": ("installed", PLAIN),
    "docs/ask.md": ("installed", PLAIN),
    "docs/sharing.md": ("installed", PLAIN),
    "docs/georeferenced.md": ("installed", GEO),
    "docs/scenes.md": ("installed", GEO),
    "docs/evaluate.md": ("editable", EVAL),
    "training/README.md": ("editable", BENCH),
}

TABLE = {
    PLAIN: How("installed"),
    **{one: How("editable", shows, writes, after=after, long=True) for one, shows, writes, after in EVALUATE},
    'geopixel-edge ask scene.png "Describe this image with interleaved segmentation masks." --out out': user(
        r"\w", "out/report.html", "out/overlay.png", "out/regions.geojson", "out/answer.json"
    ),
    SEVERAL: user(r"\w"),
    'geopixel-edge segment scene.png "the red ship" --json': user(r'"regions": \['),
    'geopixel-edge ask "What is a pier?" --engine engine': user(r"\w"),
    "geopixel-edge plan --size 4000x3000 --memory 2GB": user(r"peak +\d+ MB"),
    "geopixel-edge info engine": user("vision_encoder"),
    "geopixel-edge verify engine": user("as exported"),
    "geopixel-edge build engine portable --form portable": user("published portable", "portable/manifest.json"),
    "geopixel-edge doctor": user("C\\+\\+ kernels +loaded"),
    "geopixel-edge doctor engine": user(r"ok +engine engine +onnx; .*planned to take"),
    "geopixel-edge --help": user("examples:"),
    'python -X importtime -c "import geopixel_edge"': user(r"\| geopixel_edge\n"),
    SERVER: How("installed", after=(PLAIN,), long=True),
    "geopixel-edge serve": How(
        "installed",
        in_clone=False,
        after=(SERVER,),
        until=r"ready: http://127\.0\.0\.1:8000/",
        long=True,
        why="it serves until it is asked to end",
    ),
    EXPORT: How("installed", after=(PLAIN,), long=True),
    GEO: How("installed", after=(PLAIN,), prepare=geotiff_in_folder, long=True),
    'geopixel-edge segment geo.tif "the ships" --out ships': placed(" N, 54", "ships/regions.geojson"),
    'geopixel-edge segment scene.png "the ships" --bounds 54.37 24.48 54.38 24.49 --crs EPSG:4326 --out placed': placed(
        " N, 54.37", "placed/regions.geojson"
    ),
    'geopixel-edge scene geo.tif "ships" "buildings" --out ships.gpkg --out ships.geojson': placed(
        r"\d+ ships", "ships.gpkg", "ships.geojson", "ships.gpkg.stac.json"
    ),
    'geopixel-edge scene geo.tif "ships" --out ships.gpkg': placed(r"\d+ ships", "ships.gpkg", "ships.html"),
    "geopixel-edge plan geo.tif --scene": placed(r"windows +\d+ of 640 px"),
    "geopixel-edge plan geo.tif --scene --measure": placed(r"time +about \d+:\d\d:\d\d in one process"),
    "geopixel-edge scene geo.tif --describe --out described.geojson": placed("windows asked", "described.geojson"),
    'geopixel-edge scene geo.tif "ships" --out ships.gpkg --retry-failed': placed(r"\d+ ships", "ships.gpkg"),
    "geopixel-edge export GeoPixel-7B engine --precision fp16": exported(),
    MIXED: exported(),
    "geopixel-edge export GeoPixel-7B engine --precision language_model=int8,*=fp16": exported(),
    "geopixel-edge export GeoPixel-7B engine --adapter finetuned": exported(adapter_in_clone),
    "geopixel-edge export GeoPixel-7B engine --precision int4 --calibrate pictures": exported(pictures_in_clone),
    INT8: How("installed", r'"distance"', ("engine/manifest.json",), in_clone=False, after=(EXPORT,), long=True),
    BENCH: How("editable", long=True),
    **{
        f"python -m benchmarks.{name}": bench(word)
        for name, word in {"latency": "whole", "draft": "equal", "serve": "equal"}.items()
    },
    "python -m benchmarks.batch": bench("times, at most 2.5", after=PEERS),
    "python -m benchmarks.stretch --scenes 24": bench("as drawn"),
    "python -m benchmarks.tokenization": bench("ids and texts equal", after=PEERS),
    "python -m benchmarks.scenes": bench(r"merging 1\d+ views"),
    "python -m benchmarks.scene_quality --variant dateline --scale 0.5 --single 4": bench("single scenes"),
    "python -m benchmarks.kernels --sizes 800x800": bench("polygons"),
    "python -m training.contact_sheet sheet.png --seed 300 --scenes 24": bench("sheet", "sheet.png"),
    "python -m training.contact_sheet masks.png --seed 300 --scenes 24 --outlines": bench("masks", "masks.png"),
    "python -m benchmarks.accuracy --scenes 20": bench("referring.p50"),
    "python -m benchmarks.latency engine --image scene.png --repeat 9 --threads 1 --json": bench('"phases"'),
    "python -m benchmarks.latency engine --json": bench('"phases"'),
    "python -m benchmarks.latency engine --device cpu --threads 2 --repeat 5 --max-new-tokens 64 --json": bench(
        '"phases"'
    ),
    "python -m benchmarks.latency --max-new-tokens 128 --repeat 9 --json": bench('"phases"'),
    "python -m training.write data --scenes 1000 --seed 0": bench("data/train.json", "data/train.json"),
    "python -m benchmarks.accuracy --scenes 500 --json": scores(BENCH),
    "python -m benchmarks.accuracy --scenes 500 --threads 1 --json": scores(BENCH),
    PEERS: How("editable", long=True),
    "python -m benchmarks.kernels --sizes 800x800 1920x1080 --repeat 3 --json": bench('"ratio_reference"', after=PEERS),
    "python -m benchmarks.kernels --sizes 800x800 1920x1080 3840x2160 --repeat 7 --json": bench(
        '"ratio_reference"', after=PEERS
    ),
    FP32: bench("published fp32", "fp32/manifest.json", after=PEERS),
    "python -m benchmarks.accuracy fp32 --scenes 500 --threads 1 --json": scores(FP32),
    STAYS_INT8: bench("published int8", "int8/manifest.json", after=PEERS),
    "python -m benchmarks.accuracy int8 --scenes 500 --threads 1 --json": scores(STAYS_INT8),
    ANNOTATE: How("editable", long=True),
    ANNOTATED: annotating("pictures: ", "data/GeoPixelD/GeoPixelD.json", "data/run.json"),
    "python -m annotate scenes:2000065-2000067 marked --describer rules --profile published --marks": annotating(
        "pictures: 3 keep", "marked/marks/scene_2000065_1.png"
    ),
    "python -m annotate scenes:2000065-2000067 looked --describer rules --round-trip bundled": annotating(
        "pictures: .* review", "looked/run.json"
    ),
    "python -m evaluate truth --data data/GeoPixelD --split train --out truth": How(
        "editable", "truth/train_gcg_coco_mask_gt.json", after=(EVAL, ANNOTATED), long=True
    ),
    "python -m training.finetune data/GeoPixelD/GeoPixelD.json tuned": How(
        "editable",
        after=(TRAINING, ANNOTATED),
        until=r"\b[1-9]/2000",
        long=True,
        why="hours; test_finetuning.py goes through all of it with a tiny model",
    ),
    TRAINING: How("editable", long=True),
    "python -m training.train run": How(
        "editable",
        after=(TRAINING,),
        until=r"\b[1-9]\d*/\d{4}",
        long=True,
        why="hours; it is seen to draw scenes, and `further` goes through all the rest",
    ),
    FURTHER: How("editable", "", ("further/checkpoint",), after=(TRAINING,), prepare=short_recipe, long=True),
    "python -m training.diagnose run/checkpoint": How(
        "editable", "pointed", after=(FURTHER,), prepare=short_run, long=True
    ),
    "python -m training.curves run curves.png": How(
        "editable", "", ("curves.png",), after=(FURTHER,), prepare=short_run, long=True
    ),
    "geopixel-edge export run/checkpoint engine --precision int8": How(
        "editable", "published engine", ("engine/manifest.json",), after=(FURTHER,), prepare=short_run, long=True
    ),
    "python -m benchmarks.accuracy engine --scenes 500": scores(BENCH, files_in_clone),
    "make demo": develop("report.html", "build/demo/report.html", after=()),
    "make check": develop(r"\d+ passed", after=()),
    MAKE_TEST: How(
        "developer",
        until=r"(?s)passed.*\[ +\d+%\]",
        long=True,
        why="all the other tests; it is seen to pass what `make check` does, and some",
    ),
    "make docs": develop("index.html", "build/docs/index.html", after=()),
    "make nightly": How(
        "developer", until=r"::test_\w+", long=True, after=(MAKE_TEST,), why="it is what runs this; it is seen to begin"
    ),
    "make nightly-aarch64": How(
        "developer",
        until="a Debian 12 root",
        long=True,
        after=(MAKE_TEST,),
        why="it takes root; it is seen to begin",
        programs=("mmdebstrap", "qemu-aarch64-static"),
    ),
    ". .venv/bin/activate": develop(),
    "pytest -q tests/unit/test_divider.py": develop(r"\d+ passed"),
    "ruff check . && ruff format --check . && mypy": develop("no issues found"),
    "pip install pre-commit": develop(),
    "pre-commit install": How(
        "developer",
        "pre-commit installed",
        (".git/hooks/pre-commit",),
        after=(MAKE_TEST, "pip install pre-commit"),
        prepare=repository,
        long=True,
    ),
    "pip install -e .": develop(),
    "pytest tests/unit/test_native.py": develop(r"\d+ passed"),
    TOOLS: develop(),
    "CMAKE_ARGS=-DGEOPIXEL_EDGE_WERROR=ON pip install --no-build-isolation -e .": develop(after=(MAKE_TEST, TOOLS)),
    "cmake -S . -B build/fuzz -DGEOPIXEL_EDGE_PYTHON=OFF -DGEOPIXEL_EDGE_FUZZ=ON -DCMAKE_CXX_COMPILER=clang++ "
    "-DGEOPIXEL_EDGE_SANITIZE=address,undefined && cmake --build build/fuzz && build/fuzz/fuzz_rle -max_len=400 "
    "-max_total_time=60": develop(r"DONE|Done \d+ runs", programs=("clang++",)),
    "cmake -S . -B build/x86 -DGEOPIXEL_EDGE_PYTHON=OFF -DGEOPIXEL_EDGE_DIGEST=ON && cmake --build build/x86 && "
    "build/x86/digest": develop("[0-9a-f]{16}"),
    ARM: develop("", "build/arm/digest", programs=("aarch64-linux-gnu-g++",)),
    "qemu-aarch64 -L /usr/aarch64-linux-gnu build/arm/digest": develop(
        "[0-9a-f]{16}", after=(MAKE_TEST, ARM), programs=("qemu-aarch64",)
    ),
    ASAN_BUILD: develop(after=(MAKE_TEST, TOOLS)),
    # From here on the clone's kernels need the sanitizers' libraries, so nothing else of the place comes after.
    ASAN: develop(after=(ASAN_BUILD,)),
    'LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libstdc++.so.6)" '
    "ASAN_OPTIONS=detect_leaks=0 pytest tests/unit/test_native.py": develop(r"\d+ passed", after=(ASAN,)),
}
