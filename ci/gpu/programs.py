"""Find and run the built programs."""

import importlib.util
import json
import os
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path


class Skipped(Exception):
    """The part cannot run on this machine."""


class Failed(Exception):
    """A program failed; the message has the end of its output."""


class TookTooLong(Failed):
    """A program was killed at its time limit."""


@dataclass
class Programs:
    """Location of the programs, and the device."""

    root: Path
    folder: Path
    images: Path | None
    device: str
    work: Path
    environment: dict = field(default_factory=dict)

    @classmethod
    def find(cls, root: Path, folder: Path | None, images: Path | None, device: str) -> "Programs":
        """Find the programs of a bundle, or those built by cargo."""
        bundled = root / "programs"
        folder = folder or (bundled if bundled.is_dir() else root / "target/debug")
        images = images or (root / "images" if (root / "images").is_dir() else None)
        environment = {**os.environ, "TFNAS_GOLDEN": str(root / "tests/golden"), "TFNAS_TEST_DEVICE": device}
        torch = importlib.util.find_spec("torch")
        if folder == bundled and torch and torch.origin:
            libraries = Path(torch.origin).parent / "lib"
            environment["LD_LIBRARY_PATH"] = f"{libraries}:{environment.get('LD_LIBRARY_PATH', '')}"
        # The settings that the planner passes to its workers.
        environment |= {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "MALLOC_MMAP_THRESHOLD_": "1000000000"}
        environment["MALLOC_TRIM_THRESHOLD_"] = "1000000000"
        return cls(root, folder, images, device, Path(tempfile.mkdtemp(prefix="tfnas-gpu-")).resolve(), environment)

    @property
    def is_cuda(self) -> bool:
        return self.device == "cuda"

    def program(self, name: str) -> Path:
        """Return the newest program of this name; cargo appends a hash to the names of tests."""
        found = [path for path in (self.folder / name, self.folder / "examples" / name) if path.is_file()]
        found += [path for path in self.folder.glob(f"deps/{name}-*") if path.suffix == "" and os.access(path, os.X_OK)]
        if not found:
            raise Skipped(f"{name} is not built in {self.folder}")
        return max(found, key=lambda path: path.stat().st_mtime)

    def run(
        self,
        name: str,
        *arguments: str,
        cwd: Path | None = None,
        limit_s: float = 240,
        only_output: bool = False,
        **variables: str,
    ) -> str:
        """Run a program; return its standard output and, unless `only_output` is set, its standard error."""
        command = [str(self.program(name)), *arguments]
        try:
            completed = subprocess.run(
                command,
                cwd=cwd or self.work,
                env=self.environment | variables,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if only_output else subprocess.STDOUT,
                timeout=limit_s,
                text=True,
                errors="replace",
            )
        except subprocess.TimeoutExpired as error:
            printed = error.output.decode(errors="replace") if isinstance(error.output, bytes) else error.output or ""
            raise TookTooLong(f"{name} took longer than {limit_s} s: {printed[-4000:]}") from None
        printed = completed.stdout + (completed.stderr or "")
        if completed.returncode != 0:
            raise Failed(f"{name} {' '.join(arguments)} exited with code {completed.returncode}: {printed[-3000:]}")
        return completed.stdout

    def pipeline(self, folder: Path, *arguments: str, **options) -> str:
        """Run tfnas-pipeline in a project's folder; return its output."""
        return self.run("tfnas-pipeline", *arguments, cwd=folder, **options)

    def status(self, folder: Path, *arguments: str) -> list[dict]:
        """Return the stages of a project."""
        return json.loads(self.pipeline(folder, "status", "--json", *arguments, only_output=True))["stages"]
