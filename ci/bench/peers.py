"""Run the programs that the benchmarks compare with, as installed by ci/bench/setup."""

import os
import shutil
from pathlib import Path

from measure import Bench, Ran, run


def dvc(bench: Bench, folder: Path, *arguments: str) -> Ran:
    return run(["python3", "-m", "dvc", *arguments], folder, environment(bench, "dvc"))


def begin_dvc(bench: Bench, folder: Path) -> None:
    """Create an empty DVC project."""
    shutil.rmtree(home(bench), ignore_errors=True)
    dvc(bench, folder, "init", "--no-scm")
    dvc(bench, folder, "config", "core.check_update", "false")


def snakemake(bench: Bench, folder: Path) -> Ran:
    return run(["python3", "-m", "snakemake", "--cores", "1"], folder, environment(bench, "snakemake"))


def home(bench: Bench) -> Path:
    return bench.work / "home"


def environment(bench: Bench, peer: str) -> dict[str, str]:
    """Return an environment without the user's settings and without network access by the tools."""
    (folder,) = bench.peers.glob(f"{peer}-*")
    return {
        **os.environ,
        "PYTHONPATH": str(folder),
        "HOME": str(home(bench)),
        "XDG_CACHE_HOME": str(home(bench) / "cache"),
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(home(bench) / "dvc"),
    }
