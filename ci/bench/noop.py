"""Measure a run with nothing to do, and the same steps with the same files in other tools."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import peers
from measure import Bench, Figure, Ran, Unmeasured, query, run

LIMIT_MS = 20
LIMIT_SHARE_OF_DVC = 1 / 25


@dataclass(frozen=True)
class Step:
    """A stage with its input and output files."""

    name: str
    inputs: list[str]
    outputs: list[str]

    @property
    def command(self) -> str:
        return f"cp {' '.join(f'made/{output}' for output in self.outputs)} ."


def measure(bench: Bench) -> list[Figure]:
    ours = bench.work / "ours"
    ours.mkdir()
    shutil.copy(bench.source / "ci/smoke.yaml", ours / "pipeline.yaml")
    run(bench.pipeline("run", "all"), ours)
    steps = steps_of(query(bench.pipeline("show", "latest", "--json"), ours), ours)
    made = query(bench.pipeline("status", "--json"), ours)
    dvc = dvc_project(bench, ours, steps, made)
    snakemake = snakemake_project(bench, ours, steps, made)

    times: dict[str, list[float]] = {"ours": [], "dvc": [], "snakemake": []}
    for turn in range(bench.many):
        times["ours"].append(expect(run(bench.pipeline("run", "all"), ours), "test    cached"))
        if turn < bench.few:
            times["dvc"].append(expect(peers.dvc(bench, dvc, "repro"), "up to date"))
            times["snakemake"].append(expect(peers.snakemake(bench, snakemake), "Nothing to be done"))
    figures = [
        Figure.median("run all, nothing to do", "ms", [1e3 * seconds for seconds in times["ours"]], LIMIT_MS),
        Figure.median("dvc repro, nothing to do", "ms", [1e3 * seconds for seconds in times["dvc"]]),
        Figure.median("snakemake, nothing to do", "ms", [1e3 * seconds for seconds in times["snakemake"]]),
    ]
    share = figures[0].value / figures[1].value
    return [*figures, Figure("run all, as a share of dvc repro", "share", share, LIMIT_SHARE_OF_DVC)]


def expect(ran: Ran, words: str) -> float:
    if words not in ran.output:
        raise Unmeasured(f"expected `{words}`, found: {ran.output[-2000:]}")
    return ran.seconds


def steps_of(shown: dict, folder: Path) -> list[Step]:
    """Return the steps of a run from the ledger."""
    makers = {output["digest"]: output["name"] for attempt in shown["made"] for output in attempt["outputs"]}
    steps = []
    for attempt in shown["made"]:
        inputs = [
            makers.get(given["digest"]) or os.path.relpath(folder / given["origin"], folder)
            for given in attempt["inputs"]
        ]
        steps.append(Step(attempt["stage"], inputs, [output["name"] for output in attempt["outputs"]]))
    if len(steps) < 6:
        raise Unmeasured(f"the first run did {len(steps)} stages, at least 6 were expected")
    return steps


def peer_project(bench: Bench, name: str, ours: Path, steps: list[Step], made: dict) -> Path:
    """Create a folder with the same images, configuration and results."""
    folder = bench.work / name
    (folder / "made").mkdir(parents=True)
    shutil.copy(ours / "pipeline.yaml", folder)
    for stage in made["stages"]:
        for output in stage["outputs"]:
            shutil.copyfile(output["path"], folder / "made" / output["name"])
    produced = {output for step in steps for output in step.outputs}
    for path in sorted({path for step in steps for path in step.inputs} - produced):
        shutil.copytree(ours / path, folder / path)
    return folder


def dvc_project(bench: Bench, ours: Path, steps: list[Step], made: dict) -> Path:
    folder = peer_project(bench, "dvc", ours, steps, made)
    stages = {
        step.name: {"cmd": step.command, "deps": [*step.inputs, "pipeline.yaml"], "outs": step.outputs} for step in steps
    }
    # JSON is YAML.
    (folder / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    peers.begin_dvc(bench, folder)
    peers.dvc(bench, folder, "repro")
    return folder


def snakemake_project(bench: Bench, ours: Path, steps: list[Step], made: dict) -> Path:
    folder = peer_project(bench, "snakemake", ours, steps, made)
    rules = [f"rule all:\n    input: {quoted(steps[-1].outputs)}\n"]
    for step in steps:
        inputs = quoted([*step.inputs, "pipeline.yaml"])
        rules.append(
            f"rule {step.name}:\n    input: {inputs}\n    output: {quoted(step.outputs)}\n"
            f"    shell: {quoted([step.command])}\n"
        )
    (folder / "Snakefile").write_text("\n".join(rules))
    peers.snakemake(bench, folder)
    return folder


def quoted(texts: list[str]) -> str:
    """Format strings as a comma-separated list of Python literals."""
    return ", ".join(json.dumps(text) for text in texts)
