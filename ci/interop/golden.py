"""Networks with weights and images from a formula (testutils/src/golden), and the logits of the authors' code."""

import gzip
import json
import math
import zlib

import numpy as np

from programs import SOURCE


def cases():
    """Return the cases of tests/golden/derived.jsonl."""
    with gzip.open(SOURCE / "tests/golden/derived.jsonl.gz", "rt") as lines:
        return [json.loads(line) for line in lines]


def with_classes(case, classes):
    """Return the model.config of a case and the shapes of its state, with another number of classes."""
    config = json.loads(case["config_text"])
    config["classifier"]["out_features"] = classes
    shapes = {name: list(shape) for name, shape in case["state_dict_shapes"]}
    for name in ["classifier.linear.weight", "classifier.linear.bias"]:
        shapes[name][0] = classes
    return json.dumps(config, indent=4), shapes


def other_form(case):
    """Return a network that no published space contains: a stem of stride 1, the other activations, a second stem without
    squeeze-excite, and a block that does not expand its input."""
    text, shapes = with_classes(case, 7)
    config = json.loads(text)
    config["first_stem"]["stride"] = 1
    blocks = [block for name in config if name.startswith("stage") for block in config[name]]
    for layer in [config["first_stem"], config["second_stem"], *blocks, config["feature_mix_layer"]]:
        layer["act_func"] = "relu" if layer["act_func"] == "swish" else "swish"
    config["second_stem"]["se_channels"] = 0
    plain = config["stage1"][1]
    width, plain["mid_channels"], plain["se_channels"] = plain["mid_channels"], plain["in_channels"], 0
    removed = ("second_stem.squeeze_excite", "stage1.1.squeeze_excite", "stage1.1.inverted_bottleneck")
    shapes = {name: shape for name, shape in shapes.items() if not name.startswith(removed)}
    for name in shapes:
        if name.startswith(("stage1.1.depth_conv", "stage1.1.point_linear.conv")):
            shapes[name] = [plain["mid_channels"] if size == width else size for size in shapes[name]]
    return json.dumps(config, indent=4), shapes


def sequence(text, count):
    """Return the hashed sequence in [-1, 1) of a name."""
    with np.errstate(over="ignore"):
        start = np.uint64((zlib.crc32(text.encode()) << 32) + 0x9E3779B97F4A7C15 & (1 << 64) - 1)
        z = np.arange(count, dtype=np.uint64) + start
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1


def weights(shapes, salt):
    """Return the state from the formula."""
    return {name: tensor(name, shape, salt) for name, shape in shapes.items()}


def tensor(name, shape, salt):
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    s = sequence(salt + name, math.prod(shape))
    if name.endswith("bn.weight"):
        values = 1 + 0.1 * s
    elif name.endswith("running_var"):
        values = 1 + 0.2 * s
    elif name.endswith(("bn.bias", "running_mean")):
        values = 0.1 * s
    elif name.endswith("weight"):
        values = math.sqrt(2 / math.prod(shape[1:])) * s
    else:
        values = 0.05 * s
    return values.astype(np.float32).reshape(shape)


def images(shape, salt):
    """Return the images from the formula."""
    return (math.sqrt(3) * sequence(salt + "input", math.prod(shape))).astype(np.float32).reshape(shape)


def write_safetensors(path, tensors):
    """Write named arrays as a safetensors file."""
    dtypes = {np.dtype(np.float32): "F32", np.dtype(np.int64): "I64"}
    header, data = {}, b""
    for name, values in sorted(tensors.items(), key=lambda entry: (entry[1].dtype == np.float32, entry[0])):
        begin, data = len(data), data + values.tobytes()
        header[name] = {"dtype": dtypes[values.dtype], "shape": values.shape, "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
