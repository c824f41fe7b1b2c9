"""The project's own programs, as cargo has built them."""

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
    """Ends the program where one of them is missing."""
    for program in [PIPELINE, LOGITS, PIXELS]:
        if not program.exists():
            raise SystemExit(f"{program} is not built: `make interop` builds it")


def run_json(program, *arguments):
    """What a program prints, as JSON; ends with its words where it fails."""
    command = [str(program), *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit code {ended.returncode}\n{ended.stderr}")
    return json.loads(ended.stdout)


class Pixels:
    """`pixels` under way: what this project makes of image files."""

    def __init__(self, folder):
        self.out = Path(folder, "pixels.rgb")
        self.process = subprocess.Popen([PIXELS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def of(self, image, **what):
        """(width, height, bytes), or the error's text; `what` is `evaluate` or `train`, or nothing for decoding alone."""
        print(json.dumps({"image": str(image), "out": str(self.out), **what}), file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            return answer["error"]
        return answer["width"], answer["height"], self.out.read_bytes()

    def close(self):
        self.process.stdin.close()
        self.process.wait()
