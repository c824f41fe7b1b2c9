"""Run the pipeline and read its results."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Fraction of the range that the table can reach.
TARGET = "40%"
# Random networks are at most this fraction below the target.
TOLERANCE = 0.01


class Pipeline:
    """The pipeline on one set of images, with one latency table and one store."""

    def __init__(self, source: Path, program: Path, work: Path, images: Path, sets: list[str], jobs: int) -> None:
        self.source = source
        self.program = program.resolve()
        self.work = work
        self.images = images
        self.jobs = jobs
        self.sets = [
            f"data.root={images}",
            "data.train=train",
            "data.test=test",
            f"search.target_lat_ms={TARGET}",
            *sets,
        ]

    def use_table(self, table: Path | None) -> None:
        """Use the given table, or the one measured by an earlier call, or measure one."""
        kept = self.work / "latency.table"
        if table is not None:
            shutil.copyfile(table, kept)
        elif not kept.exists():
            self.run("run", "lookup")
            shutil.copyfile(self.output("lookup", "latency.table", []), kept)
        self.sets.append(f"lookup.import={kept}")

    def target_ms(self) -> float:
        """Return the target latency in milliseconds."""
        found = json.loads(self.run("table", "range", str(self.work / "latency.table"), "--space", "cifar", "--json"))
        share = float(TARGET.rstrip("%")) / 100
        return found["min_ms"] + share * (found["max_ms"] - found["min_ms"])

    def counts(self) -> dict:
        """Return the number of training and test images."""
        return {part: sum(1 for _ in (self.images / part).glob("*/*")) for part in ("train", "test")}

    def search(self, seed: int, sets: list[str]) -> dict:
        """Search, and select unless disabled in `sets`; return the network, its latency, and the time of each stage."""
        sets = [f"seed={seed}", *sets]
        self.run("run", "parse", sets=sets)
        architecture = json.loads(self.output("parse", "architecture.json", sets).read_text())
        named = self.work / "found" / f"{'-'.join(sets).replace('=', '')}-{len(self.sets)}.config"
        named.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.output("parse", "model.config", sets), named)
        status = self.status(sets)
        found = {
            "config": str(named),
            "predicted_lat_ms": architecture["predicted_lat_ms"],
            "seconds": {stage["id"]: stage["seconds"] for stage in status if stage["id"] in ("search", "select")},
        }
        if any(stage["id"] == "select" for stage in status):
            selected = json.loads(self.output("select", "candidates.json", sets).read_text())["selection"]
            winner = next(entry for entry in selected["ranking"] if entry["id"] == selected["winner"])
            found["select"] = {
                "winner": winner["origin"],
                "search_parse_rank": selected["search_parse_rank"],
                "candidates": len(selected["ranking"]),
                "percentile": selected["percentile"],
                "rung_spearman": selected["rung_spearman"],
                "leave_one_out_spearman": selected["regression"]["leave_one_out_spearman"],
            }
        return found

    def draw(self, count: int, target_ms: float) -> list[str]:
        """Draw random architectures whose predicted latency is at most the target."""
        folder = self.work / "random"
        classes = sum(1 for path in (self.images / "train").iterdir() if path.is_dir())
        self.run(
            "table", "random", "--table", str(self.work / "latency.table"), "--space", "cifar",
            "--target-lat-ms", str(target_ms), "--tolerance-ms", str(target_ms * TOLERANCE),
            "--classes", str(classes), "--count", str(count), "--out", str(folder),
        )
        return [str(folder / f"random-{index}.config") for index in range(count)]

    def train_all(self, configs: list[str], seed: int) -> list[dict]:
        """Train and test networks in parallel with a training seed; return top-1 and loss on the test images."""

        def train(config: str) -> dict:
            sets = [f"seed={seed}", "threads=1", f"train.from={Path(config).resolve()}"]
            self.run("run", "test", sets=sets)
            test = json.loads(self.output("test", "test.json", sets).read_text())
            return {"config": Path(config).name, "top1": test["top1"], "loss": test["loss"], "images": test["images"]}

        with ThreadPoolExecutor(self.jobs) as pool:
            return list(pool.map(train, configs))

    def status(self, sets: list[str]) -> list[dict]:
        """Return the stages of a configuration with their run times."""
        stages = json.loads(self.run("status", "--json", sets=sets))["stages"]
        for stage in stages:
            stage["seconds"] = stage["took_s"] or 0.0
        return stages

    def output(self, stage: str, name: str, sets: list[str]) -> Path:
        """Return the path of an output."""
        status = json.loads(self.run("status", stage, "--json", sets=sets))["stages"]
        outputs = next(entry["outputs"] for entry in status if entry["id"] == stage)
        return Path(next(output["path"] for output in outputs if output["name"] == name))

    def run(self, *arguments: str, sets: list[str] | None = None) -> str:
        """Run the program; return its standard output."""
        command = [str(self.program), *arguments]
        if arguments[0] in ("run", "status"):
            command += ["--config", str(self.source / "configs" / "cifar10.yaml"), "--store", str(self.work / "store")]
            for value in [*self.sets, *(sets or [])]:
                command += ["--set", value]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode != 0:
            sys.exit(f"{' '.join(command)}\n{ran.stderr}")
        return ran.stdout
