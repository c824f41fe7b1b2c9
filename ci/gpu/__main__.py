"""Test and measure everything on a machine with a GPU: python3 ci/gpu --report report.json

Run the programs of the bundle (ci/gpu/bundle) that contains this folder, with the installed PyTorch, or otherwise those in
target/. This takes about 8 minutes on an H100. If a part fails, report the failure and run the other parts. With --device cpu,
use small sizes, to test this script without a GPU.
"""

import argparse
import json
import shutil
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import golden  # noqa: E402
import loading  # noqa: E402
import machine  # noqa: E402
import pipelines  # noqa: E402
import throughput  # noqa: E402
from programs import Programs, Skipped  # noqa: E402

# Parts in one group run at the same time, because they measure no times. The others run alone.
GROUPS = [
    ["machine"],
    ["golden_derived", "golden_supernet", "mixed_precision", "ranks_gloo", "rank_nccl"],
    ["pipeline"],
    ["determinism", "precisions"],
    ["throughput"],
    ["loading"],
]

PARTS = {
    "machine": machine.describe,
    "golden_derived": golden.derived,
    "golden_supernet": golden.supernet,
    "mixed_precision": golden.mixed_precision,
    "ranks_gloo": golden.two_ranks_by_gloo,
    "rank_nccl": golden.one_rank_by_nccl,
    "pipeline": pipelines.all_stages,
    "determinism": pipelines.deterministic,
    "precisions": pipelines.precisions,
    "loading": loading.measure_waiting,
    "throughput": throughput.compare_with_pytorch,
}


def absolute(text: str) -> Path:
    return Path(text).resolve()


def main() -> int:
    parser = argparse.ArgumentParser(prog="ci/gpu", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--report", type=Path, default=Path("gpu.json"), help="the file to write (default: gpu.json)")
    parser.add_argument("--programs", type=absolute, help="the folder of the built programs")
    parser.add_argument("--images", type=absolute, help="a folder with train/, test/ and photos/, each with class folders")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--only", nargs="+", choices=list(PARTS), metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--limit-s", type=float, default=480, help="start no part after this many seconds (default: 480)")
    options = parser.parse_args()

    programs = Programs.find(HERE.parent.parent, options.programs, options.images, options.device)
    began = time.monotonic()
    report: dict = {"device": options.device, "parts": {}}
    failed = 0
    wanted = options.only or list(PARTS)
    with ThreadPoolExecutor() as pool:
        for group in GROUPS:
            names = [name for name in group if name in wanted]
            if time.monotonic() - began > options.limit_s:
                outcomes = {name: {"outcome": "skipped", "reason": "no time left"} for name in names}.items()
            else:
                running = {pool.submit(run, PARTS[name], programs): name for name in names}
                # Report parts as they end, so that a slow part does not delay the others.
                outcomes = ((running[part], part.result()) for part in as_completed(running))
            for name, outcome in outcomes:
                failed += outcome["outcome"] == "failed"
                report["parts"][name] = outcome
                report["seconds"] = round(time.monotonic() - began, 1)
                # Written after every part, so that an interrupted run keeps its results.
                options.report.write_text(json.dumps(report, indent=1) + "\n")
                print(f"== {name}: {outcome['outcome']} in {outcome.get('seconds', 0):.1f} s", flush=True)
                print(json.dumps({key: value for key, value in outcome.items() if key != "outcome"}), flush=True)
    shutil.rmtree(programs.work, ignore_errors=True)
    print(f"ci/gpu: {len(report['parts']) - failed} passed or skipped, {failed} failed, {report['seconds']:.0f} s")
    return 1 if failed else 0


def run(part, programs: Programs) -> dict:
    """Return the results of a part, or the reason and location of its failure."""
    start = time.monotonic()
    try:
        outcome = {"outcome": "passed", **part(programs)}
    except Skipped as skipped:
        outcome = {"outcome": "skipped", "reason": str(skipped)}
    except Exception as error:  # Report the failure and continue with the other parts.
        outcome = {"outcome": "failed", "reason": str(error)[-4000:], "where": traceback.format_exc(limit=-1)[-400:]}
    return {**outcome, "seconds": round(time.monotonic() - start, 1)}


if __name__ == "__main__":
    sys.exit(main())
