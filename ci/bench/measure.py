"""Run programs and measure their time."""

import json
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path


class Unmeasured(Exception):
    """Something could not be measured; the message says why."""


@dataclass(frozen=True)
class Ran:
    """Time and output of a program."""

    seconds: float
    output: str


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


def run(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> Ran:
    """Run a program, which must succeed, with its output in a temporary file."""
    with tempfile.TemporaryFile(mode="w+") as output:
        began = time.perf_counter()
        completed = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        seconds = time.perf_counter() - began
        output.seek(0)
        text = output.read()
    if completed.returncode != 0:
        raise Unmeasured(f"{' '.join(command)} exited with code {completed.returncode}: {text[-2000:]}")
    return Ran(seconds, text)


def query(command: list[str], folder: Path):
    """Return the JSON that a program prints."""
    completed = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if completed.returncode != 0:
        raise Unmeasured(f"{' '.join(command)} exited with code {completed.returncode}: {completed.stderr[-2000:]}")
    return json.loads(completed.stdout)
