"""`python -m benchmarks.plain_wrapper`: the HTTP server that public code puts around the model, as a peer to measure.

One lock around the model, nothing kept between requests, the whole answer at once: base64 and a question in, text and
masks out. It checks nothing: do not use it.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from PIL import Image

from geopixel_edge import Pipeline


def handler_of(pipe: Pipeline) -> type[BaseHTTPRequestHandler]:
    """A handler class around one pipeline and its lock."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        """Answers POST with {"image": base64, "question": text}."""

        def do_POST(self) -> None:
            """Answer one question."""
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            image = Image.open(io.BytesIO(base64.b64decode(asked["image"]))).convert("RGB")
            with lock:
                answer = pipe(image, asked["question"])
            body = json.dumps({"text": answer.text, "masks": [one.mask.to_coco() for one in answer.regions]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    return Handler


def main() -> None:
    """Serve on a free port, which is printed once the engine is loaded."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plain_wrapper", description=__doc__)
    parser.add_argument("--engine", type=Path, help="default: the bundled engine")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    with Pipeline(args.engine, device=args.device, threads=args.threads) as pipe:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(pipe))
        print(f"ready: http://127.0.0.1:{server.server_port}/", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
