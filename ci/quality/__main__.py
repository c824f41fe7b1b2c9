"""Compare the networks found by the pipeline with random networks of the same latency.

On real images, for several seeds: search, select and train; train random architectures of the same predicted latency with the
same recipe, images and data order; and compute the percentiles of the found networks among them. Every training is a stage of
the pipeline, so an interrupted or repeated run reuses existing results.

Print a table, and write everything as JSON to .quality/quality-PRESET.json. A missed goal is a verdict, not an error.
"""

import argparse
import json
import sys
import tarfile
from pathlib import Path

import statistics_of_ranks as ranks
from pipeline import Pipeline

SOURCE = Path(__file__).resolve().parents[2]
ARCHIVES = ("cifar10-jpg.tar.xz", "cifar10-more-test.tar.xz")

# Amount of work: everything that the README reports, or a part that takes about an hour.
PRESETS = {
    "full": {"seeds": [0, 1, 2], "random": 60, "best": 5, "training_seeds": [0, 1, 2], "sets": []},
    "quick": {
        "seeds": [0],
        "random": 24,
        "best": 0,
        "training_seeds": [0],
        "sets": [
            "search.epochs=4",
            "search.warmup_epochs=2",
            "select.candidates=24",
            "select.proposals=[8, 8]",
            "select.rungs=[1, 2, 6]",
            "select.keep=[8, 3]",
            "train.epochs=6",
        ],
    },
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="ci/quality", description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, default="full", help="amount of work (default: full)")
    parser.add_argument("--images", type=Path, default=SOURCE.parent / "shared" / "data", metavar="FOLDER",
                        help="folder with cifar10-jpg.tar.xz and cifar10-more-test.tar.xz (default: ../shared/data)")
    parser.add_argument("--table", type=Path, metavar="FILE", help="latency table of the space (default: measure one and keep it)")
    parser.add_argument("--work", type=Path, default=SOURCE / ".quality", metavar="FOLDER", help="folder for images and results (default: .quality)")
    parser.add_argument("--program", type=Path, default=SOURCE / "target" / "debug" / "tfnas-pipeline", metavar="FILE",
                        help="the program (default: target/debug/tfnas-pipeline)")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="random networks that train in parallel, one thread each (default: 2)")
    parser.add_argument("--random", type=int, metavar="N", help="number of random networks (default: that of the preset)")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="SEED", help="search seeds (default: those of the preset)")
    parser.add_argument("--training-seeds", type=int, nargs="+", metavar="SEED",
                        help="training seeds of the networks found and of the best random ones (default: those of the preset)")
    parser.add_argument("--skip-search-alone", action="store_true", help="skip the search without select")
    arguments = parser.parse_args()
    preset = dict(PRESETS[arguments.preset])
    preset["random"] = arguments.random or preset["random"]
    preset["seeds"] = arguments.seeds or preset["seeds"]
    preset["training_seeds"] = arguments.training_seeds or preset["training_seeds"]

    arguments.work = arguments.work.resolve()
    images = unpacked(arguments.images, arguments.work / "images")
    pipeline = Pipeline(SOURCE, arguments.program, arguments.work, images, preset["sets"], arguments.jobs)
    pipeline.use_table(arguments.table)
    report = measure(pipeline, preset, not arguments.skip_search_alone)
    report["preset"] = arguments.preset
    path = arguments.work / f"quality-{arguments.preset}.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    print(as_table(report))
    print(f"\n{path}", file=sys.stderr)
    return 0


def unpacked(archives: Path, images: Path) -> Path:
    """Unpack both archives: training images to train/<class>, the test images of both to test/<class>."""
    if (images / "ready").exists():
        return images
    missing = [name for name in ARCHIVES if not (archives / name).is_file()]
    if missing:
        sys.exit(f"{', '.join(missing)}: not in {archives}\nhint: set the folder with --images FOLDER")
    for name in ARCHIVES:
        with tarfile.open(archives / name) as archive:
            for member in archive:
                if not member.isfile():
                    continue
                *_, part, label, file = Path(member.name).parts
                # Prefixed, because the additional test images reuse file names.
                target = images / ("train" if part == "train" else "test") / label / (file if part in ("train", "test") else f"more-{file}")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.extractfile(member).read())
    (images / "ready").touch()
    return images


def measure(pipeline: Pipeline, preset: dict, search_alone: bool) -> dict:
    """Measure everything and return the report."""
    target_ms = pipeline.target_ms()
    first, *others = preset["training_seeds"]
    found, alone = [], []
    for seed in preset["seeds"]:
        print(f"running search, select and train with seed {seed}", file=sys.stderr)
        found.append({"seed": seed, **pipeline.search(seed, [])})
    networks = [network["config"] for network in found]
    if search_alone:
        for seed in preset["seeds"]:
            print(f"running the search without select with seed {seed}", file=sys.stderr)
            alone.append({"seed": seed, **pipeline.search(seed, ["select.candidates=0"])})
    print(f"training {preset['random']} random networks of {target_ms:.3f} ms", file=sys.stderr)
    drawn = pipeline.draw(preset["random"], target_ms)
    random = pipeline.train_all(drawn, first)
    # Same recipe, images, data order and initial seed as for the random networks.
    for group in (found, alone):
        for network, result in zip(group, pipeline.train_all([network["config"] for network in group], first)):
            network["test"] = result
    losses = [result["loss"] for result in random]
    best = sorted(range(len(random)), key=lambda index: losses[index])[: preset["best"]]
    repeated = {}
    for name, configs in (("found", networks), ("best random", [drawn[index] for index in best])):
        runs = [pipeline.train_all(configs, seed) for seed in others] if configs and others else []
        repeated[name] = [[run[index] for run in runs] for index in range(len(configs))]
    report = {
        "target_lat_ms": target_ms,
        "images": pipeline.counts(),
        "random": random,
        "found": found,
        "search_alone": alone,
        "repeated": {"found": repeated["found"], "best_random": repeated["best random"], "best_random_indices": best},
    }
    for group in (found, alone):
        for network in group:
            network["percentiles"] = ranks.percentiles(network["test"], random)
    return report


def as_table(report: dict) -> str:
    """Format the table of the README, in Markdown."""
    random = report["random"]
    top1 = [100 * result["top1"] for result in random]
    loss = [result["loss"] for result in random]
    lines = [
        f"{len(random)} random networks of {report['target_lat_ms']:.3f} ms: top-1 {ranks.spread(top1)} %, test loss {ranks.spread(loss)}",
        "",
        "| network | predicted ms | top-1 % | test loss | percentile by loss, counted | by a normal fit (95 % interval) | by top-1, counted | minutes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, group in (("search + select", report["found"]), ("search alone", report["search_alone"])):
        for network in group:
            lines.append(row(f"{name}, seed {network['seed']}", network))
        if len(group) > 1:
            mean = sum(network["percentiles"]["loss"]["counted"] for network in group) / len(group)
            lines.append(f"| {name}, mean | | | | {mean:.1f} | | | |")
    return "\n".join(lines)


def row(name: str, network: dict) -> str:
    test, of = network["test"], network["percentiles"]
    fit = of["loss"]["fitted"]
    low, high = of["loss"]["interval"]
    minutes = sum(network["seconds"].values()) / 60
    return (
        f"| {name} | {network['predicted_lat_ms']:.4f} | {100 * test['top1']:.2f} | {test['loss']:.4f} "
        f"| {of['loss']['counted']:.1f} | {fit:.1f} ({low:.1f} to {high:.1f}) | {of['top1']['counted']:.1f} | {minutes:.1f} |"
    )


if __name__ == "__main__":
    sys.exit(main())
