"""Measure how fast photos become augmented training images, and compare with torchvision on Pillow."""

import os
import re
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

from measure import ALLOCATOR, Bench, Figure, Unmeasured, run

# Photos of ImageNet's size, in one folder.
PHOTOS = Path(os.environ.get("TFNAS_PHOTOS", Path(__file__).resolve().parents[3] / "shared/data/photos")).resolve()
# Photos as cameras make them: some of the same, enlarged.
LARGE_PHOTOS = 12
ENLARGED = 8
SECONDS = 6
# Required speedups over torchvision, per core, by `data.decode`.
GOALS = {"exact": 2.5, "fast": 4.0}
# Links to each photo, so that the images do not fit into memory and are decoded every time.
COPIES = 100


@dataclass(frozen=True)
class Case:
    """Photos, and the side of the training images in pixels."""

    photos: str
    resolution: int

    @property
    def name(self) -> str:
        return f"{self.photos} to images of {self.resolution} pixels"


# The resolution of ImageNet, one at which most crops can be decoded at a reduced scale, and larger photos.
CASES = [Case("photos", 224), Case("photos", 96), Case("large photos", 224)]

ENLARGE = """
import sys
from pathlib import Path
from PIL import Image

for file in sys.argv[3:]:
    image = Image.open(file).convert("RGB")
    image = image.resize([side * int(sys.argv[2]) for side in image.size], Image.Resampling.LANCZOS)
    image.save(Path(sys.argv[1]) / Path(file).name, "JPEG", quality=90)
"""

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
    environment = {**os.environ, **ALLOCATOR, "PYTHONPATH": f"{packages}:{bench.source / 'ci/interop'}"}
    sets = {"photos": photos, "large photos": enlarged(bench, photos[:LARGE_PHOTOS], environment)}
    for name, files in sets.items():
        link(bench.work / f"{name} once", files, 1)
        link(bench.work / f"{name} often", files, COPIES)
    script = bench.work / "torchvision_loading.py"
    script.write_text(TORCHVISION)
    figures = []
    for case in CASES:
        rest = [str(case.resolution), str(SECONDS)]
        ours = [str(bench.programs / "examples/loading"), str(bench.work / f"{case.photos} often"), "1", *rest]
        theirs = [sys.executable, str(script), str(bench.work / f"{case.photos} once"), *rest]
        rates: dict[str, list[float]] = {"torchvision": [], **{decode: [] for decode in GOALS}}
        for _ in range(bench.few):
            for decode in GOALS:
                rates[decode].append(images_per_s(run([*ours, decode], bench.work, environment).output))
            rates["torchvision"].append(images_per_s(run(theirs, bench.work, environment).output))
        for name, samples in rates.items():
            figures.append(Figure.median(f"{case.name}, one thread, {name}", "images/s", samples))
        slowest = statistics.median(rates["torchvision"])
        for decode, goal in GOALS.items():
            ratio = slowest / statistics.median(rates[decode])
            figures.append(Figure(f"time of {case.name} over torchvision's, {decode}", "x", ratio, 1 / goal))
    return figures


def enlarged(bench: Bench, photos: list[Path], environment: dict[str, str]) -> list[Path]:
    """Write enlarged copies of photos, and return their paths."""
    folder = bench.work / "enlarged"
    folder.mkdir()
    run([sys.executable, "-c", ENLARGE, str(folder), str(ENLARGED), *map(str, photos)], bench.work, environment)
    return sorted(folder.iterdir())


def link(folder: Path, photos: list[Path], copies: int) -> None:
    """Fill a folder with one class of links to photos, several to each."""
    (folder / "class").mkdir(parents=True)
    for photo in photos:
        for copy in range(copies):
            (folder / "class" / f"{copy}-{photo.name}").symlink_to(photo)


def images_per_s(output: str) -> float:
    found = re.search(r"([\d.]+) images/s", output)
    if found is None:
        raise Unmeasured(output[-2000:])
    return float(found.group(1))
