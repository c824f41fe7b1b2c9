"""Measure training and testing on a CPU and compare with the same network built from PyTorch's layers (ci/gpu/reference.py)."""

import re
import statistics
from dataclasses import dataclass
from pathlib import Path

from measure import Bench, Figure, Unmeasured
from reference_steps import measure_ours, measure_pytorch


@dataclass(frozen=True)
class Comparison:
    """A way to run PyTorch, and the required speedups over it."""

    # How figures name it.
    name: str
    # Options of the reference.
    options: tuple[str, ...]
    # The precision of this project.
    precision: str
    # Required speedup of training and test.
    goals: dict[str, float]


@dataclass(frozen=True)
class Case:
    """A network, its images, and what it is compared with."""

    config: str
    space: str
    size: int
    batch: int
    threads: int
    comparisons: tuple[Comparison, ...]

    @property
    def name(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{self.size} px, batch {self.batch}, {threads}"


COMPILED = ("--channels-last", "--compile")
AUTOCAST = ("--channels-last", "--precision", "bf16")
CASES = [
    Case(
        "ci/gpu/imagenet.config", "imagenet", 224, 16, 2,
        (
            Comparison("PyTorch", (), "f32", {"train": 2.5, "test": 3.3}),
            Comparison("torch.compile, channels-last", COMPILED, "f32", {"train": 1.3, "test": 1.3}),
            Comparison("PyTorch", (), "bf16", {"train": 3.0, "test": 4.5}),
            Comparison("PyTorch with autocast in bf16, channels-last", AUTOCAST, "bf16", {}),
        ),
    ),
    Case("ci/bench/cifar.config", "cifar", 32, 64, 1, (Comparison("PyTorch", (), "f32", {"train": 2.0}),)),
]
NAMES = {"train": "training", "test": "test"}
# Flags of CPUs that compute in bf16; on others it is several times slower than f32.
BF16_FLAGS = {"avx512_bf16", "amx_bf16"}


def measure(bench: Bench) -> list[Figure]:
    packages = bench.python_packages("torch")
    has_bf16 = computes_in_bf16()
    figures = []
    for case in CASES:
        comparisons = [found for found in case.comparisons if found.precision != "bf16" or has_bf16]
        # Samples by kind of step, and precision of this project or options of PyTorch.
        ours: dict[tuple[str, str], list[float]] = {}
        theirs: dict[tuple[str, tuple[str, ...]], list[float]] = {}
        shape = ["--config", bench.source / case.config, "--batch", case.batch, "--size", case.size]
        for _ in range(bench.few):
            for precision in dict.fromkeys(found.precision for found in comparisons):
                for kind, rate in rates(bench, case, precision).items():
                    ours.setdefault((kind, precision), []).append(rate)
            for options in dict.fromkeys(found.options for found in comparisons):
                for kind in NAMES:
                    step = measure_pytorch(bench, packages, case.threads, [kind, *shape, *options])
                    theirs.setdefault((kind, options), []).append(step.images_per_s)
        for kind, name in NAMES.items():
            figures += compared(case, comparisons, kind, name, ours, theirs)
    return figures


def compared(case: Case, comparisons: list[Comparison], kind: str, name: str, ours: dict, theirs: dict) -> list[Figure]:
    """Return the rates of one kind of step, each once, and its time relative to that of PyTorch."""
    figures: dict[str, Figure] = {}
    for found in comparisons:
        own = name if found.precision == "f32" else f"{name} in {found.precision}"
        mine, others = ours[kind, found.precision], theirs[kind, found.options]
        rate, other_rate = f"{own}, {case.name}", f"{name}, {case.name}, {found.name}"
        figures[rate] = Figure.median(rate, "images/s", mine)
        figures[other_rate] = Figure.median(other_rate, "images/s", others)
        ratio = statistics.median(others) / statistics.median(mine)
        goal = found.goals.get(kind)
        time = f"time of {own} over that of {found.name}, {case.name}"
        figures[time] = Figure(time, "x", ratio, goal and 1 / goal)
    return list(figures.values())


def computes_in_bf16() -> bool:
    """Return whether the CPU has instructions for bf16."""
    facts = Path("/proc/cpuinfo")
    return facts.exists() and bool(BF16_FLAGS & set(facts.read_text().split()))


def rates(bench: Bench, case: Case, precision: str) -> dict[str, float]:
    """Return the images per second of training, and of a test with folded batch norms."""
    arguments = [bench.source / case.config, "train", case.size]
    printed = measure_ours(bench, case.threads, [case.space, case.batch], arguments, precision).output
    found = dict(re.findall(r"^(training|evaluation, folded) +([\d.]+) images/s", printed, re.MULTILINE))
    if len(found) != 2:
        raise Unmeasured(printed[-2000:])
    return {"train": float(found["training"]), "test": float(found["evaluation, folded"])}
