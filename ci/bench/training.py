"""Measure training and testing on a CPU and compare with the same network built from PyTorch's layers (ci/gpu/reference.py)."""

import re
import statistics
from dataclasses import dataclass

from measure import Bench, Figure, Unmeasured
from reference_steps import measure_ours, measure_pytorch


@dataclass(frozen=True)
class Case:
    """A network, its images, and the required speedup over PyTorch."""

    config: str
    space: str
    size: int
    batch: int
    threads: int
    # Required speedup of training and test over PyTorch, and over torch.compile with channels-last memory.
    goals: dict[str, float]
    compiled_goals: dict[str, float]

    @property
    def name(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{self.size} px, batch {self.batch}, {threads}"


CASES = [
    Case("ci/gpu/imagenet.config", "imagenet", 224, 16, 2, {"train": 2.5, "test": 3.3}, {"train": 1.3, "test": 1.3}),
    Case("ci/bench/cifar.config", "cifar", 32, 64, 1, {"train": 2.0}, {}),
]
NAMES = {"train": "training", "test": "test"}
COMPILED = ["--channels-last", "--compile"]


def measure(bench: Bench) -> list[Figure]:
    packages = bench.python_packages("torch")
    figures = []
    for case in CASES:
        variants = {"PyTorch": []} | ({"torch.compile, channels-last": COMPILED} if case.compiled_goals else {})
        ours: dict[str, list[float]] = {kind: [] for kind in NAMES}
        theirs: dict[tuple[str, str], list[float]] = {(kind, variant): [] for kind in NAMES for variant in variants}
        for _ in range(bench.few):
            for kind, rate in rates(bench, case).items():
                ours[kind].append(rate)
            for (kind, variant), found in theirs.items():
                shape = ["--config", bench.source / case.config, "--batch", case.batch, "--size", case.size]
                found.append(measure_pytorch(bench, packages, case.threads, [kind, *shape, *variants[variant]]).images_per_s)
        for kind, name in NAMES.items():
            figures.append(Figure.median(f"{name}, {case.name}", "images/s", ours[kind]))
            for variant, goals in zip(variants, (case.goals, case.compiled_goals)):
                found = theirs[kind, variant]
                figures.append(Figure.median(f"{name}, {case.name}, {variant}", "images/s", found))
                ratio = statistics.median(found) / statistics.median(ours[kind])
                goal = goals.get(kind)
                figures.append(Figure(f"time of {name} over that of {variant}, {case.name}", "x", ratio, goal and 1 / goal))
    return figures


def rates(bench: Bench, case: Case) -> dict[str, float]:
    """Return the images per second of training, and of a test with folded batch norms."""
    printed = measure_ours(bench, case.threads, [case.space, case.batch], [bench.source / case.config, "train", case.size]).output
    found = dict(re.findall(r"^(training|evaluation, folded) +([\d.]+) images/s", printed, re.MULTILINE))
    if len(found) != 2:
        raise Unmeasured(printed[-2000:])
    return {"train": float(found["training"]), "test": float(found["evaluation, folded"])}
