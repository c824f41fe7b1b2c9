"""Run complete pipelines on this device: all stages, twice, with killed workers, and in every precision."""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from programs import Failed, Programs, Skipped

CONFIGURATION = """\
data:   {{{data}, resize: 32, workers: 4}}
space:  {space}
device: {device}
threads: 1
resume_every_s: 0.5
lookup: {{{lookup}}}
search: {{target_lat_ms: 40%, epochs: 2, warmup_epochs: 1, batch: 64, validate_last: 1, augment: {{crop: padded, padding: 4}}}}
select: {{candidates: 6, proposals: [2], rungs: [1, 2], keep: [2], rules: 1, pool: 100, parallel: 2}}
parse:  {{passes: 20}}
train:  {{protocol: held_out, epochs: 4, batch: 64, augment: {{crop: padded, padding: 4}}}}
"""


def project(programs: Programs, name: str, table: Path | None = None) -> Path:
    """Create a project with the bundle's small images, or with generated ones."""
    folder = programs.work / name
    folder.mkdir()
    if programs.images:
        data = f"root: {programs.images}, train: train, test: test"
    else:
        data = "root: generated, train: train, test: test, generate: {train_per_class: 60, test_per_class: 20}"
    lookup = "batch: 32, " + (f"import: {table}" if table else "budget_s: 15, check_networks: 8")
    space = "cifar" if programs.is_cuda else "small"
    text = CONFIGURATION.format(data=data, space=space, device=programs.device, lookup=lookup)
    (folder / "pipeline.yaml").write_text(text)
    return folder


def digests(programs: Programs, folder: Path) -> dict[str, str]:
    """Return the digests of all outputs."""
    stages = programs.status(folder)
    # The latency is measured again in every run.
    measured = {"measured.json", "architecture.json"}
    return {
        f"{stage['id']}/{output['name']}": output["digest"]
        for stage in stages
        for output in stage["outputs"]
        if output["name"] not in measured
    }


def all_stages(programs: Programs) -> dict:
    """Run all seven stages with a measured latency table and export the network to ONNX. Keep the table for other parts."""
    folder = project(programs, "all_stages")
    printed = programs.pipeline(folder, "run", "all", "--no-progress")
    stages = programs.status(folder)
    found: dict = {stage["id"]: stage["took_s"] for stage in stages}
    again = json.loads(programs.pipeline(folder, "run", "all", "--json", only_output=True).splitlines()[-1])
    if again["ran"]:
        raise Failed(f"the second run ran {again['ran']}")
    outputs = {output["name"]: Path(output["path"]) for stage in stages for output in stage["outputs"]}
    path = lambda name: outputs[name] if outputs[name].is_absolute() else folder / outputs[name]  # noqa: E731
    lookup = json.loads(path("lookup.json").read_text())
    found["table_check"] = {key: lookup["check"][key] for key in lookup["check"]} | {"device": lookup["device"]}
    shutil.copyfile(path("latency.table"), programs.work / "latency.table")
    shutil.copyfile(path("model.config"), programs.work / "model.config")
    programs.pipeline(folder, "export", "network.onnx", "--format", "onnx")
    found["onnx_bytes"] = (folder / "network.onnx").stat().st_size
    found["onnx"] = run_onnx(folder / "network.onnx")
    found["said"] = [line.strip() for line in printed.splitlines() if line.strip()][-14:]
    return found


def run_onnx(path: Path) -> str:
    """Run the network in ONNX Runtime, if it is installed."""
    try:
        import numpy
        import onnxruntime
    except ImportError:
        return "ONNX Runtime is not installed"
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    shape = [size if isinstance(size, int) else 2 for size in entry.shape]
    logits = session.run(None, {entry.name: numpy.zeros(shape, numpy.float32)})[0]
    return f"{entry.name} {shape} to {list(logits.shape)}"


def table_of(programs: Programs) -> Path:
    """Return the table measured by `all_stages`, or measure one."""
    table = programs.work / "latency.table"
    if not table.exists():
        folder = project(programs, "table")
        programs.pipeline(folder, "run", "lookup", "--no-progress")
        outputs = {output["name"]: output["path"] for stage in programs.status(folder) for output in stage["outputs"]}
        shutil.copyfile(folder / outputs["latency.table"], table)
    return table


