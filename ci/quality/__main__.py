"""Compares the networks that the pipeline finds with random networks of the same latency.

On real images, for several seeds: searches, selects and trains; trains random architectures of the same predicted
latency with the same recipe, images and data order; and says between which of them the found networks stand. Every
training is a stage of the pipeline, so that an interrupted or repeated run reuses what is there.

Prints a table, and writes everything as JSON to .quality/quality-PRESET.json. A goal that is missed is a verdict, not an error.
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

# How much is measured: what the README reports, or a part of it that takes about an hour.
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
    parser.add_argument("--preset", choices=PRESETS, default="full", help="how much is measured (full)")
    parser.add_argument("--images", type=Path, default=SOURCE.parent / "shared" / "data", metavar="FOLDER",
                        help="holds cifar10-jpg.tar.xz and cifar10-more-test.tar.xz (../shared/data)")
    parser.add_argument("--table", type=Path, metavar="FILE", help="a latency table of the space; without it one is measured, once")
    parser.add_argument("--work", type=Path, default=SOURCE / ".quality", metavar="FOLDER", help="keeps images and results (.quality)")
    parser.add_argument("--program", type=Path, default=SOURCE / "target" / "debug" / "tfnas-pipeline", metavar="FILE",
                        help="the program (target/debug/tfnas-pipeline)")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="random networks that train side by side, one thread each (2)")
    parser.add_argument("--random", type=int, metavar="N", help="random networks, instead of the preset's number")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="SEED", help="search seeds, instead of the preset's")
    parser.add_argument("--skip-search-alone", action="store_true", help="leave out what the search finds without select")
    arguments = parser.parse_args()
    preset = dict(PRESETS[arguments.preset])
    preset["random"] = arguments.random or preset["random"]
    preset["seeds"] = arguments.seeds or preset["seeds"]

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
    """The images of both archives: train/<class>, and the test images of both in test/<class>."""
    if (images / "ready").exists():
        return images
    missing = [name for name in ARCHIVES if not (archives / name).is_file()]
    if missing:
        sys.exit(f"{', '.join(missing)}: not in {archives}\nhint: --images FOLDER names the folder that holds them")
    for name in ARCHIVES:
        with tarfile.open(archives / name) as archive:
            for member in archive:
                if not member.isfile():
                    continue
                *_, part, label, file = Path(member.name).parts
                # The further test images have names that the others use too.
                target = images / ("train" if part == "train" else "test") / label / (file if part in ("train", "test") else f"more-{file}")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.extractfile(member).read())
    (images / "ready").touch()
    return images


def measure(pipeline: Pipeline, preset: dict, search_alone: bool) -> dict:
    """Everything that is reported."""
    target_ms = pipeline.target_ms()
    first, *others = preset["training_seeds"]
    found, alone = [], []
    for seed in preset["seeds"]:
        print(f"search, select and train with seed {seed}", file=sys.stderr)
        found.append({"seed": seed, **pipeline.search(seed, [])})
    networks = [network["config"] for network in found]
    if search_alone:
        for seed in preset["seeds"]:
            print(f"the search alone with seed {seed}", file=sys.stderr)
            alone.append({"seed": seed, **pipeline.search(seed, ["select.candidates=0"])})
    print(f"{preset['random']} random networks of {target_ms:.3f} ms", file=sys.stderr)
    drawn = pipeline.draw(preset["random"], target_ms)
    random = pipeline.train_all(drawn, first)
    # The same recipe, images, data order and initial seed as the random networks.
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
    """The table of the README, in Markdown."""
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
