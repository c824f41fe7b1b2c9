"""Run programs and measure their time."""

import json
import os
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path


# The same setting as for workers: freed memory stays with the process.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "1000000000", "MALLOC_TRIM_THRESHOLD_": "1000000000"}


class Unmeasured(Exception):
    """Something could not be measured; the message says why."""


@dataclass(frozen=True)
class Ran:
    """Time, output and peak memory of a program."""

    seconds: float
    output: str
    peak_bytes: int


@dataclass(frozen=True)
class Figure:
    """A measured value and its limit."""

    name: str
    unit: str
    value: float
    limit: float | None = None
    # The samples whose median is the value; empty for a ratio.
    samples: list[float] = field(default_factory=list)

    @classmethod
    def median(cls, name: str, unit: str, samples: list[float], limit: float | None = None) -> "Figure":
        return cls(name, unit, statistics.median(samples), limit, samples)

    @property
    def verdict(self) -> str:
        if self.limit is None:
            return ""
        return "met" if self.value <= self.limit else "MISSED"


@dataclass(frozen=True)
class Bench:
    """Folders of a benchmark, and the number of repetitions."""

    # The built programs.
    programs: Path
    # The programs to compare with, one folder each.
    peers: Path
    # An empty folder on the disk to measure.
    work: Path
    # The source folder of this project.
    source: Path
    # Runs of benchmarks that take seconds.
    few: int
    # Runs of benchmarks that take milliseconds.
    many: int

    def pipeline(self, *arguments: str) -> list[str]:
        return [str(self.programs / "tfnas-pipeline"), *arguments]

    def python_packages(self, needed: str) -> Path:
        """Return the folder of the Python packages of `make interop`, which must contain one."""
        folder = self.source / ".interop/packages"
        if not (folder / needed).is_dir():
            raise Unmeasured(f"{needed} is not installed: run `make interop` once")
        return folder


def run(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> Ran:
    """Run a program, which must succeed, with its output in a temporary file."""
    with tempfile.TemporaryFile(mode="w+") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode != 0:
        raise Unmeasured(f"{' '.join(command)} exited with code {process.returncode}: {text[-2000:]}")
    return Ran(seconds, text, usage.ru_maxrss * 1024)


def query(command: list[str], folder: Path):
    """Return the JSON that a program prints."""
    completed = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if completed.returncode != 0:
        raise Unmeasured(f"{' '.join(command)} exited with code {completed.returncode}: {completed.stderr[-2000:]}")
    return json.loads(completed.stdout)
