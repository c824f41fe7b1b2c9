"""Compares with other people's programs: exported networks in ONNX Runtime and PyTorch, images in Pillow and torchvision.

Needs the packages that ci/interop/set-up installs. The exit code is 1 when something differs.
"""

import argparse
import os
import sys
import tarfile
import tempfile
from pathlib import Path

import networks
import pictures
import programs
from report import Report

# Of so many photographs of 32 x 32 pixels one is compared.
THUMBNAIL_STEP = 10
# Of so many of all these photographs a quick comparison takes one.
QUICK_STEP = 15
PARTS = {"networks": networks.compare, "pictures": pictures.compare}


def main():
    parser = argparse.ArgumentParser(prog="ci/interop", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; without one, all")
    parser.add_argument("--quick", action="store_true", help="compares every fifteenth photograph alone")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    programs.check_built()
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        every = QUICK_STEP if arguments.quick else 1
        photographs, thumbnails = photos()[::every], extracted(Path(folder))[::every]
        for name, compare in PARTS.items():
            if not arguments.parts or name in arguments.parts:
                compare(report, Path(folder), photographs, thumbnails)
    return report.finish()


def photos():
    """Photographs: in TFNAS_PHOTOS, or in ../shared/data/photos beside the project; perhaps none."""
    folder = Path(os.environ.get("TFNAS_PHOTOS", programs.SOURCE.parent / "shared/data/photos"))
    files = sorted(file for file in folder.glob("*") if file.suffix.lower() in [".jpg", ".jpeg", ".png"])
    if not files:
        print(f"no photographs in {folder}: only generated images are compared")
    return files


def extracted(folder):
    """Every so many-th of the photographs of 32 x 32 pixels in TFNAS_THUMBNAILS, an archive; without it the one beside the project."""
    archive = Path(os.environ.get("TFNAS_THUMBNAILS", programs.SOURCE.parent / "shared/data/cifar10-jpg.tar.xz"))
    if not archive.exists():
        print(f"{archive} is not there: no thumbnails are compared")
        return []
    with tarfile.open(archive) as files:
        members = [member for member in files.getmembers() if member.isfile()][::THUMBNAIL_STEP]
        files.extractall(folder / "thumbnails", members, filter="data")
    return [folder / "thumbnails" / member.name for member in members]


if __name__ == "__main__":
    sys.exit(main())
