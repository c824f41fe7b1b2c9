"""Measure how long it takes to identify image folders for the first time and when they are unchanged."""

import json
import shutil
import time
from pathlib import Path

import peers
from measure import Bench, Figure, Unmeasured, run

FILES = 20_000
FILE_BYTES = 10_000
ENTRIES = 1_000_000
FILES_PER_CLASS = 1000

LIMIT_AGAIN_MS = 50
LIMIT_SHARE_OF_DVC = 1 / 20
LIMIT_ENTRIES_S = 5
LIMIT_ENTRIES_MB = 500

# A file counts as unchanged only if it was written long enough before it was read.
SETTLING_S = 1


def measure_files(bench: Bench) -> list[Figure]:
    images = make_files(bench.work / "images", FILES, FILE_BYTES)
    memos = bench.work / "memos"
    first = []
    for _ in range(bench.few):
        shutil.rmtree(memos, ignore_errors=True)
        first.append(identify(bench, images, memos, read=FILES)["seconds"])
    again = [identify(bench, images, memos, read=0)["seconds"] for _ in range(bench.many)]
    dvc = [dvc_add(bench, images) for _ in range(bench.few)]
    figures = [
        Figure.median("20,000 files of 10 kB, first hash", "s", first),
        Figure.median("20,000 files of 10 kB, dvc add", "s", dvc),
        Figure.median("20,000 files of 10 kB, unchanged", "ms", [1e3 * seconds for seconds in again], LIMIT_AGAIN_MS),
    ]
    share = figures[0].value / figures[1].value
    return [*figures, Figure("first hash, as a share of dvc add", "share", share, LIMIT_SHARE_OF_DVC)]


def measure_entries(bench: Bench) -> list[Figure]:
    # The content does not matter when files are unchanged; empty files need no disk blocks.
    entries = make_files(bench.work / "entries", ENTRIES, 0)
    memos = bench.work / "memos-of-entries"
    identify(bench, entries, memos, read=ENTRIES)
    again = [identify(bench, entries, memos, read=0) for _ in range(bench.few)]
    shutil.rmtree(entries)
    memory = [found["peak_memory_bytes"] / 1e6 for found in again]
    return [
        Figure.median("1,000,000 files, unchanged", "s", [found["seconds"] for found in again], LIMIT_ENTRIES_S),
        Figure.median("1,000,000 files, peak memory", "MB", memory, LIMIT_ENTRIES_MB),
    ]


def make_files(root: Path, files: int, size: int) -> Path:
    for index in range(files):
        folder = root / f"n{index // FILES_PER_CLASS:08}"
        if index % FILES_PER_CLASS == 0:
            folder.mkdir(parents=True)
        number = index.to_bytes(8, "little")
        with open(folder / f"{folder.name}_{index}.JPEG", "wb") as file:
            file.write((number * (size // 8 + 1))[:size])
    time.sleep(SETTLING_S)
    return root


def identify(bench: Bench, folder: Path, memos: Path, read: int) -> dict:
    """Identify a folder in a separate process, which must read this number of files."""
    command = [str(bench.programs / "examples/identify"), str(folder), str(memos)]
    found = json.loads(run(command, bench.work).output)
    if found["read"] != read:
        raise Unmeasured(f"{folder}: {found['read']} files were read, not {read}")
    return found


def dvc_add(bench: Bench, images: Path) -> float:
    """Return the seconds of `dvc add` in a new project with an empty cache."""
    project = bench.work / "dvc-add"
    project.mkdir()
    peers.begin_dvc(bench, project)
    inside = images.rename(project / images.name)
    seconds = peers.dvc(bench, project, "add", images.name).seconds
    inside.rename(images)
    shutil.rmtree(project)
    return seconds
