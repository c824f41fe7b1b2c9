"""Measure how fast photos become augmented training images, and compare with torchvision on Pillow."""

import os
import re
import statistics
import sys
from pathlib import Path

from measure import ALLOCATOR, Bench, Figure, Unmeasured, run

# Photos of ImageNet's size, in one folder.
PHOTOS = Path(os.environ.get("TFNAS_PHOTOS", Path(__file__).resolve().parents[3] / "shared/data/photos"))
# Sides of training images: that of ImageNet, and one at which most crops can be decoded at a reduced scale.
RESOLUTION = 224
SMALL_RESOLUTION = 96
SECONDS = 6
# Required speedups over torchvision, per core, by `data.decode`.
GOALS = {"exact": 2.5, "fast": 4.0}
# Links to each photo, so that the images do not fit into memory and are decoded every time.
COPIES = 100

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
    once, often = bench.work / "photos", bench.work / "many"
    for folder, copies in ((once, 1), (often, COPIES)):
        (folder / "class").mkdir(parents=True)
        for photo in photos:
            for copy in range(copies):
                (folder / "class" / f"{copy}-{photo.name}").symlink_to(photo)
    script = bench.work / "torchvision_loading.py"
    script.write_text(TORCHVISION)
    environment = {**os.environ, **ALLOCATOR, "PYTHONPATH": f"{packages}:{bench.source / 'ci/interop'}"}
    figures = []
    for resolution in (RESOLUTION, SMALL_RESOLUTION):
        ours = [str(bench.programs / "examples/loading"), str(often), "1", str(resolution), str(SECONDS)]
        theirs = [sys.executable, str(script), str(once), str(resolution), str(SECONDS)]
        rates: dict[str, list[float]] = {"torchvision": [], **{decode: [] for decode in GOALS}}
        for _ in range(bench.few):
            for decode in GOALS:
                rates[decode].append(images_per_s(run([*ours, decode], bench.work, environment).output))
            rates["torchvision"].append(images_per_s(run(theirs, bench.work, environment).output))
        for name, samples in rates.items():
            figures.append(Figure.median(f"photos to images of {resolution} pixels, one thread, {name}", "images/s", samples))
        slowest = statistics.median(rates["torchvision"])
        for decode, goal in GOALS.items():
            ratio = slowest / statistics.median(rates[decode])
            name = f"time of photos to images of {resolution} pixels over torchvision's, {decode}"
            figures.append(Figure(name, "x", ratio, 1 / goal))
    return figures


def images_per_s(output: str) -> float:
    found = re.search(r"([\d.]+) images/s", output)
    if found is None:
        raise Unmeasured(output[-2000:])
    return float(found.group(1))
