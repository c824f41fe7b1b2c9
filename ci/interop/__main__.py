"""Compares with other people's programs: exported networks in ONNX Runtime and PyTorch, images in Pillow and torchvision.

Runs in the environment that ci/interop/set-up makes. The exit code is 1 when something differs.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import networks
import pictures
import programs
from report import Report

PARTS = {"networks": networks.compare, "pictures": pictures.compare}


def main():
    parser = argparse.ArgumentParser(prog="ci/interop", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; without one, all")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    programs.check_built()
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        for name, compare in PARTS.items():
            if not arguments.parts or name in arguments.parts:
                compare(report, Path(folder), photos())
    return report.finish()


def photos():
    """Photographs: in TFNAS_PHOTOS, or in ../shared/data/photos beside the project; perhaps none."""
    folder = Path(os.environ.get("TFNAS_PHOTOS", programs.SOURCE.parent / "shared/data/photos"))
    files = sorted(file for file in folder.glob("*") if file.suffix.lower() in [".jpg", ".jpeg", ".png"])
    if not files:
        print(f"no photographs in {folder}: only generated images are compared")
    return files


if __name__ == "__main__":
    sys.exit(main())
