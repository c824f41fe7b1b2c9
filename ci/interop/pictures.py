"""Decoding, evaluation's resize and crop, and the augmentations, byte for byte against Pillow and torchvision."""

import random
import warnings

import numpy as np
from PIL import Image
from torchvision import transforms
from torchvision.transforms import functional

import odd
from programs import Pixels

# Short side and crop; the last two leave a black border.
EVALUATIONS = [(256, 224), (36, 32), (32, 32), (20, 27), (7, 8)]
# Augmentations of each image, each with parameters of its own.
DRAWS = 3
BILINEAR = transforms.InterpolationMode.BILINEAR


def compare(report, folder, photos):
    """Odd images made here, and photographs."""
    # That of a palette with transparency, which `convert` drops as it should.
    warnings.filterwarnings("ignore", "Palette images with Transparency")
    pixels = Pixels(folder)
    for file in odd.write_all(folder / "odd") + photos:
        kind = "photographs" if file in photos else "odd images"
        image, found = Image.open(file).convert("RGB"), pixels.of(file)
        if file.name in odd.REFUSED:
            report.count(f"{kind} refused", isinstance(found, str), f"{file.name} is read")
            continue
        same(report, f"{kind} decoded", file.name, image, found)
        for resize, resolution in EVALUATIONS:
            expected = transforms.CenterCrop(resolution)(transforms.Resize(resize, BILINEAR)(image))
            found = pixels.of(file, evaluate={"resize": resize, "resolution": resolution})
            same(report, f"{kind} evaluated", f"{file.name} {resize} {resolution}", expected, found)
        for draw in range(DRAWS):
            parameters = drawn(f"{file.name} {draw}", *image.size)
            expected = augmented(image, **parameters)
            same(report, f"{kind} augmented", f"{file.name} {parameters}", expected, pixels.of(file, train=parameters))
    pixels.close()


def drawn(seed, width, height):
    """Parameters of an augmentation, some of which crop beyond the image."""
    draw = random.Random(seed)
    crop_width, crop_height = draw.randint(1, width), draw.randint(1, height)
    left, top = draw.randint(0, width - crop_width), draw.randint(0, height - crop_height)
    resolution = draw.choice([32, 97, 224])
    if draw.random() < 0.25:
        # As from an image with a border.
        left, top, crop_width, crop_height = -draw.randint(0, 4), -draw.randint(0, 4), resolution, resolution
    colours = [("hue", draw.uniform(-0.5, 0.5))]
    colours += [(name, draw.uniform(0, 2)) for name in ["brightness", "contrast", "saturation"]]
    draw.shuffle(colours)
    crop = [left, top, crop_width, crop_height]
    return {"resolution": resolution, "crop": crop, "flip": draw.random() < 0.5, "colours": colours}


def augmented(image, resolution, crop, flip, colours):
    """What torchvision does with these parameters."""
    left, top, width, height = crop
    image = functional.resized_crop(image, top, left, height, width, [resolution, resolution], BILINEAR)
    if flip:
        image = functional.hflip(image)
    for name, factor in colours:
        image = getattr(functional, f"adjust_{name}")(image, factor)
    return image


def same(report, kind, what, expected, found):
    """Compares an image of Pillow's with (width, height, bytes), or an error's text."""
    if isinstance(found, str):
        report.count(kind, False, f"{what}: refused: {found}")
        return
    width, height, content = found
    if (width, height) != expected.size:
        report.count(kind, False, f"{what}: {width} x {height}, and Pillow has {expected.size}")
        return
    difference = np.frombuffer(content, np.uint8).astype(int) - np.asarray(expected).flatten()
    message = f"{what}: {np.count_nonzero(difference)} bytes differ, by {np.abs(difference).max()} at most"
    report.count(kind, not difference.any(), message)
