"""Commands that the pages show and no test types."""

from __future__ import annotations

# Not typed by the tests, with the reason.
_NEEDS_DATA = "needs the published data and a 7B engine; tests/evaluate/test_runs.py does the same in miniature"
NOT_RUN = {
    "python -m benchmarks.precisions training/checkpoint runs/precisions": "test_precisions.py asks about fewer",
    **dict.fromkeys(
        (
            "python -m evaluate rsgcg GeoPixel-7B-engine --data GeoPixelD --out runs/rsgcg --compat",
            "python -m evaluate rrsisd GeoPixel-7B-RES-engine --data DATA --split val test --out runs/rrsisd --compat",
            "python -m evaluate score runs/rsgcg --similarity bert:bert-base-uncased",
            "python -m evaluate score runs/rrsisd",
            "python -m evaluate questions --data GeoPixelD",
            "python -m evaluate rsgcg GeoPixel-7B-engine --data GeoPixelD --out runs/question3 --question 3 --compat",
            "python -m evaluate rsgcg GeoPixel-7B-engine --data GeoPixelD --out part3 --shard 3/8 --compat",
            "python -m evaluate score part1 part2 part3 part4 part5 part6 part7 part8",
            "python -m evaluate rsgcg GeoPixel-7B-engine --data GeoPixelD --out runs/ray --compat --ray auto "
            "--workers 8",
        ),
        _NEEDS_DATA,
    ),
    "python -m annotate instances.json data --images pictures --describer openai:http://127.0.0.1:8000/v1,MODEL "
    "--shard 1/8": "needs a served model; test_endpoint.py asks a server of its own",
    "python -m annotate apply data/review/patch_page_001.json": "test_review_page.py saves one and applies it",
    **dict.fromkeys(
        (
            "python -m annotate scenes:0-1999 rules --describer rules",
            "python -m training.finetune rules/GeoPixelD/GeoPixelD.json tuned",
            "python -m training.write own --scenes 2000 --questions 0",
            "python -m training.finetune own/train.json control",
            "geopixel-edge export tuned/checkpoint tuned_engine --precision int8",
            "geopixel-edge export control/checkpoint control_engine --precision int8",
            "python -m benchmarks.accuracy tuned_engine --scenes 500",
            "python -m benchmarks.accuracy control_engine --scenes 500",
        ),
        "days of training; each is typed with less, and test_finetuning.py goes through a run",
    ),
    "geopixel-edge serve --port 8080": "`geopixel-edge serve` is typed, and test_server_life.py gives --port",
    "geopixel-edge serve --allow-remote-images images.example tiles.example:8443 --allow-local-images /srv/scenes": (
        "test_server_named_images.py starts one with a host and a folder of its own"
    ),
    "pip install tokenizers": "for engines with a tokenizer.json alone, which test_engine_tables.py opens without it",
    "apt install clang g++-aarch64-linux-gnu qemu-user": "changes the machine; what needs it fails without",
    "pip uninstall --yes onnxruntime && pip install onnxruntime-gpu 'cuda-core[cu13]'": "needs an NVIDIA GPU",
    "python -m benchmarks.scenes --peer sahi=PYTHON --peer samgeo=PYTHON --json": "needs an environment for each; "
    "it is typed without them",
    "python -m benchmarks.scene_quality --both-stretches --json": "hours; typed of one small mosaic",
    "pip install -e '.[bench-scale]'": "gigabytes of peers, one of them compiled",
    "python -m benchmarks.scale --work scale --json": "needs the peers of [bench-scale]",
    "python -m benchmarks.scale --work scale --whole": "24 GB of disk and hours; test_scale_answers.py runs its parts",
    'CMAKE_ARGS="-DGGML_NATIVE=OFF -DGGML_AVX512=ON -DGGML_AVX512_VNNI=ON" pip install --no-cache-dir '
    "--no-binary llama-cpp-python llama-cpp-python": "compiles for twenty minutes",
    "geopixel-edge verify portable --device cuda": "needs an NVIDIA GPU",
    "python examples/07_on_ray.py images answers.parquet 2": "test_examples.py runs it on fewer images",
    'geopixel-edge scene mosaic.tif "ships" "buildings" "planes" --out ships.gpkg': "scene_pictures.py types it",
    "python -m tests.support.scene_pictures pictures": "needs Chromium; test_gis.py runs it",
    'geopixel-edge scene scenes "ships" --out layers/{}.gpkg': "test_scene_ray.py asks a folder of generated scenes",
    'geopixel-edge scene scenes "ships" --out layers/{}.gpkg --ray auto --jobs 8': "needs a Ray cluster",
    "pytest -m gpu tests/gpu": "needs an NVIDIA GPU",
    "geopixel-edge build engine rtx --runtime tensorrt-rtx --sm 86": "test_tensorrt_build.py builds every block so",
    "python -m benchmarks.accuracy ENGINE --scenes 500 --threads 1 --texts OWN.jsonl --against FP32.jsonl --json": (
        "stands for two engines; the same without texts is seen to begin"
    ),
    "geopixel-edge build portable ada --float8": "test_float8.py types it of an engine of float16",
    "geopixel-edge build ada plans --runtime tensorrt-rtx --sm 89": "test_float8.py builds plans so",
    "geopixel-edge build engine orin --runtime tensorrt --memory 24GB": "needs a Jetson",
    "geopixel-edge doctor orin": "needs a Jetson; test_doctor_engines.py types it with a manifest of one",
    "sudo systemctl disable --now nvzramconfig": "needs a Jetson",
    "sudo fallocate -l 24G /mnt/nvme/swap && sudo chmod 600 /mnt/nvme/swap": "changes the machine",
    "sudo mkswap /mnt/nvme/swap && sudo swapon /mnt/nvme/swap": "changes the machine",
    "sudo nvpmodel -m 0 && sudo jetson_clocks": "needs a Jetson",
    "pip uninstall --yes onnxruntime onnxruntime-gpu": "mends what test_doctor.py makes of metadata alone",
    "pip install --no-deps onnxruntime_gpu.whl": "stands for a wheel of JetPack's",
    "pip install '.[gpu]'": "of use beside an NVIDIA GPU alone",
    "geopixel-edge plan --engine engine --size 1024x1024 --memory SIZE": "needs GeoPixel-7B; its like is typed",
    "python -m benchmarks.latency orin --device cuda --energy": "needs a Jetson",
    "python -m benchmarks.gpu orin --against --json": "needs a Jetson",
    "pytest -m long tests/nightly/test_tensorrt_depths.py": "`make nightly` runs it",
    "docker build --file docker/Dockerfile.jetson --tag geopixel-edge .": "needs a Jetson",
    'docker run --rm --runtime nvidia --volume "$PWD":/data geopixel-edge doctor orin': "needs a Jetson",
    'geopixel-edge ask scene.png "..." --engine orin --device cuda': "needs a Jetson",
    "pip install '.[tensorrt]'": "of use beside an NVIDIA GPU alone",
    "pip install '.[tensorrt-rtx]'": "the extra [test] brings the same packages, and test_tensorrt_build.py needs them",
    "sudo apt install nvidia-jetpack python3-libnvinfer python3-venv": "needs a Jetson",
    "python3 -m venv --system-site-packages edge && . edge/bin/activate": "needs a Jetson",
    "pip install . 'cuda-core[cu12]'": "needs a Jetson",
    "python -m benchmarks.gpu engine --against torch torch-compiled --float32 exact --json": "needs an NVIDIA GPU",
    "python -m benchmarks.gpu engine --against torch --json": "needs an NVIDIA GPU",
    "python -m benchmarks.latency portable --device cuda --json": "needs an NVIDIA GPU",
}
