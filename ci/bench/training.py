"""Measure training and testing on a CPU and compare with the same network built from PyTorch's layers (ci/gpu/reference.py)."""

import json
import os
import re
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from measure import Bench, Figure, Unmeasured, run

# The same setting as for workers: freed memory stays with the process. PyTorch runs with its defaults.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "1000000000", "MALLOC_TRIM_THRESHOLD_": "1000000000"}
STEPS = 5


@dataclass(frozen=True)
class Case:
    """A network, its images, and the required speedup over PyTorch."""

    config: str
    space: str
    size: int
    batch: int
    threads: int
    training: float | None
    test: float | None

    @property
    def name(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{self.size} px, batch {self.batch}, {threads}"


CASES = [
    Case("ci/gpu/imagenet.config", "imagenet", 224, 16, 2, training=2.5, test=3.3),
    Case("ci/bench/cifar.config", "cifar", 32, 64, 1, training=2.0, test=None),
]


def measure(bench: Bench) -> list[Figure]:
    packages = bench.source / ".interop/packages"
    if not (packages / "torch").is_dir():
        raise Unmeasured("PyTorch is not installed: run `make interop` once")
    figures = []
    for case in CASES:
        rates: dict[str, list[float]] = {key: [] for key in ("training", "test", "their training", "their test")}
        for _ in range(bench.few):
            training, test = measure_ours(bench, case)
            rates["training"].append(training)
            rates["test"].append(test)
            rates["their training"].append(measure_pytorch(bench, case, packages, "train"))
            rates["their test"].append(measure_pytorch(bench, case, packages, "test"))
        medians = {key: statistics.median(found) for key, found in rates.items()}
        for kind, goal in (("training", case.training), ("test", case.test)):
            figures += [
                Figure.median(f"{kind}, {case.name}", "images/s", rates[kind]),
                Figure.median(f"{kind}, {case.name}, PyTorch", "images/s", rates[f"their {kind}"]),
                Figure(
                    f"time of {kind} over PyTorch's, {case.name}",
                    "x",
                    medians[f"their {kind}"] / medians[kind],
                    goal and 1 / goal,
                ),
            ]
    return figures


def measure_ours(bench: Bench, case: Case) -> tuple[float, float]:
    """Return the images per second of training, and of a test with folded batch norms."""
    program, config = bench.programs / "examples/throughput", bench.source / case.config
    shape = [case.space, case.batch, case.threads, "cpu", "f32", config, "train", case.size]
    printed = run([str(program), *map(str, shape)], bench.work, {**os.environ, **ALLOCATOR}).output
    found = dict(re.findall(r"^(training|evaluation, folded) +([\d.]+) images/s", printed, re.MULTILINE))
    if len(found) != 2:
        raise Unmeasured(printed[-2000:])
    return float(found["training"]), float(found["evaluation, folded"])


def measure_pytorch(bench: Bench, case: Case, packages: Path, kind: str) -> float:
    """Return the images per second of a step of the reference."""
    program = bench.source / "ci/gpu/reference.py"
    shape = ["--config", bench.source / case.config, "--batch", case.batch, "--size", case.size, "--device", "cpu"]
    command = [sys.executable, str(program), kind, *map(str, shape), "--steps", str(STEPS), "--warm-up", "2"]
    environment = {**os.environ, "PYTHONPATH": str(packages), "OMP_NUM_THREADS": str(case.threads)}
    completed = subprocess.run(command, env=environment, capture_output=True, text=True)
    if completed.returncode != 0:
        raise Unmeasured(f"{' '.join(command)} exited with code {completed.returncode}: {completed.stderr[-2000:]}")
    return json.loads(completed.stdout)["images_per_s_median"]
