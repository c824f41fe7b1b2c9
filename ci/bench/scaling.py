"""Measure training on two processes of one thread and on one process of two threads, and the time spent waiting."""

import json
import os
import socket
import statistics
import subprocess
from dataclasses import dataclass

from measure import ALLOCATOR, Bench, Figure, Unmeasured

SPACE = "cifar"
BATCH = 64
STEPS = 8
# Two processes should reach at least 0.95 of the images per second of one.
LIMIT = 1 / 0.95


@dataclass(frozen=True)
class Setting:
    """A configuration for training the same batch."""

    name: str
    ranks: int
    threads: int
    statistics: str


ONE = Setting("1 process, 2 threads", 1, 2, "alone")
SHARED = Setting("2 processes, batch norm over both", 2, 1, "shared")
OWN = Setting("2 processes, batch norms of their own", 2, 1, "own")
APART = Setting("2 processes that exchange nothing", 2, 1, "alone")
SETTINGS = [ONE, SHARED, OWN, APART]


def measure(bench: Bench) -> list[Figure]:
    if (os.cpu_count() or 1) < 2:
        raise Unmeasured("two processes need two cores")
    steps: dict[Setting, list[float]] = {setting: [] for setting in SETTINGS}
    gradients = 0
    exchanges: list[float] = []
    for _ in range(bench.few):
        for setting in SETTINGS:
            found = train(bench, setting)
            steps[setting].append(found["step_s"])
            gradients = found["gradient_bytes"]
            if setting is SHARED:
                exchanges.append(1e3 * found["exchange_s"])
    medians = {setting: statistics.median(found) for setting, found in steps.items()}
    rates = [
        Figure.median(f"{SPACE}, batch {BATCH}: {setting.name}", "images/s", [BATCH / step for step in found])
        for setting, found in steps.items()
    ]
    waits = [
        Figure(f"share of a step that waits, {setting.name}", "%", 100 * (1 - medians[APART] / medians[setting]))
        for setting in (SHARED, OWN)
    ]
    return [
        *rates,
        Figure("a step of 2 processes, batch norms of their own, over one of 1", "x", medians[OWN] / medians[ONE], LIMIT),
        Figure("a step of 2 processes, batch norm over both, over one of 1", "x", medians[SHARED] / medians[ONE], LIMIT),
        *waits,
        Figure.median("an all-reduce of 257 numbers", "ms", exchanges),
        Figure("gradients of a step", "MB", gradients / 1e6),
    ]


def train(bench: Bench, setting: Setting) -> dict:
    program = bench.programs / "examples/scaling"
    command = [str(program), SPACE, str(BATCH), str(STEPS), str(setting.threads), setting.statistics]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = []
    for rank in range(setting.ranks):
        environment = {**os.environ, **ALLOCATOR, "OMP_NUM_THREADS": str(setting.threads)}
        if setting.ranks > 1:
            environment |= {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(setting.ranks),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            }
        ranks.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    outputs = [rank.communicate() for rank in ranks]
    for rank, (_, errors) in zip(ranks, outputs):
        if rank.returncode != 0:
            raise Unmeasured(f"{' '.join(command)} exited with code {rank.returncode}: {errors[-2000:]}")
    return json.loads(outputs[0][0])
