"""Compare steps with those of the original procedure in PyTorch, on one device, alternately."""

import json
import re
import subprocess
import sys
import time
from statistics import median

from pipelines import result_or_failure
from programs import Failed, Programs, Skipped

# Start no further setting after this many seconds.
LIMIT_S = 150

# Labels of the example `throughput`, and the corresponding kinds of `reference.py`.
KINDS = {
    "training": "train",
    "evaluation": "test",
    "weight step, two paths": "weight",
    "architecture step": "architecture",
}


def compare_with_pytorch(programs: Programs) -> dict:
    """Return images per second and their ratio to PyTorch, with a synchronization per step and pipelined."""
    began = time.monotonic()
    found: dict = {"settings": [], "left_out": []}
    for setting in settings(programs):
        if time.monotonic() - began > LIMIT_S:
            found["left_out"].append(setting[:3])
        else:
            space, batch, precision, *_ = setting
            measured = result_or_failure(lambda setting=setting: ours_and_theirs(programs, *setting))
            found["settings"].append({"space": space, "batch": batch, "precision": precision} | measured)
    if all("failed" in setting for setting in found["settings"]):
        raise Failed(found["settings"][0]["failed"])
    return found


def settings(programs: Programs) -> list[tuple[str, int, str, str, list[str]]]:
    """Return space, batch size, our precision, PyTorch's precision, and kinds."""
    if not programs.is_cuda:
        return [("small", 8, "f32", "f32", ["train", "test"])]
    training, search = ["train", "test"], ["weight", "architecture"]
    # PyTorch's default, f32, is TF32 in convolutions.
    return [
        ("imagenet", 32, "tf32", "f32", [*training, *search]),
        ("imagenet", 128, "tf32", "f32", training),
        ("imagenet", 128, "bf16", "bf16", training),
        ("cifar", 64, "tf32", "f32", training),
        ("imagenet", 512, "bf16", "bf16", training),
        ("imagenet", 128, "f32", "f32-strict", training),
        ("imagenet", 32, "bf16", "bf16", search),
        ("imagenet", 512, "tf32", "f32", training),
    ]


def ours_and_theirs(programs: Programs, space: str, batch: int, precision: str, theirs: str, kinds: list[str]) -> dict:
    config = programs.root / "ci/gpu/imagenet.config"
    size = 224 if space == "imagenet" else 32
    ours = measure_ours(programs, space, batch, precision, str(config), search="weight" in kinds)
    variants = {"pytorch": [], "pytorch_channels_last": ["--channels-last"]}
    wanted = [(kind, variant) for kind in kinds for variant in variants]
    shape = ["--batch", str(batch), "--size", str(size), "--device", programs.device, "--precision", theirs]
    lines = [[kind, *shape, "--steps", "8", "--warm-up", "3", "--config", str(config), *variants[variant]] for kind, variant in wanted]
    measured = dict(zip(wanted, measure_pytorch(programs, lines)))
    found: dict = {"batch": batch, "precision": precision, "pytorch_precision": theirs}
    for kind in kinds:
        one = {"ours": ours[kind]}
        for variant in variants:
            one[variant] = measured[kind, variant]
            rate = one[variant].get("pipelined_images_per_s")
            one[f"ratio_to_{variant}"] = rate and round(ours[kind]["pipelined_images_per_s"] / rate, 2)
        found[kind] = one
    return found


def measure_ours(programs: Programs, space: str, batch: int, precision: str, config: str, search: bool) -> dict:
    threads = "1" if programs.is_cuda else "2"
    arguments = [space, str(batch), threads, programs.device, precision, config, "all" if search else "train"]
    printed = programs.run("throughput", *arguments)
    found = {}
    for line in printed.splitlines():
        read = re.fullmatch(r"(.+?) +([\d.]+) images/s, pipelined +([\d.]+)(?:, (\d+) MiB)?", line)
        if read and read[1] in KINDS:
            found[KINDS[read[1]]] = {
                "images_per_s_median": float(read[2]),
                "pipelined_images_per_s": float(read[3]),
                "peak_memory_mib": int(read[4]) if read[4] else None,
            }
    if not found:
        raise Failed(printed[-2000:])
    return found


def measure_pytorch(programs: Programs, lines: list[list[str]]) -> list[dict]:
    """Measure several command lines of the reference in one process."""
    completed = subprocess.run(
        [sys.executable, str(programs.root / "ci/gpu/reference.py"), "-"],
        input="".join(json.dumps(line) + "\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=240,
        env=programs.environment,
    )
    if "ModuleNotFoundError" in completed.stderr:
        raise Skipped("PyTorch is not installed")
    if completed.returncode != 0:
        raise Failed(completed.stderr[-2000:])
    return [short(json.loads(line)) for line in completed.stdout.splitlines() if line.startswith("{")]


def short(read: dict) -> dict:
    if "failed" in read:
        return read
    kept = ("images_per_s_median", "pipelined_images_per_s", "peak_memory_mib")
    return {name: read[name] for name in kept} | {"step_ms": round(median(read["step_ms"]), 2)}
