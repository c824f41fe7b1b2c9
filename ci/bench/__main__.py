"""Measure the speed of planner, store, training and ranks, and of other tools on the same machine, in one run.

Print a table, and write all figures as JSON to .bench/bench.json. A figure above its limit is reported as MISSED, but is
not an error: the exit code is 1 only if something could not be measured.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import contention
import folders
import growth
import ledger
import loading
import noop
import report
import scaling
import search
import training
from measure import Bench, Figure

SOURCE = Path(__file__).resolve().parents[2]

PARTS = {
    "noop": noop.measure,
    "files": folders.measure_files,
    "entries": folders.measure_entries,
    "ledger": ledger.measure,
    "scaling": scaling.measure,
    "training": training.measure,
    "search": search.measure,
    "loading": loading.measure,
    "growth": growth.measure,
    "contention": contention.measure,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="ci/bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--few", type=int, default=5, help="runs of benchmarks that take seconds (default: 5)")
    parser.add_argument("--many", type=int, default=21, help="runs of benchmarks that take milliseconds (default: 21)")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")

    folder = SOURCE / ".bench"
    peers = folder / "peers"
    # Some parts need no peers, so ci/bench/setup may not have run.
    peers.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="work-", dir=folder))
    bench = Bench(programs(), peers, work, SOURCE, arguments.few, arguments.many)
    figures: list[Figure] = []
    unmeasured: dict[str, str] = {}
    try:
        for name in arguments.parts or PARTS:
            print(f"measuring: {name}", file=sys.stderr)
            try:
                figures += PARTS[name](bench)
            except Exception as error:  # The figures of the other parts are kept.
                unmeasured[name] = str(error) or type(error).__name__
    finally:
        shutil.rmtree(work)

    found = report.as_json(figures, unmeasured, sorted(path.name for path in peers.iterdir()))
    (folder / "bench.json").write_text(json.dumps(found, indent=2) + "\n")
    print(report.table(figures, unmeasured))
    print(f"{found['machine']['cpu']}, {found['machine']['cores']} cores; as JSON: {folder / 'bench.json'}")
    return 1 if unmeasured else 0


def programs() -> Path:
    """Return the folder with the built programs."""
    command = ["cargo", "metadata", "--no-deps", "--offline", "--format-version", "1"]
    metadata = subprocess.run(command, cwd=SOURCE, check=True, capture_output=True, text=True).stdout
    return Path(json.loads(metadata)["target_directory"]) / "debug"


if __name__ == "__main__":
    sys.exit(main())
