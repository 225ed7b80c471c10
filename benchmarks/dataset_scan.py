"""What a large dataset costs before training: headers read, captions read, buckets, one epoch.

    python benchmarks/dataset_scan.py --pictures 100000

Made-up pictures of several sizes with captions, scanned in a process of its own. Prints seconds
and the most memory that process held; no pixel is decoded.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from optimizer.config.dataset import dataset_config_from
from optimizer.data.batches import epoch_batches
from optimizer.data.records import scan
from optimizer.data.samples import place_record

SIZES = [(640, 480), (512, 768), (1024, 1024), (1200, 800), (333, 999), (900, 1600)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--scan", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.scan is not None:
        print(json.dumps(_scanned(chosen.scan)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        _make(Path(temporary), chosen.pictures)
        command = [sys.executable, __file__, "--scan", temporary]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
    print(f"{platform.machine()}, {os.cpu_count()} cores, {chosen.pictures} pictures")
    for name, value in json.loads(result.stdout).items():
        print(f"{name:<28}{value:>10}")


def _make(folder: Path, count: int) -> None:
    """Hard links would share what the system caches; these are files of their own."""
    originals = []
    for number, size in enumerate(SIZES):
        path = folder / f".{number}.jpg"
        Image.effect_noise(size, 60).convert("RGB").resize(size).save(path, quality=5)
        originals.append(path.read_bytes())
        path.unlink()
    for number in range(count):
        (folder / f"{number:06d}.jpg").write_bytes(originals[number % len(originals)])
        (folder / f"{number:06d}.txt").write_text(f"mivo, number {number}, standing, outside")


def _scanned(folder: Path) -> dict[str, float]:
    subset = {"image_dir": str(folder), "caption_extension": ".txt"}
    table = {"resolution": 1024, "batch_size": 4, "enable_bucket": True, "subsets": [subset]}
    config = dataset_config_from({"datasets": [table]}, folder / "dataset.toml")
    started = time.monotonic()
    records = scan(config)
    scanned = time.monotonic()
    buckets = {place_record(record).bucket for record in records}
    batches = epoch_batches(records, seed=1, epoch=1)
    planned = time.monotonic()
    return {
        "headers and captions, s": round(scanned - started, 1),
        "buckets and one epoch, s": round(planned - scanned, 1),
        "buckets": len(buckets),
        "batches": len(batches),
        "most memory, MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


if __name__ == "__main__":
    main()
