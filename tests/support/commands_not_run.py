"""Commands that the pages show and no test types."""

from __future__ import annotations

# Not typed by the tests, with the reason.
NOT_RUN = {
    "geopixel-edge serve --port 8080": "`geopixel-edge serve` is typed, and test_server_life.py gives --port",
    "pip install tokenizers": "for engines with a tokenizer.json alone, which test_engine_tables.py opens without it",
    "apt install clang g++-aarch64-linux-gnu qemu-user": "changes the machine; what needs it fails without",
    "pip uninstall --yes onnxruntime && pip install onnxruntime-gpu 'cuda-core[cu13]'": "needs an NVIDIA GPU",
    "geopixel-edge verify portable --device cuda": "needs an NVIDIA GPU",
    "pytest -m gpu tests/gpu": "needs an NVIDIA GPU",
    "geopixel-edge build engine rtx --runtime tensorrt-rtx --sm 86": "test_tensorrt_build.py builds every block so",
    "geopixel-edge build engine orin --runtime tensorrt --memory 8GB": "needs a Jetson",
    'geopixel-edge ask scene.png "..." --engine orin --device cuda': "needs a Jetson",
    "pip install '.[tensorrt]'": "of use beside an NVIDIA GPU alone",
    "pip install '.[tensorrt-rtx]'": "the extra [test] brings the same packages, and test_tensorrt_build.py needs them",
    "sudo apt install nvidia-jetpack python3-libnvinfer python3-venv": "needs a Jetson",
    "python3 -m venv --system-site-packages edge && . edge/bin/activate": "needs a Jetson",
    "pip install . 'cuda-core[cu12]'": "needs a Jetson",
    "python -m benchmarks.gpu engine --against torch --json": "needs an NVIDIA GPU",
    "python -m benchmarks.latency portable --device cuda --json": "needs an NVIDIA GPU",
}
