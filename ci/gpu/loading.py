"""Measure whether the image decoders keep the device busy."""

import json
import os
import re
import shutil
from pathlib import Path

from pipelines import result_or_failure
from programs import Programs, Skipped

CONFIGURATION = """\
data:   {{root: images, train: train, test: train, resize: 256, workers: {workers}, decode: {decode}, color_jitter: {jitter}}}
space:  {space}
device: {device}
threads: 1
split:  {{train_share: 0.9}}
train:  {{protocol: held_out, epochs: {epochs}, batch: {batch}, precision: {precision}}}
"""


def measure_waiting(programs: Programs) -> dict:
    """Train a network of the published size on photos; return the time spent waiting for images, by decoders and options."""
    photos = programs.images / "photos" if programs.images else None
    if photos is None or not photos.is_dir():
        raise Skipped("no photos: --images FOLDER with photos/CLASS/*")
    copies, batch, epochs = (12, 128, 3) if programs.is_cuda else (1, 16, 1)
    # The network has 1000 classes, one per label; only two have images.
    found: dict = {"photos": sum(1 for _ in photos.glob("*/*")) * copies}
    cores = os.cpu_count() or 1
    few = max(1, cores // 4)
    if programs.is_cuda:
        cases = [
            (few, "f32", "exact", "workers"),
            (cores, "f32", "exact", "workers"),
            (cores, "bf16", "exact", "workers"),
            (cores, "bf16", "exact", "device"),
            (cores, "bf16", "fast", "device"),
        ]
    else:
        cases = [(few, "f32", "exact", "workers"), (few, "f32", "exact", "device")]
    # The cases of a machine with few cores are equal.
    for case in dict.fromkeys(cases):
        workers, precision, decode, jitter = case
        name = f"{workers} decoders, {precision}, {decode}, color jitter by {jitter}"
        found[name] = result_or_failure(lambda case=case: trained_on(programs, photos, copies, batch, epochs, case))
    return found


def trained_on(programs: Programs, photos: Path, copies: int, batch: int, epochs: int, case: tuple) -> dict:
    """Train on copies of the photos, and return the shares of the time spent waiting."""
    workers, precision, decode, jitter = case
    folder = programs.work / f"loading-{workers}-{precision}-{decode}-{jitter}"
    folder.mkdir()
    copy(photos, folder / "images/train", copies)
    (folder / "network.config").write_text(with_classes_of(programs.root / "ci/gpu/imagenet.config", photos))
    text = CONFIGURATION.format(
        workers=workers,
        decode=decode,
        jitter=jitter,
        space="imagenet",
        device=programs.device,
        epochs=epochs,
        batch=batch,
        precision=precision,
    )
    (folder / "pipeline.yaml").write_text(text)
    printed = programs.pipeline(folder, "run", "train", "--from", "network.config", "--no-progress")
    stages = programs.status(folder, "--set", "train.from=network.config")
    seconds = next(stage["took_s"] for stage in stages if stage["id"] == "train")
    count = sum(1 for _ in photos.glob("*/*")) * copies
    return {
        "waiting_percent": [int(share) for share in re.findall(r"(\d+) % of the time spent waiting for images", printed)],
        "train_s": seconds,
        "images_per_s": round(count * 0.9 * epochs / seconds, 1),
    }


def copy(photos: Path, target: Path, copies: int) -> None:
    for source in photos.glob("*/*"):
        folder = target / source.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(copies):
            shutil.copyfile(source, folder / f"{number}-{source.name}")


def with_classes_of(config: Path, photos: Path) -> str:
    """Return the model.config with one class per folder of photos."""
    network = json.loads(config.read_text())
    network["classifier"]["out_features"] = sum(1 for folder in photos.iterdir() if folder.is_dir())
    return json.dumps(network)
