"""A folder of any number of images on Ray: `python 07_on_ray.py FOLDER OUT.parquet [WORKERS] [ADDRESS]`.

Answers are rows of a Parquet file, masks as COCO run lengths. Without ADDRESS Ray runs on this machine; with one
(`auto` on a machine of the cluster) the folder must be there under the same path on all. Needs the extra `cluster`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from geopixel_edge.batch.ray import ask_rows, schema

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp")
QUESTION = "Describe this image with interleaved segmentation masks."


def main(folder: str, out: str, workers: str = "2", address: str | None = None) -> None:
    paths = sorted(path for path in Path(folder).absolute().iterdir() if path.suffix.lower() in SUFFIXES)
    rows = [{"id": path.name, "image": str(path), "query": QUESTION} for path in paths]
    with pq.ParquetWriter(out, schema()) as file:
        # Each is written as it comes, in no order: memory does not grow with the folder.
        for done, answer in enumerate(ask_rows(rows, address=address, workers=int(workers)), 1):
            file.write_table(pa.Table.from_pylist([answer], schema=schema()))
            print(f"{done}/{len(rows)} {answer['id']}: {answer['error'] or answer['text']}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
