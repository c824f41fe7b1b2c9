"""Measure the steps of the search on a CPU and compare with the original procedure in PyTorch (ci/gpu/reference.py)."""

import re
import statistics

from measure import Bench, Figure, Unmeasured
from reference_steps import Step, measure_ours, measure_pytorch

SPACE, SIZE, BATCH, THREADS = "imagenet", 224, 8, 2
# The published search has 100 classes.
CLASSES = 100
# Required speedup over PyTorch, and peak memory relative to PyTorch's.
GOALS = {"weight": 2.0, "architecture": 1.8}
MEMORY_GOAL = 0.6


def measure(bench: Bench) -> list[Figure]:
    packages = bench.python_packages("torch")
    figures = []
    for kind, goal in GOALS.items():
        ours: list[Step] = []
        theirs: list[Step] = []
        shape = ["--batch", BATCH, "--size", SIZE, "--classes", CLASSES]
        for _ in range(bench.few):
            ours.append(step(bench, kind))
            theirs.append(measure_pytorch(bench, packages, THREADS, [kind, *shape]))
        name = f"{kind} step of the search, {SIZE} px, batch {BATCH}, {THREADS} threads"
        times = [[BATCH / found.images_per_s for found in group] for group in (ours, theirs)]
        memory = [[found.peak_bytes / 2**30 for found in group] for group in (ours, theirs)]
        figures += [
            Figure.median(name, "s", times[0]),
            Figure.median(f"{name}, PyTorch", "s", times[1]),
            Figure(f"time of the {kind} step over PyTorch's", "x", ratio(times), 1 / goal),
            Figure.median(f"peak memory of the {kind} step", "GiB", memory[0]),
            Figure.median(f"peak memory of the {kind} step, PyTorch", "GiB", memory[1]),
            Figure(f"peak memory of the {kind} step over PyTorch's", "x", ratio(memory), MEMORY_GOAL),
        ]
    return figures


def ratio(groups: list[list[float]]) -> float:
    ours, theirs = map(statistics.median, groups)
    return ours / theirs


def step(bench: Bench, kind: str) -> Step:
    """Run one kind of step in a process of its own."""
    ran = measure_ours(bench, THREADS, [SPACE, BATCH], ["-", kind, SIZE])
    what = {"weight": "weight step, two paths", "architecture": "architecture step"}[kind]
    found = re.search(rf"^{what} +([\d.]+) images/s", ran.output, re.MULTILINE)
    if found is None:
        raise Unmeasured(ran.output[-2000:])
    return Step(float(found[1]), ran.peak_bytes)
