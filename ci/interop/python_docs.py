"""Run the commands and the snippets of docs/how-to/python.md on a trained network, and compare its exports and event files."""

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import traceback

import numpy as np

import event_files
import networks
from programs import LOGITS, PIPELINE, SOURCE, run_json

PAGE = SOURCE / "docs/how-to/python.md"
# A snippet, or a command.
STEP = re.compile(r"^```python\n(?P<snippet>.*?)^```$|^(?P<command>tfnas-pipeline [^\n]*)$", re.MULTILINE | re.DOTALL)
# Keys that take time and do not matter here.
LEFT_OUT = "select:"
# Networks that the page exports.
EXPORTED = ["network.pt", "model.py", "network.onnx"]


def compare(report, folder, photos, _thumbnails):
    """Train a network on generated images, run the page in its folder, and compare the files that the page has exported."""
    project = folder / "python"
    project.mkdir()
    lines = (SOURCE / "ci/smoke.yaml").read_text().splitlines()
    lines = [line for line in lines if not line.startswith(LEFT_OUT)] + [f"{LEFT_OUT} {{candidates: 0}}"]
    (project / "pipeline.yaml").write_text("\n".join(lines) + "\n")
    if not run(project, ["run", "all", "--tensorboard", "live-events"]):
        report.count("steps of docs/how-to/python.md", False, "no network was trained, see above")
        return
    event_files.compare(report, project, project / "live-events")
    for line, step in steps():
        passed = step(project)
        report.count("steps of docs/how-to/python.md", passed, f"line {line}, see above")
        # A later step needs the earlier ones.
        if not passed:
            return
    files = photos or [networks.noise(project, index) for index in range(max(networks.BATCHES))]
    exports(report, project, files)


def steps():
    """Return the line of each snippet and command of the page, in order, and a function that says whether it ran."""
    text = PAGE.read_text(encoding="utf-8")
    variables = {"__name__": "__main__"}
    for found in STEP.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        if found["command"]:
            words = shlex.split(found["command"])[1:]
            yield line, lambda project, words=words: run(project, words)
        else:
            # The lines of a traceback are those of the page.
            code = compile("\n" * line + found["snippet"], PAGE, "exec")
            yield line, lambda project, code=code: execute(project, code, variables)


def run(project, words):
    """Run the pipeline in the folder of the project."""
    ended = subprocess.run([PIPELINE, *words], cwd=project, capture_output=True, text=True)
    if ended.returncode != 0:
        print(f"tfnas-pipeline {shlex.join(words)}: exit code {ended.returncode}\n{ended.stderr}")
    return ended.returncode == 0


def execute(project, code, variables):
    """Run a snippet in the folder of the project, which is where Python looks for modules."""
    printed = io.StringIO()
    try:
        with contextlib.chdir(project), contextlib.redirect_stdout(printed):
            sys.path.insert(0, os.getcwd())
            try:
                exec(code, variables)
            finally:
                sys.path.pop(0)
    except Exception:
        print(printed.getvalue())
        traceback.print_exc()
        return False
    return True


def exports(report, project, files):
    """Compare the logits of the trained network in all formats with ours, on photos."""
    described = {name: json.loads((project / f"{name}.preprocessing.json").read_text()) for name in EXPORTED}
    steps = described["model.py"]["steps"]
    resize, side = steps[1]["short_side"], steps[2]["side"]
    ours = run_json(LOGITS, project / "model.config", project / "weights.safetensors", side, resize, *files)
    for name in EXPORTED:
        images = np.stack([networks.prepared(file, described[name]["steps"]) for file in files])
        logits = networks.runner(project / name)(images)
        report.close(f"trained {name}, our logits of {len(files)} images", logits, np.array(ours["kept"]), networks.TOLERANCE)
