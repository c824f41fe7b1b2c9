"""Compare the logits of exported networks in ONNX Runtime and PyTorch with ours and with those of the authors' code."""

import json

import numpy as np
import onnx
import onnxruntime
import torch
from PIL import Image
from torchvision import transforms

import golden
from programs import LOGITS, PIPELINE, run_json

# Relative to the largest logit: the programs sum in different orders.
TOLERANCE = 1e-4
FORMATS = ["onnx", "torchscript"]
BATCH_NORMS = {"kept": [], "folded": ["--fold"]}
BATCHES = [1, 3]


def compare(report, folder, photos, _thumbnails):
    """Export two networks of the published space, with 10 and with 1000 classes, and run them in other programs."""
    cases = golden.cases()
    original(report, folder / "original", cases[0])
    ours(report, folder / "ours", cases[1], photos)


def original(report, folder, case):
    """Compare with the logits of the authors' code for images from the formula."""
    half = case["n10_64_hash"]
    expected = np.array(half["f64"]["eval_logits_b2"])
    network = Exported(folder, case, expected.shape[1], half["salt"], resolution=64)
    images = golden.images(half["eval_input"], half["salt"])
    for name, run in network.runs():
        logits = np.concatenate([run(images[:1]), run(images)[1:]])
        report.close(f"{name}, the original's logits", logits, expected, TOLERANCE)


def ours(report, folder, case, photos):
    """Compare with the logits that this project computes for photos, or for noise if there are no photos."""
    files = photos[: max(BATCHES)] or [noise(folder, index) for index in range(max(BATCHES))]
    network = Exported(folder, case, 1000, "interop:", resolution=224)
    expected = run_json(LOGITS, network.config, network.weights, 224, 256, *files)
    for name, run in network.runs():
        described = json.loads((folder / f"{name}.preprocessing.json").read_text())
        images = np.stack([prepared(file, described["steps"]) for file in files])
        ours = np.array(expected["folded" if name.startswith("folded") else "kept"])
        for batch in BATCHES:
            report.close(f"{name}, our logits, batch {batch}", run(images[:batch]), ours[:batch], TOLERANCE)


class Exported:
    """A network with weights from the formula, in every form in which it can be exported."""

    def __init__(self, folder, case, classes, salt, resolution):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.config, self.weights = folder / "model.config", folder / "weights.safetensors"
        text, shapes = golden.with_classes(case, classes)
        self.config.write_text(text)
        golden.write_safetensors(self.weights, golden.weights(shapes, salt))
        named = ["--model", self.config, "--weights", self.weights, "--resolution", resolution, "--json"]
        for format in FORMATS:
            for batch_norm, options in BATCH_NORMS.items():
                file = folder / f"{batch_norm}.{format}"
                run_json(PIPELINE, "export", file, "--format", format, *options, *named)

    def runs(self):
        """Return the name of each form, and a function that computes its logits."""
        for batch_norm in BATCH_NORMS:
            yield f"{batch_norm}.onnx", onnx_runtime(self.folder / f"{batch_norm}.onnx")
            yield f"{batch_norm}.torchscript", pytorch(self.folder / f"{batch_norm}.torchscript")


def onnx_runtime(file):
    onnx.checker.check_model(str(file), full_check=True)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["logits"], {"images": images})[0]


def pytorch(file):
    module = torch.jit.load(file)

    def run(images):
        with torch.no_grad():
            return module(torch.from_numpy(images)).numpy()

    return run


def prepared(file, steps):
    """Prepare an image as specified by the description beside an exported file."""
    x = None
    for step in steps:
        match step["step"]:
            case "decode":
                x = Image.open(file).convert("RGB")
            case "resize":
                x = transforms.Resize(step["short_side"], transforms.InterpolationMode.BILINEAR)(x)
            case "centre_crop":
                x = np.asarray(transforms.CenterCrop(step["side"])(x))
            case "divide":
                x = x.astype(np.float32) / np.float32(step["by"])
            case "normalise":
                x = (x - np.array(step["mean"], np.float32)) / np.array(step["std"], np.float32)
            case "transpose":
                x = x.transpose([step["from"].index(axis) for axis in step["to"]])
            case other:
                raise SystemExit(f"{file}: the description has an unknown step {other}")
    return np.ascontiguousarray(x)


def noise(folder, index):
    """Write a colorful image to a file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"noise-{index}.png"
    pixels = np.random.default_rng(index).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(pixels).resize((400, 300)).save(file)
    return file
