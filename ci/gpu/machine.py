"""Describe the machine."""

import os
import platform
import subprocess
from pathlib import Path

from programs import Programs

QUERY = "name,driver_version,memory.total,compute_cap,clocks.sm,clocks.max.sm,power.limit,temperature.gpu"


def describe(programs: Programs) -> dict:
    """Return GPU, driver, CPU, PyTorch, and the output of `doctor`."""
    found: dict = {"kernel": platform.release(), "cores": os.cpu_count(), "python": platform.python_version()}
    try:
        command = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader"]
        query = subprocess.run(command, capture_output=True, text=True)
        found["gpu"] = dict(zip(QUERY.split(","), query.stdout.strip().split(", ")))
    except FileNotFoundError:
        found["gpu"] = None
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    found["cpu"] = models[0].split(": ")[1] if models else None
    folder = Path("/proc/driver/nvidia/gpus")
    found["driver_lists"] = [str(path.name) for path in folder.iterdir()] if folder.is_dir() else None
    found["devices"] = sorted(path.name for path in Path("/dev").glob("nvidia*"))
    try:
        import torch

        found["torch"] = {"version": torch.__version__, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
        found["torch"]["nccl"] = list(torch.cuda.nccl.version()) if torch.cuda.is_available() else None
    except ImportError:
        found["torch"] = None
    (programs.work / "pipeline.yaml").write_text(f"device: {programs.device}\ndata: {{root: generated, train: train, test: test, generate: {{}}}}\n")
    try:
        found["doctor"] = programs.pipeline(programs.work, "doctor").splitlines()
    finally:
        (programs.work / "pipeline.yaml").unlink()
    return found
