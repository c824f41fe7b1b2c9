"""Compare decoding, the resize and crop of evaluation, and augmentations with Pillow and torchvision, byte by byte."""

import random
import warnings

import numpy as np
import torch
from torchvision import transforms
from torchvision.datasets.folder import default_loader
from torchvision.transforms import functional

import odd
from programs import Pixels

# Short side and crop size; the last two give a black border.
EVALUATIONS = [(256, 224), (36, 32), (32, 32), (20, 27), (7, 8)]
# Augmentations of each image, each with its own parameters.
DRAWS = 3
BILINEAR = transforms.InterpolationMode.BILINEAR
# Color changes in the order of ColorJitter's numbers.
COLORS = ["brightness", "contrast", "saturation", "hue"]
# Width of the border of a padded crop, in pixels.
PADDING = 4


def compare(report, folder, photos, thumbnails):
    """Compare generated images, photos, and 32x32 photos."""
    # Pillow warns about a palette with transparency, which `convert` drops as intended.
    warnings.filterwarnings("ignore", "Palette images with Transparency")
    pixels = Pixels(folder)
    kinds = {"odd images": odd.write_all(folder / "odd"), "photographs": photos, "thumbnails": thumbnails}
    for kind, files in kinds.items():
        for file in files:
            compare_one(report, pixels, kind, file)
    pixels.close()


def compare_one(report, pixels, kind, file):
    """Compare one image: decoded, prepared for evaluation, and augmented several times."""
    image = default_loader(file)
    same(report, f"{kind} decoded", file.name, image, pixels.of(file))
    for resize, resolution in EVALUATIONS:
        expected = transforms.CenterCrop(resolution)(transforms.Resize(resize, BILINEAR)(image))
        found = pixels.of(file, evaluate={"resize": resize, "resolution": resolution})
        same(report, f"{kind} evaluated", f"{file.name} {resize} {resolution}", expected, found)
    for draw in range(DRAWS):
        parameters = drawn(f"{file.name} {draw}", *image.size)
        expected = augmented(image, **parameters)
        same(report, f"{kind} augmented", f"{file.name} {parameters}", expected, pixels.of(file, train=parameters))


def drawn(seed, width, height):
    """Draw the parameters of an augmentation: a resized crop, or every fourth time a padded crop if the image is large enough."""
    draw = random.Random(seed)
    crop_width, crop_height = draw.randint(1, width), draw.randint(1, height)
    left, top = draw.randint(0, width - crop_width), draw.randint(0, height - crop_height)
    resolution = draw.choice([32, 97, 224])
    if draw.random() < 0.25 and min(width, height) + 2 * PADDING >= resolution:
        left, top = (draw.randint(-PADDING, size + PADDING - resolution) for size in [width, height])
        crop_width = crop_height = resolution
    colors = [(name, draw.uniform(-0.5, 0.5) if name == "hue" else draw.uniform(0, 2)) for name in COLORS]
    draw.shuffle(colors)
    crop = [left, top, crop_width, crop_height]
    return {"resolution": resolution, "crop": crop, "flip": draw.random() < 0.5, "colors": colors}


def augmented(image, resolution, crop, flip, colors):
    """Return the image that torchvision's transforms compute with these parameters."""
    left, top, width, height = crop
    if (width, height) == (resolution, resolution):
        cropped = transforms.RandomCrop(resolution, padding=PADDING)
        drawn = (top + PADDING, left + PADDING, height, width)
    else:
        cropped, drawn = transforms.RandomResizedCrop(resolution, interpolation=BILINEAR), (top, left, height, width)
    cropped.get_params = lambda *_: drawn
    jittered = transforms.ColorJitter()
    order = torch.tensor([COLORS.index(name) for name, _ in colors])
    factors = dict(colors)
    jittered.get_params = lambda *_: (order, *(factors[name] for name in COLORS))
    image = cropped(image)
    return jittered(functional.hflip(image) if flip else image)


def same(report, kind, what, expected, found):
    """Compare an image of Pillow with (width, height, bytes) or the text of an error."""
    if isinstance(found, str):
        report.count(kind, False, f"{what}: error: {found}")
        return
    width, height, content = found
    if (width, height) != expected.size:
        report.count(kind, False, f"{what}: {width} x {height}, expected {expected.size}")
        return
    difference = np.frombuffer(content, np.uint8).astype(int) - np.asarray(expected).flatten()
    message = f"{what}: {np.count_nonzero(difference)} bytes differ, by at most {np.abs(difference).max()}"
    report.count(kind, not difference.any(), message)