def deterministic(programs: Programs) -> dict:
    """Check that two empty stores, and one with killed workers, give the same digests."""
    table = table_of(programs)
    first, second, third = (project(programs, name, table) for name in ("one", "two", "killed"))
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(programs.pipeline, folder, "run", "all", "--no-progress") for folder in (first, second)]
        kills = pool.submit(killed, programs, third).result()
        for run in runs:
            run.result()
    reference = digests(programs, first)
    return {
        "two_stores": compared(reference, digests(programs, second)),
        "killed_and_resumed": compared(reference, digests(programs, third)) | kills,
    }


def compared(one: dict[str, str], other: dict[str, str]) -> dict:
    different = sorted(name for name in one if one[name] != other.get(name))
    if different or len(one) != len(other):
        raise Failed(f"{len(different)} of {len(one)} artifacts differ: {different}")
    return {"equal_artifacts": len(one)}


def killed(programs: Programs, folder: Path) -> dict:
    """Kill workers during search, select and train, and resume until the end."""
    kills = []
    for stage in ("search", "select", "train"):
        planner = subprocess.Popen(
            [str(programs.program("tfnas-pipeline")), "run", "all", "--json"],
            cwd=folder,
            env=programs.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        limit = threading.Timer(240, planner.kill)
        limit.start()
        seen = 0
        for line in planner.stdout:
            event = json.loads(line)
            seen += event.get("event") == "progress" and event.get("id") == stage
            # Kill after some steps, so that there is a checkpoint to resume from.
            if seen == 5:
                kills.append({"stage": stage, "workers": kill_workers(folder)})
                break
        planner.stdout.read()
        planner.wait()
        limit.cancel()
    if [kill["stage"] for kill in kills if kill["workers"]] != ["search", "select", "train"]:
        raise Failed(f"not every stage was killed: {kills}")
    printed = programs.pipeline(folder, "run", "all", "--no-progress")
    return {"kills": kills, "resumed": [line.strip() for line in printed.splitlines() if re.search("resum", line)]}


def kill_workers(folder: Path) -> int:
    """Kill the workers of a project; return their number."""
    killed_workers = 0
    for process in Path("/proc").iterdir():
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            if words[0].endswith(b"/tfnas-stage") and os.readlink(process / "cwd") == str(folder):
                os.kill(int(process.name), signal.SIGKILL)
                killed_workers += 1
        except (OSError, ValueError):
            continue
    return killed_workers


def precisions(programs: Programs) -> dict:
    """Train in each precision; return times and losses."""
    config = programs.work / "model.config"
    if not config.exists():
        raise Skipped("the part `pipeline` has not run")
    wanted = ("f32", "tf32", "bf16", "f16") if programs.is_cuda else ("f32", "bf16")
    with ThreadPoolExecutor() as pool:
        running = {precision: pool.submit(trained, programs, config, precision) for precision in wanted}
        return {precision: result_or_failure(run.result) for precision, run in running.items()}


def result_or_failure(measure) -> dict:
    """Return the result of a measurement, or why it failed, so that the others are kept."""
    try:
        return measure()
    except Exception as error:
        return {"failed": str(error)[-2000:]}


def trained(programs: Programs, config: Path, precision: str) -> dict:
    folder = project(programs, f"precision-{precision}", table_of(programs))
    start = time.monotonic()
    arguments = ["--from", str(config), "--set", f"train.precision={precision}", "--no-progress"]
    printed = programs.pipeline(folder, "run", "test", *arguments)
    sets = ["--set", f"train.from={config}", "--set", f"train.precision={precision}"]
    outputs = {}
    for stage in programs.status(folder, *sets):
        outputs |= {output["name"]: folder / output["path"] for output in stage["outputs"]}
    epochs = json.loads(outputs["train.json"].read_text())["epochs"]
    return {
        "seconds": round(time.monotonic() - start, 1),
        "train_loss": [round(epoch["train_loss"], 4) for epoch in epochs],
        "val_top1": [round(epoch["val_top1"], 3) for epoch in epochs],
        "said": [line.strip() for line in printed.splitlines() if "waiting" in line][-1:],
    }
