"""Measure how the time of a training step and its memory grow with batch, resolution and classes, and how a list of images loads."""

import json
import re
import statistics
from dataclasses import dataclass
from pathlib import Path

from measure import Bench, Figure, Unmeasured, run
from reference_steps import measure_ours

CONFIG = "ci/gpu/imagenet.config"
THREADS = 2
ENTRIES = [10_000, 100_000, 1_280_000]
# Of the largest list.
LIMIT_ENTRIES_S = 1
LIMIT_ENTRIES_MB = 200


@dataclass(frozen=True)
class Shape:
    """A training step of the network of `CONFIG`."""

    batch: int = 16
    size: int = 160
    classes: int = 1000

    @property
    def name(self) -> str:
        return f"{self.batch} images of {self.size} px, {self.classes} classes"


BASE = Shape()
SHAPES = [
    BASE,
    *(Shape(batch=batch) for batch in (4, 8, 32, 64)),
    *(Shape(size=size) for size in (96, 128, 224, 288)),
    *(Shape(classes=classes) for classes in (10, 100, 10_000)),
]


def measure(bench: Bench) -> list[Figure]:
    steps: dict[Shape, list[tuple[float, int]]] = {shape: [] for shape in SHAPES}
    # Rounds, so that a slow minute of the machine affects all shapes.
    for _ in range(bench.few):
        for shape, found in steps.items():
            found.append(step(bench, shape))
    figures = []
    for shape, found in steps.items():
        seconds, peaks = zip(*found)
        figures.append(Figure.median(f"step of {shape.name}", "ms", [1e3 * value for value in seconds]))
        figures.append(Figure("the same, peak memory of the process", "MB", statistics.median(peaks) / 1e6))
    for entries in ENTRIES:
        figures.extend(load_list(bench, entries))
    return figures


def step(bench: Bench, shape: Shape) -> tuple[float, int]:
    """Return the seconds of the median training step and the peak memory of the process."""
    config = json.loads((bench.source / CONFIG).read_text())
    config["classifier"]["out_features"] = shape.classes
    path = bench.work / f"{shape.classes}.config"
    path.write_text(json.dumps(config))
    ran = measure_ours(bench, THREADS, ["imagenet", shape.batch], [path, "train", shape.size])
    rate = re.search(r"^training +([\d.]+) images/s", ran.output, re.MULTILINE)
    if rate is None:
        raise Unmeasured(ran.output[-2000:])
    return shape.batch / float(rate[1]), ran.peak_bytes


def load_list(bench: Bench, entries: int) -> list[Figure]:
    """Measure loading a list with names like those of ImageNet."""
    path = bench.work / "entries.list"
    write_list(path, entries)
    command = [str(bench.programs / "examples/list_entries"), str(path)]
    found = [json.loads(run(command, bench.work).output) for _ in range(bench.few)]
    is_largest = entries == max(ENTRIES)
    seconds = [each["seconds"] for each in found]
    memory = [each["peak_memory_bytes"] / 1e6 for each in found]
    return [
        Figure.median(f"list of {entries:,} images", "s", seconds, LIMIT_ENTRIES_S if is_largest else None),
        Figure.median("the same, peak memory", "MB", memory, LIMIT_ENTRIES_MB if is_largest else None),
    ]


def write_list(path: Path, entries: int) -> None:
    with open(path, "w") as file:
        for index in range(entries):
            label = index % 1000
            file.write(f"n{label:08}/n{label:08}_{index}.JPEG {label}\n")
