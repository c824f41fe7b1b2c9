"""Run the example `throughput` and the steps of the reference in PyTorch (ci/gpu/reference.py) on a CPU."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from measure import ALLOCATOR, Bench, Ran, Unmeasured, run

STEPS = 5


@dataclass(frozen=True)
class Step:
    """Rate of a step, and peak memory of the process."""

    images_per_s: float
    peak_bytes: int


def measure_ours(bench: Bench, threads: int, shape: list, rest: list, precision: str = "f32") -> Ran:
    """Run the example `throughput`: space and batch, and the arguments after the precision."""
    program = bench.programs / "examples/throughput"
    return run([str(program), *map(str, [*shape, threads, "cpu", precision, *rest])], bench.work, {**os.environ, **ALLOCATOR})


def measure_pytorch(bench: Bench, packages: Path, threads: int, arguments: list) -> Step:
    """Run one kind of step of the reference, with PyTorch's default allocator."""
    program = bench.source / "ci/gpu/reference.py"
    command = [sys.executable, str(program), *map(str, arguments), "--device", "cpu", "--steps", str(STEPS), "--warm-up", "2"]
    environment = {**os.environ, "PYTHONPATH": str(packages), "OMP_NUM_THREADS": str(threads)}
    ran = run(command, bench.work, environment)
    lines = [line for line in ran.output.splitlines() if line.startswith("{")]
    if not lines:
        raise Unmeasured(ran.output[-2000:])
    return Step(json.loads(lines[-1])["images_per_s_median"], ran.peak_bytes)
