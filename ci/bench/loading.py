"""Measure how fast photos become augmented training images, and compare with torchvision on Pillow."""

import os
import re
import statistics
import sys
from pathlib import Path

from measure import Bench, Figure, Unmeasured, run

# Photos of ImageNet's size, in one folder.
PHOTOS = Path(os.environ.get("TFNAS_PHOTOS", Path(__file__).resolve().parents[3] / "shared/data/photos"))
RESOLUTION = 224
SECONDS = 6
# Required speedup over torchvision, per core.
GOAL = 2.5

# The transform of the authors' ImageNet training, up to bytes, in one thread.
TORCHVISION = """
import sys, time
from pathlib import Path
import torch
from PIL import Image
from torchvision import transforms

torch.set_num_threads(1)
files = sorted(Path(sys.argv[1]).glob("*/*"))
transform = transforms.Compose([
    transforms.RandomResizedCrop(int(sys.argv[2])),
    transforms.RandomHorizontalFlip(),
    transforms.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2),
    transforms.PILToTensor(),
])
images, start = 0, time.perf_counter()
while time.perf_counter() - start < float(sys.argv[3]):
    for file in files:
        transform(Image.open(file).convert("RGB"))
    images += len(files)
print(f"{images / (time.perf_counter() - start):.1f} images/s")
"""


def measure(bench: Bench) -> list[Figure]:
    packages = bench.python_packages("torchvision")
    photos = sorted(PHOTOS.glob("*.JPEG")) if PHOTOS.is_dir() else []
    if not photos:
        raise Unmeasured(f"{PHOTOS} contains no photos: set TFNAS_PHOTOS to a folder of *.JPEG files")
    folder = bench.work / "photos"
    (folder / "class").mkdir(parents=True)
    for photo in photos:
        (folder / "class" / photo.name).symlink_to(photo)
    script = bench.work / "torchvision_loading.py"
    script.write_text(TORCHVISION)
    ours = [str(bench.programs / "examples/loading"), str(folder), "1", str(RESOLUTION), str(SECONDS)]
    theirs = [sys.executable, str(script), str(folder), str(RESOLUTION), str(SECONDS)]
    environment = {**os.environ, "PYTHONPATH": f"{packages}:{bench.source / 'ci/interop'}"}
    rates: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(bench.few):
        rates["ours"].append(images_per_s(run(ours, bench.work).output))
        rates["theirs"].append(images_per_s(run(theirs, bench.work, environment).output))
    speedup = statistics.median(rates["ours"]) / statistics.median(rates["theirs"])
    return [
        Figure.median("photos to augmented images, one thread", "images/s", rates["ours"]),
        Figure.median("photos to augmented images, one thread, torchvision", "images/s", rates["theirs"]),
        Figure("time of photos to augmented images over torchvision's", "x", 1 / speedup, 1 / GOAL),
    ]


def images_per_s(output: str) -> float:
    found = re.search(r"([\d.]+) images/s", output)
    if found is None:
        raise Unmeasured(output[-2000:])
    return float(found.group(1))
