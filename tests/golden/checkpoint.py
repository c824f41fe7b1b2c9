"""Writes the cases of `checkpoint/` and `search_checkpoint/` with the authors' code and PyTorch.

    python3 tests/golden/checkpoint.py TF-NAS OUT

TF-NAS is a clone of github.com/AberHu/TF-NAS, OUT a folder (this one). Made with Python 3.11, torch 2.13.0 and numpy
2.4.6. The networks use the authors' classes with reduced sizes, so that the files stay small.
"""

import copy
import gzip
import hashlib
import json
import math
import random
import sys
import tempfile
from collections import OrderedDict
from pathlib import Path

import torch

original, out = Path(sys.argv[1]), Path(sys.argv[2])
sys.path.insert(0, str(original))

import parsing_model  # noqa: E402
from models.layers import ConvLayer, LinearLayer, MBInvertedResBlock  # noqa: E402
from models.model_eval import Network, NetworkCfg  # noqa: E402
from tools.config import mc_mask_dddict  # noqa: E402
from tools.utils import save_checkpoint  # noqa: E402

CLASSES = 10


def pack(folder, name, content):
    """Writes a compressed file without a timestamp or a file name."""
    (out / folder).mkdir(exist_ok=True)
    (out / folder / f"{name}.gz").write_bytes(gzip.compress(content, 9, mtime=0))


def small_config():
    """Returns a network with all six groups and few channels, with and without squeeze-excite and expand convolution."""
    act = ["relu", "relu", "swish", "swish", "swish", "swish"]
    blocks = [(4, 8, 0, 6, 3, 2), (6, 12, 6, 6, 5, 1), (6, 9, 3, 8, 3, 2), (8, 16, 0, 8, 5, 1), (8, 20, 8, 10, 3, 2), (10, 15, 0, 12, 3, 1)]
    stages = [[MBInvertedResBlock(i, m, se, o, k, s, act_func=a).config] for (i, m, se, o, k, s), a in zip(blocks, act)]
    stages[1].append(MBInvertedResBlock(6, 9, 0, 6, 3, 1, act_func="relu").config)
    return {
        "first_stem": ConvLayer(3, 6, kernel_size=3, stride=2, act_func="relu").config,
        "second_stem": MBInvertedResBlock(6, 6, 2, 4, 3, 1, act_func="relu").config,
        **{f"stage{index + 1}": blocks for index, blocks in enumerate(stages)},
        "feature_mix_layer": ConvLayer(12, 16, kernel_size=1, stride=1, act_func="swish").config,
        "classifier": LinearLayer(16, CLASSES).config,
    }


def sine(shape):
    """Returns the input of the golden cases, scheme `sin`."""
    index = range(math.prod(shape))
    values = [math.sin(0.31 + 0.6180339887498949 * i) for i in index]
    return torch.tensor(values, dtype=torch.float64).to(torch.float32).view(shape)


def described(tensor):
    values = tensor.double()
    raw = tensor.contiguous().numpy().tobytes()
    return {
        "shape": list(tensor.shape),
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "sum": values.sum().item(),
        "l2": values.norm().item(),
        "sha256_le_bytes": hashlib.sha256(raw).hexdigest(),
    }


def checkpoints():
    torch.manual_seed(3)
    config = small_config()
    network = torch.nn.DataParallel(NetworkCfg(CLASSES, copy.deepcopy(config)))
    optimizer = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9, weight_decay=1e-5)
    for _ in range(2):
        loss = network(torch.randn(8, 3, 64, 64)).logsumexp(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    state = {
        "epoch": 7,
        "state_dict": network.state_dict(),
        "best_acc_top1": 61.25,
        "best_acc_top5": 83.5,
        "optimizer": optimizer.state_dict(),
    }
    network.eval()
    images = sine((2, 3, 64, 64))
    with torch.no_grad():
        logits = network(images)
        double = copy.deepcopy(network).double()(images.double())
    expected = {
        "input": "sin formula (2,3,64,64)",
        "eval_logits": logits.tolist(),
        "eval_logits_f64": double.tolist(),
        "epoch": 7,
        "best_acc_top1": 61.25,
        "best_acc_top5": 83.5,
        "state_dict": {name: described(tensor) for name, tensor in network.state_dict().items()},
    }
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(state, False, folder)
        file = Path(folder) / "checkpoint.pth.tar"
        pack("checkpoint", file.name, file.read_bytes())
        torch.save(state, file, _use_new_zipfile_serialization=False)
        pack("checkpoint", "checkpoint_legacy.pth.tar", file.read_bytes())
        # Device tags as on a machine with a GPU.
        torch.serialization.location_tag = lambda storage: "cuda:0"
        torch.save({**state, "amp": None}, file, _use_new_zipfile_serialization=False)
        pack("checkpoint", "checkpoint_legacy_cuda.pth.tar", file.read_bytes())
    pack("checkpoint", "expected.json", json.dumps(expected).encode())
    pack("checkpoint", "model.config", json.dumps(config, indent=4).encode())


def search_checkpoints():
    """Writes searches of the published space: architecture parameters and masks, without the weights (100 MB)."""
    for seed in range(4):
        random.seed(seed)
        torch.manual_seed(seed)
        masks, state = copy.deepcopy(mc_mask_dddict), OrderedDict()
        for stage, blocks in masks.items():
            for block, operations in blocks.items():
                state[f"module.{stage}.{block}.log_alphas"] = torch.log_softmax(torch.randn(8), -1)
                for mask in operations.values():
                    width = random.randint(len(mask) // 2, len(mask))
                    mask.zero_()
                    mask[random.sample(range(len(mask)), width)] = 1.0
            depth = len(blocks)
            state[f"module.{stage}.betas"] = torch.log_softmax(torch.randn(depth), -1)
        with tempfile.TemporaryDirectory() as folder:
            file = f"{folder}/searched_model_{seed:02}.pth.tar"
            torch.save(
                {"state_dict": state, "mc_mask_dddict": masks}, file, _use_new_zipfile_serialization=seed % 2 == 0
            )
            weights = parsing_model.get_op_and_depth_weights(file)
            parsed = parsing_model.parse_architecture(*weights)
            widths = parsing_model.get_mc_num_dddict(torch.load(file)["mc_mask_dddict"])
            config = Network(1000, parsed, widths).config
            pack("search_checkpoint", Path(file).name, Path(file).read_bytes())
            pack("search_checkpoint", f"searched_model_{seed:02}.config", json.dumps(config, indent=4).encode())


search_checkpoints()
checkpoints()
