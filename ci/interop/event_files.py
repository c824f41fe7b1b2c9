"""Compare the event files that TensorBoard reads with the outputs of the stages."""

import json
import subprocess

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from programs import PIPELINE

# Event files have single precision.
TOLERANCE = 1e-6
# Outputs that have the metrics of epochs, by stage.
EPOCHS = {"search": ("history.json", lambda output: output), "train": ("train.json", lambda output: output["epochs"])}
# Numbers of an epoch that are not metrics.
OTHERS = {"epoch", "skipped"}


def compare(report, project, live):
    """Compare the files that a run wrote while it ran, and those of an export, with the outputs in the folder of a project."""
    exported = project / "exported-events"
    outputs = {stage: read_output(project, file) for stage, (file, _) in EPOCHS.items()}
    subprocess.run([PIPELINE, "export", exported, "--format", "tensorboard"], cwd=project, check=True, capture_output=True)
    for folder in [live, exported]:
        (run,) = folder.glob("run-*")
        texts = load(run).Tensors("configuration")
        passed = b'"epochs"' in texts[0].tensor_proto.string_val[0]
        report.count("event files", passed, f"{run}: the configuration is missing")
        for stage, (_, epochs) in EPOCHS.items():
            scalars(report, load(run / stage), f"{folder.name}/{stage}", epochs(outputs[stage]))
        top1 = load(run / "test").Scalars("top1")
        tested = read_output(project, "test.json")["top1"]
        report.count("event files", len(top1) == 1 and close(top1[0].value, tested), f"{folder.name}: top1 of test")


def scalars(report, events, what, epochs):
    """Compare the scalars of a stage with its epochs."""
    numbers = {name for epoch in epochs for name, value in epoch.items() if isinstance(value, (int, float))} - OTHERS
    for name in sorted(numbers):
        expected = [(epoch["epoch"], epoch[name]) for epoch in epochs if epoch.get(name) is not None]
        found = [(event.step, event.value) for event in events.Scalars(name)]
        passed = len(found) == len(expected) and close(found, expected)
        report.count("event files", passed, f"{what}/{name}: {found}, not {expected}")
    if what.endswith("search"):
        shares = [tag for tag in events.Tags()["scalars"] if tag.startswith("operations/")]
        sums = np.array([[event.value for event in events.Scalars(tag)] for tag in shares]).sum(axis=0)
        blocks = len({tag.split("/")[1] for tag in shares})
        passed = len(shares) > 0 and np.allclose(sums, blocks, atol=0.01)
        report.count("event files", passed, f"{what}: the probabilities of {blocks} blocks sum to {sums}")


def load(folder):
    """Read the event files of a folder, without leaving out values."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    return events


def read_output(project, name):
    """Return an output of the last run."""
    subprocess.run([PIPELINE, "export", name, "compared.json"], cwd=project, check=True, capture_output=True)
    return json.loads((project / "compared.json").read_text())


def close(found, expected):
    """Return whether numbers are equal in single precision."""
    return bool(np.allclose(found, expected, rtol=TOLERANCE))
