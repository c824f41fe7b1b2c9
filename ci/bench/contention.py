"""Measure a search on all cores, alone and with one busy process per core, with the OpenMP wait settings of the workers
and with libgomp's defaults."""

import os
import shutil
import statistics
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from measure import Bench, Figure, run

# With as many busy processes as cores, half of the machine is available.
BUSY_LIMIT = 3.0
QUIET_LIMIT = 1.03
# libgomp's defaults.
LIBGOMP = "300000"
STAGE = "search"


def measure(bench: Bench) -> list[Figure]:
    folder = bench.work / "contention"
    folder.mkdir()
    configuration = Path(shutil.copy(bench.source / "ci" / "smoke.yaml", folder / "pipeline.yaml"))
    text = configuration.read_text()
    configuration.write_text(text.replace("threads: 2", f"threads: {cores()}"))
    run(bench.pipeline("run", "all"), folder)
    seconds: dict[tuple[str, str], list[float]] = {}
    for _ in range(bench.few):
        for waiting in ("tfnas", "libgomp"):
            seconds.setdefault((waiting, "alone"), []).append(search(bench, folder, waiting))
            with busy(cores()):
                seconds.setdefault((waiting, "busy"), []).append(search(bench, folder, waiting))
    medians = {key: statistics.median(found) for key, found in seconds.items()}

    def pairs(one: tuple[str, str], other: tuple[str, str]) -> list[float]:
        return [a / b for a, b in zip(seconds[one], seconds[other])]

    names = {"alone": "alone", "busy": f"beside {cores()} busy processes"}
    return [
        *(
            Figure(f"search {names[load]}, waiting as {waiting}", "s", medians[waiting, load], None, found)
            for (waiting, load), found in seconds.items()
        ),
        Figure.median("search: busy over alone", "x", pairs(("tfnas", "busy"), ("tfnas", "alone")), BUSY_LIMIT),
        Figure.median("search: busy over alone, waiting as libgomp", "x", pairs(("libgomp", "busy"), ("libgomp", "alone"))),
        Figure.median("search alone: tfnas over libgomp", "x", pairs(("tfnas", "alone"), ("libgomp", "alone")), QUIET_LIMIT),
    ]


def search(bench: Bench, folder: Path, waiting: str) -> float:
    environment = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    if waiting == "libgomp":
        environment["GOMP_SPINCOUNT"] = LIBGOMP
    return run(bench.pipeline("run", STAGE, "--force", STAGE), folder, environment).seconds


@contextmanager
def busy(count: int):
    """Run busy processes, one on each core that this process may use."""
    processes = []
    try:
        for core in sorted(os.sched_getaffinity(0))[:count]:
            process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            processes.append(process)
            os.sched_setaffinity(process.pid, {core})
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def cores() -> int:
    return len(os.sched_getaffinity(0))
