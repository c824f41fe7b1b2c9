"""Compare exported networks with ONNX Runtime and PyTorch, and images with Pillow and torchvision; run docs/how-to/python.md.

This needs the packages that ci/interop/setup installs. The exit code is 1 if something differs.
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
import python_docs
from report import Report

# Compare one of this number of 32x32 photos.
THUMBNAIL_STEP = 10
# With --quick, compare one of this number of photos.
QUICK_STEP = 15
PARTS = {"networks": networks.compare, "pictures": pictures.compare, "python": python_docs.compare}


def main():
    parser = argparse.ArgumentParser(prog="ci/interop", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="compare only every fifteenth photo")
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
    """Return the photos in TFNAS_PHOTOS or ../shared/data/photos, if any."""
    folder = Path(os.environ.get("TFNAS_PHOTOS", programs.SOURCE.parent / "shared/data/photos"))
    files = sorted(file for file in folder.glob("*") if file.suffix.lower() in [".jpg", ".jpeg", ".png"])
    if not files:
        print(f"no photos in {folder}: only generated images are compared")
    return files


def extracted(folder):
    """Return every tenth 32x32 photo of the archive TFNAS_THUMBNAILS (default: ../shared/data/cifar10-jpg.tar.xz)."""
    archive = Path(os.environ.get("TFNAS_THUMBNAILS", programs.SOURCE.parent / "shared/data/cifar10-jpg.tar.xz"))
    if not archive.exists():
        print(f"{archive} does not exist: no 32x32 photos are compared")
        return []
    with tarfile.open(archive) as files:
        members = [member for member in files.getmembers() if member.isfile()][::THUMBNAIL_STEP]
        # Python 3.11.3 and earlier have no filters.
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        files.extractall(folder / "thumbnails", members, **safe)
    return [folder / "thumbnails" / member.name for member in members]


if __name__ == "__main__":
    sys.exit(main())
