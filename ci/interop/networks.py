"""Compare the logits of exported networks in ONNX Runtime and PyTorch with ours and with those of the authors' code."""

import importlib.util
import json

import numpy as np
import onnx
import onnxruntime
import torch
from PIL import Image
from torchvision import transforms

import golden
from programs import LOGITS, PIPELINE, run_json

# Relative to the largest logit: the programs add in different orders.
TOLERANCE = 1e-5
# The files in which a network is exported, and the options for each.
FORMS = {
    "kept.onnx": ["--format", "onnx"],
    "folded.onnx": ["--format", "onnx", "--fold"],
    "kept.pt": ["--format", "torchscript"],
    "folded.pt": ["--format", "torchscript", "--fold"],
    "kept.py": ["--format", "pytorch"],
}
BATCHES = [1, 3]


def compare(report, folder, photos, _thumbnails):
    """Export networks of the published space and others, and run them in other programs."""
    cases = golden.cases()
    original(report, folder / "original", cases[0], FORMS)
    for index, case in enumerate(cases[1:], 1):
        original(report, folder / f"original-{index}", case, ["kept.py"])
    files = photos[: max(BATCHES)] or [noise(folder, index) for index in range(max(BATCHES))]
    ours(report, folder / "ours", golden.with_classes(cases[1], 1000), files, resolution=224, resize=256)
    ours(report, folder / "other", golden.other_form(cases[2]), files, resolution=40, resize=47)


def original(report, folder, case, forms):
    """Compare with the logits that the authors' code computed for images from the formula."""
    half = case["n10_64_hash"]
    expected = np.array(half["f64"]["eval_logits_b2"])
    network = Exported(folder, golden.with_classes(case, expected.shape[1]), half["salt"], 64, forms)
    images = golden.images(half["eval_input"], half["salt"])
    for name, run in network.runs():
        logits = np.concatenate([run(images[:1]), run(images)[1:]])
        report.close(f"{case['id']} {name}, the original's logits", logits, expected, TOLERANCE)


def ours(report, folder, network, files, resolution, resize):
    """Compare with the logits that this project computes for images."""
    network = Exported(folder, network, "interop:", resolution, FORMS)
    expected = run_json(LOGITS, network.config, network.weights, resolution, resize, *files)
    for name, run in network.runs():
        described = json.loads((folder / f"{name}.preprocessing.json").read_text())
        images = np.stack([prepared(file, described["steps"]) for file in files])
        ours = np.array(expected["folded" if name.startswith("folded") else "kept"])
        for batch in BATCHES:
            report.close(f"{folder.name} {name}, our logits, batch {batch}", run(images[:batch]), ours[:batch], TOLERANCE)


class Exported:
    """A network with weights from the formula, exported in some forms."""

    def __init__(self, folder, network, salt, resolution, forms):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.forms = folder, forms
        self.config, self.weights = folder / "model.config", folder / "weights.safetensors"
        text, shapes = network
        self.config.write_text(text)
        golden.write_safetensors(self.weights, golden.weights(shapes, salt))
        named = ["--model", self.config, "--weights", self.weights, "--resolution", resolution, "--json"]
        for name in forms:
            run_json(PIPELINE, "export", folder / name, *FORMS[name], *named)

    def runs(self):
        """Return the name of each form, and a function that computes its logits."""
        for name in self.forms:
            yield name, runner(self.folder / name)


def runner(file):
    """Return a function from images to logits that runs an exported network."""
    return {".onnx": onnx_runtime, ".pt": torchscript, ".py": pytorch}[file.suffix](file)


def onnx_runtime(file):
    onnx.checker.check_model(str(file), full_check=True)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["logits"], {"images": images})[0]


def torchscript(file):
    return logits_of(torch.jit.load(file))


def pytorch(file):
    """Import the module. Its tensors must be those of the file, read by the package safetensors and without it."""
    specification = importlib.util.spec_from_file_location("exported", file)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    tensors = module.read_safetensors(module.WEIGHTS)
    parsed = module.parse_safetensors(bytearray(module.WEIGHTS.read_bytes()))
    network = module.load()
    state = network.state_dict()
    if not state.keys() == tensors.keys() == parsed.keys():
        raise SystemExit(f"{file}: the names of the tensors differ")
    if not all(equal(state[name], tensors[name]) and equal(state[name], parsed[name]) for name in state):
        raise SystemExit(f"{file}: the tensors differ")
    return logits_of(network)


def equal(one, other):
    return one.dtype == other.dtype and torch.equal(one, other)


def logits_of(module):
    def run(images):
        with torch.no_grad():
            return module(torch.from_numpy(images)).numpy()

    return run


def prepared(file, steps):
    """Prepare an image as specified by the preprocessing description of an exported file."""
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
