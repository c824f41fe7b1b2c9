"""Run the programs of this project that cargo has built."""

import json
import os
import subprocess
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
BUILT = Path(os.environ.get("CARGO_TARGET_DIR", SOURCE / "target")) / "debug"

PIPELINE = BUILT / "tfnas-pipeline"
LOGITS = BUILT / "examples/logits"
PIXELS = BUILT / "examples/pixels"


def check_built():
    """Exit if one of them is missing."""
    for program in [PIPELINE, LOGITS, PIXELS]:
        if not program.exists():
            raise SystemExit(f"{program} is not built: `make interop` builds it")


def run_json(program, *arguments):
    """Return the JSON that a program prints; exit with its error if it fails."""
    command = [str(program), *map(str, arguments)]
    completed = subprocess.run(command, capture_output=True, text=True)
    if completed.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit code {completed.returncode}\n{completed.stderr}")
    return json.loads(completed.stdout)


class Pixels:
    """A running `pixels` process, which decodes and transforms image files with this project."""

    def __init__(self, folder):
        self.out = Path(folder, "pixels.rgb")
        self.process = subprocess.Popen([PIXELS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def of(self, image, **what):
        """Return (width, height, bytes) or the text of an error; `what` is `evaluate`, `train`, or empty to decode only."""
        print(json.dumps({"image": str(image), "out": str(self.out), **what}), file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            return answer["error"]
        return answer["width"], answer["height"], self.out.read_bytes()

    def close(self):
        self.process.stdin.close()
        self.process.wait()
