#!/usr/bin/env python3
"""Measure the throughput of TF-NAS in plain PyTorch: the reference for the steps written in Rust.

Four kinds of step run on random images that are already on the device:

train         one step of training a derived network (needs --config)
test          one forward pass of a derived network in evaluation mode (needs --config)
weight        one search step of the supernet's weights, through two paths
architecture  one search step of the architecture parameters, through all operations

The defaults are those of the published procedure: contiguous (NCHW) memory, f32, PyTorch's default flags. The result is
one line of JSON. It needs Python 3.11, PyTorch 2.11 and nothing else:

    python3 reference.py train --config imagenet.config --batch 128 --size 224 --device cuda --steps 20 --warm-up 5

Source of the method: Hu, Wu, He: TF-NAS, ECCV 2020 (arXiv 2008.05314).
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

KINDS = ["train", "test", "weight", "architecture"]
PRECISIONS = ["f32", "f32-strict", "tf32", "bf16", "f16"]
AUTOCAST_DTYPES = {"bf16": torch.bfloat16, "f16": torch.float16}

LABEL_SMOOTHING = 0.1
MAX_NORM = 5.0
SGD = {"lr": 0.025, "momentum": 0.9, "weight_decay": 1e-5}
ADAM = {"lr": 0.01, "betas": (0.5, 0.999), "weight_decay": 5e-4}
TEMPERATURE = 5.0

# (kernel size, expansion, whether there is squeeze-excite), in the order of the published space.
OPERATIONS = [(kernel, expansion, excite) for excite in (False, True) for kernel in (3, 5) for expansion in (3, 6)]
# (output channels, blocks, stride of the first block, activation) of each stage.
STAGES = [
    (24, 2, 2, "relu"),
    (40, 3, 2, "swish"),
    (80, 4, 2, "swish"),
    (112, 4, 1, "swish"),
    (192, 4, 2, "swish"),
    (320, 1, 1, "swish"),
]
FIRST_STEM = {"in_channels": 3, "out_channels": 32, "kernel_size": 3, "stride": 2, "act_func": "relu"}
SECOND_STEM = {
    "in_channels": 32,
    "mid_channels": 32,
    "se_channels": 8,
    "out_channels": 16,
    "kernel_size": 3,
    "stride": 1,
    "act_func": "relu",
}
FEATURE_MIX = {"in_channels": 320, "out_channels": 1280, "kernel_size": 1, "stride": 1, "act_func": "swish"}


def activation(name):
    """Return the activation of this name in a model.config."""
    return {"relu": lambda: nn.ReLU(inplace=True), "swish": nn.SiLU}[name]()


def batch_norm(channels, affine):
    """Return the batch norm of a derived network (affine), or of the supernet, which always uses batch statistics."""
    return nn.BatchNorm2d(channels, affine=affine, track_running_stats=affine)


def conv_norm(in_channels, out_channels, kernel, stride, groups, act_func, affine):
    """Return a convolution with batch norm and, unless act_func is None, an activation."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    layers = OrderedDict(conv=conv, bn=batch_norm(out_channels, affine))
    if act_func is not None:
        layers["act"] = activation(act_func)
    return nn.Sequential(layers)


def classifier(in_features, classes):
    """Return the linear layer that computes the logits."""
    return nn.Sequential(OrderedDict(linear=nn.Linear(in_features, classes)))


def zero_biases(network):
    """Set the biases of convolutions and linear layers to zero; everything else keeps PyTorch's default."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
            nn.init.zeros_(module.bias)


class ConvLayer(nn.Module):
    """A convolution with batch norm and activation: the first stem and the feature mix layer."""

    def __init__(self, layer, affine):
        super().__init__()
        kernel = layer["kernel_size"]
        # Checkpoints list the tensors of the batch norm first.
        self.bn = batch_norm(layer["out_channels"], affine)
        self.conv = nn.Conv2d(
            layer["in_channels"], layer["out_channels"], kernel, layer["stride"], kernel // 2, bias=False
        )
        self.act = activation(layer["act_func"])

    def forward(self, x):
        return self.act(self.bn(self.conv(x)))


class SqueezeExcite(nn.Module):
    """Multiply each channel by a factor computed from the means of all channels."""

    def __init__(self, channels, se_channels, act_func):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.conv_reduce = nn.Conv2d(channels, se_channels, 1)
        self.act = activation(act_func)
        self.conv_expand = nn.Conv2d(se_channels, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.conv_expand(self.act(self.conv_reduce(self.pool(x)))))


class InvertedResidual(nn.Module):
    """Expand, depthwise convolution, optional squeeze-excite, project; plus the input if the shapes are equal."""

    def __init__(self, layer, affine):
        super().__init__()
        in_channels, out_channels, act_func = layer["in_channels"], layer["out_channels"], layer["act_func"]
        mid_channels = max(layer["mid_channels"], in_channels)
        self.inverted_bottleneck = None
        if mid_channels > in_channels:
            self.inverted_bottleneck = conv_norm(in_channels, mid_channels, 1, 1, 1, act_func, affine)
        kernel, stride = layer["kernel_size"], layer["stride"]
        self.depth_conv = conv_norm(mid_channels, mid_channels, kernel, stride, mid_channels, act_func, affine)
        self.squeeze_excite = None
        if layer["se_channels"] > 0:
            self.squeeze_excite = SqueezeExcite(mid_channels, layer["se_channels"], act_func)
        self.point_linear = conv_norm(mid_channels, out_channels, 1, 1, 1, None, affine)
        self.has_residual = in_channels == out_channels and stride == 1

    def forward(self, x, drop_rate=0.0):
        """Return the output; in training, each sample skips a residual block with probability drop_rate."""
        y = x if self.inverted_bottleneck is None else self.inverted_bottleneck(x)
        y = self.depth_conv(y)
        if self.squeeze_excite is not None:
            y = self.squeeze_excite(y)
        y = self.point_linear(y)
        if not self.has_residual:
            return y
        if self.training and drop_rate > 0.0:
            y = drop_connect(y, drop_rate)
        return x + y


def drop_connect(x, rate):
    """Set each sample to zero with probability `rate`; scale the others to keep the mean."""
    keep = 1.0 - rate
    mask = torch.empty((x.shape[0], 1, 1, 1), dtype=x.dtype, device=x.device).bernoulli_(keep)
    return x / keep * mask


class DerivedNetwork(nn.Module):
    """The network that a model.config describes; its tensors have the names of the published checkpoints."""

    def __init__(self, config, dropout_rate=0.2, drop_connect_rate=0.2):
        super().__init__()
        self.first_stem = ConvLayer(config["first_stem"], affine=True)
        self.second_stem = InvertedResidual(config["second_stem"], affine=True)
        blocks = [self.second_stem]
        for name in sorted((name for name in config if name.startswith("stage")), key=lambda name: int(name[5:])):
            stage = nn.ModuleList(InvertedResidual(layer, affine=True) for layer in config[name])
            setattr(self, name, stage)
            blocks.extend(stage)
        self.feature_mix_layer = ConvLayer(config["feature_mix_layer"], affine=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout_rate)
        self.classifier = classifier(config["classifier"]["in_features"], config["classifier"]["out_features"])
        # A tuple, because each block is registered as a part of its stage already.
        self.blocks = tuple(blocks)
        self.drop_rates = [drop_connect_rate * (index + 1) / len(blocks) for index in range(len(blocks))]
        zero_biases(self)

    def forward(self, images):
        """Return the logits [N, classes] of images [N, 3, H, W]."""
        x = self.first_stem(images)
        for block, rate in zip(self.blocks, self.drop_rates):
            x = block(x, rate)
        x = self.pool(self.feature_mix_layer(x)).flatten(1)
        return self.classifier(self.dropout(x))


def derived(config):
    """Return the network of a parsed model.config."""
    return DerivedNetwork(config)


class MixedBlock(nn.Module):
    """A block of the supernet: all operations, and the logarithms of their probabilities."""

    def __init__(self, in_channels, out_channels, stride, act_func):
        super().__init__()
        self.log_alphas = nn.Parameter(torch.zeros(len(OPERATIONS)).log_softmax(-1))
        self.m_ops = nn.ModuleList()
        for kernel, expansion, excite in OPERATIONS:
            layer = {
                "in_channels": in_channels,
                "mid_channels": expansion * in_channels,
                "se_channels": in_channels * expansion // 3 if excite else 0,
                "out_channels": out_channels,
                "kernel_size": kernel,
                "stride": stride,
                "act_func": act_func,
            }
            self.m_ops.append(InvertedResidual(layer, affine=False))

    def forward(self, x, weights):
        """Return the sum of the operations' outputs, weighted by `weights` [operations]."""
        return sum(weight * operation(x) for weight, operation in zip(weights, self.m_ops))


class MixedStage(nn.Module):
    """A stage of the supernet: its output is the sum of its blocks' outputs, weighted by softmax(betas)."""

    def __init__(self, in_channels, out_channels, depth, stride, act_func):
        super().__init__()
        self.betas = nn.Parameter(torch.zeros(depth))
        self.blocks = []
        for index in range(depth):
            first = index == 0
            block = MixedBlock(in_channels if first else out_channels, out_channels, stride if first else 1, act_func)
            setattr(self, f"block{index + 1}", block)
            self.blocks.append(block)

    def sink(self, outputs):
        """Return the sum of the blocks' outputs, weighted by the probabilities of the depths."""
        return sum(weight * output for weight, output in zip(self.betas.softmax(-1), outputs))

    def forward_path(self, x, path):
        """Return the stage's output if each block runs one operation."""
        outputs = []
        for block, operation in zip(self.blocks, path):
            x = block.m_ops[operation](x)
            outputs.append(x)
        return self.sink(outputs)

    def forward_mixed(self, x, weights, latencies_ms):
        """Return the stage's output and expected latency in ms if each block mixes all its operations.

        Both arguments are [blocks, operations]: the weights of the operations, and their latencies. The latency of a
        depth is that of all blocks up to it.
        """
        outputs = []
        for block, row in zip(self.blocks, weights):
            x = block(x, row)
            outputs.append(x)
        depths_ms = (weights * latencies_ms).sum(-1).cumsum(0)
        return self.sink(outputs), (self.betas.softmax(-1) * depths_ms).sum()


class Supernet(nn.Module):
    """The supernet of the published space, every operation at its initial width."""

    def __init__(self, classes):
        super().__init__()
        self.first_stem = ConvLayer(FIRST_STEM, affine=False)
        self.second_stem = InvertedResidual(SECOND_STEM, affine=False)
        self.stages = []
        channels = SECOND_STEM["out_channels"]
        for index, (out_channels, depth, stride, act_func) in enumerate(STAGES):
            stage = MixedStage(channels, out_channels, depth, stride, act_func)
            setattr(self, f"stage{index + 1}", stage)
            self.stages.append(stage)
            channels = out_channels
        self.feature_mix_layer = ConvLayer(FEATURE_MIX, affine=False)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = classifier(FEATURE_MIX["out_channels"], classes)
        zero_biases(self)

    def log_alphas(self):
        """Return the log_alphas of all blocks, in order."""
        return [block.log_alphas for stage in self.stages for block in stage.blocks]

    def architecture_parameters(self):
        """Return all log_alphas, then all betas."""
        return self.log_alphas() + [stage.betas for stage in self.stages]

    def weights(self):
        """Return all other parameters."""
        architecture = {id(parameter) for parameter in self.architecture_parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in architecture]

    def stem(self, images):
        return self.second_stem(self.first_stem(images))

    def head(self, x):
        return self.classifier(self.pool(self.feature_mix_layer(x)).flatten(1))

    def forward_path(self, images, path):
        """Return the logits if each block runs the operation that `path` lists for it."""
        x, rest = self.stem(images), path
        for stage in self.stages:
            x = stage.forward_path(x, rest)
            rest = rest[len(stage.blocks) :]
        return self.head(x)

    def forward_mixed(self, images, weights, latencies_ms, base_ms):
        """Return the logits and the expected latency in ms if each block mixes all its operations."""
        x, latency_ms, first = self.stem(images), base_ms, 0
        for stage in self.stages:
            blocks = slice(first, first + len(stage.blocks))
            x, stage_ms = stage.forward_mixed(x, weights[blocks], latencies_ms[blocks])
            latency_ms = latency_ms + stage_ms
            first = blocks.stop
        return self.head(x), latency_ms

    @torch.no_grad()
    def normalize_architecture(self):
        """Replace every log_alphas and every betas vector by its log_softmax."""
        for parameter in self.architecture_parameters():
            parameter.copy_(parameter.log_softmax(-1))


class LatencyObjective:
    """The latency term of an architecture step: lambda * |latency / target - 1|."""

    def __init__(self, latencies_ms, base_ms, target_ms, weight=0.1):
        self.latencies_ms, self.base_ms, self.target_ms, self.weight = latencies_ms, base_ms, target_ms, weight

    @classmethod
    def flat(cls, supernet, device):
        """Return the objective of a table in which every operation takes one millisecond, with a target of 10 ms."""
        blocks = len(supernet.log_alphas())
        return cls(torch.ones(blocks, len(OPERATIONS), device=device), 1.0, 10.0)

    def loss(self, latency_ms):
        return self.weight * (latency_ms / self.target_ms - 1.0).abs()


class Optimization:
    """An optimizer with gradient clipping and, for f16, a loss scale; `dtype` is that of autocast, or None."""

    def __init__(self, optimizer, device, dtype):
        self.optimizer = optimizer
        self.device = device
        self.dtype = dtype
        self.parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype is torch.float16)

    def autocast(self):
        """Return the context of the forward pass."""
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype is not None)

    def step(self, loss):
        """Update the parameters by the gradients of `loss`; return the norm of the gradients before clipping."""
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.parameters, MAX_NORM)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return norm


def train_step(forward, optimization, images, labels):
    """Train a derived network on a batch; return the loss."""
    with optimization.autocast():
        logits = forward(images)
        loss = functional.cross_entropy(logits, labels, label_smoothing=LABEL_SMOOTHING)
    optimization.step(loss)
    return loss.detach()


def weight_step(supernet, optimization, images, labels, paths):
    """Train the weights of the supernet on a batch: the cross-entropies of the paths are added; return their sum."""
    with optimization.autocast():
        losses = [functional.cross_entropy(supernet.forward_path(images, path), labels) for path in paths]
        loss = sum(losses)
    optimization.step(loss)
    return loss.detach()


def architecture_step(supernet, forward_mixed, optimization, objective, images, labels, weights):
    """Train the architecture parameters on a batch, then normalize them; return cross-entropy and expected latency.

    `forward_mixed` is that of the supernet, or its compiled form. `weights` [blocks, operations] is a relaxed sample
    of the log_alphas; the weights of the supernet must be frozen.
    """
    with optimization.autocast():
        logits, latency_ms = forward_mixed(images, weights, objective.latencies_ms, objective.base_ms)
        cross_entropy = functional.cross_entropy(logits, labels)
        loss = cross_entropy + objective.loss(latency_ms)
    optimization.step(loss)
    supernet.normalize_architecture()
    return cross_entropy.detach(), latency_ms.detach()


def draw_paths(supernet):
    """Draw the path of a Gumbel-softmax sample, and one uniformly among the other operations; waits for the device."""
    with torch.no_grad():
        path = functional.gumbel_softmax(torch.stack(supernet.log_alphas()), tau=TEMPERATURE).argmax(-1).tolist()
    drawn = [random.randrange(len(OPERATIONS) - 1) for _ in path]
    return [path, [other + (other >= taken) for other, taken in zip(drawn, path)]]


class ProductSwish(nn.Module):
    """Swish as a product, as written before PyTorch had SiLU."""

    def forward(self, x):
        return x * torch.sigmoid(x)


def use_product_swish(network):
    """Replace every SiLU of a network by the product."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.SiLU):
                setattr(module, name, ProductSwish())


def build(options, device):
    """Return the network of the chosen kind, and a function that runs one step."""
    if options.kind in ("train", "test"):
        config = json.loads(Path(options.config).read_text())
        if options.classes is not None:
            config["classifier"]["out_features"] = options.classes
        classes = config["classifier"]["out_features"]
        network = derived(config)
    else:
        classes = options.classes if options.classes is not None else 1000
        network = Supernet(classes)
    if options.swish == "product":
        use_product_swish(network)
    memory_format = torch.channels_last if options.channels_last else torch.contiguous_format
    network.to(device).to(memory_format=memory_format)
    images = torch.randn(options.batch, 3, options.size, options.size, device=device)
    images = images.contiguous(memory_format=memory_format)
    labels = torch.randint(classes, (options.batch,), device=device)
    return network, STEPS[options.kind](network, images, labels, options, device)


def compiled(function, options):
    """Return the function, compiled if --compile is given."""
    return torch.compile(function) if options.compile else function


def train(network, images, labels, options, device):
    """Return a function that trains a derived network for one step."""
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), **SGD)
    optimization = Optimization(optimizer, device, AUTOCAST_DTYPES.get(options.precision))
    forward = compiled(network, options)
    return lambda: train_step(forward, optimization, images, labels)


def test(network, images, _labels, options, device):
    """Return a function that computes the logits of a derived network in evaluation mode."""
    network.eval()
    forward = compiled(network, options)
    dtype = AUTOCAST_DTYPES.get(options.precision)

    def step():
        with torch.no_grad(), torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            return forward(images)

    return step


def weight(supernet, images, labels, options, device):
    """Return a function that trains the weights of the supernet for one step, through two new paths."""
    optimizer = torch.optim.SGD(supernet.weights(), **SGD)
    optimization = Optimization(optimizer, device, AUTOCAST_DTYPES.get(options.precision))
    return lambda: weight_step(supernet, optimization, images, labels, draw_paths(supernet))


def architecture(supernet, images, labels, options, device):
    """Return a function that trains the architecture parameters for one step, with a new relaxed sample."""
    for parameter in supernet.weights():
        parameter.requires_grad_(False)
    optimizer = torch.optim.Adam(supernet.architecture_parameters(), **ADAM)
    optimization = Optimization(optimizer, device, AUTOCAST_DTYPES.get(options.precision))
    objective = LatencyObjective.flat(supernet, device)
    forward = compiled(supernet.forward_mixed, options)

    def step():
        weights = functional.gumbel_softmax(torch.stack(supernet.log_alphas()), tau=TEMPERATURE)
        return architecture_step(supernet, forward, optimization, objective, images, labels, weights)

    return step


STEPS = {"train": train, "test": test, "weight": weight, "architecture": architecture}


def synchronize(device):
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def time_step(step, device):
    """Run one step; return its time in ms, from CUDA events or, on a CPU, from the clock."""
    synchronize(device)
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        step()
        end.record()
        synchronize(device)
        return start.elapsed_time(end)
    start = time.perf_counter()
    step()
    return 1000.0 * (time.perf_counter() - start)


def time_together(step, steps, device):
    """Run steps without waiting in between; return the time of all in s."""
    synchronize(device)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    synchronize(device)
    return time.perf_counter() - start


def set_flags(options):
    """Set PyTorch's global flags for a precision.

    f32 keeps the defaults: cuDNN may compute convolutions in TF32, cuBLAS may not compute matrix products in it.
    f32-strict allows TF32 in neither, tf32 in both.
    """
    torch.backends.cudnn.benchmark = options.benchmark
    if options.precision in ("tf32", "f32-strict"):
        allowed = options.precision == "tf32"
        torch.backends.cudnn.allow_tf32 = allowed
        torch.backends.cuda.matmul.allow_tf32 = allowed


def measure(options):
    """Run the steps; return the results as a dictionary. The peak of memory is that of the timed steps."""
    set_flags(options)
    random.seed(options.seed)
    torch.manual_seed(options.seed)
    device = torch.device(options.device)
    network, step = build(options, device)
    for _ in range(options.warm_up):
        step()
    synchronize(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    step_ms = [time_step(step, device) for _ in range(options.steps)]
    together_s = time_together(step, options.steps, device)
    peak = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None
    return {
        "kind": options.kind,
        "batch": options.batch,
        "size": options.size,
        "device": options.device,
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "precision": options.precision,
        "tf32_convolutions": torch.backends.cudnn.allow_tf32,
        "tf32_matrix_products": torch.backends.cuda.matmul.allow_tf32,
        "channels_last": options.channels_last,
        "compile": options.compile,
        "benchmark": options.benchmark,
        "swish": options.swish,
        "images_per_s_median": round(1000.0 * options.batch / statistics.median(step_ms), 2),
        "pipelined_images_per_s": round(options.batch * options.steps / together_s, 2),
        "step_ms": [round(ms, 4) for ms in step_ms],
        "peak_memory_mib": None if peak is None else round(peak, 1),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version() if device.type == "cuda" else None,
    }


def parse_options(arguments=None):
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS, help="kind of step")
    parser.add_argument("--batch", type=int, default=32, help="images in a batch (default: %(default)s)")
    parser.add_argument("--size", type=int, default=224, help="side of an image in pixels (default: %(default)s)")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="timed steps (default: %(default)s)")
    parser.add_argument("--warm-up", type=int, default=5, help="steps before the timed ones (default: %(default)s)")
    parser.add_argument("--config", help="model.config of the network to train or test")
    parser.add_argument("--classes", type=int, help="number of classes (default: that of --config, or 1000)")
    parser.add_argument("--channels-last", action="store_true", help="store images and weights channels-last")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="f32",
        help="f32: PyTorch's default flags, with which cuDNN may use TF32; f32-strict: no TF32; tf32: TF32 everywhere; "
        "bf16, f16: autocast (default: %(default)s)",
    )
    parser.add_argument("--compile", action="store_true", help="compile the forward pass with torch.compile")
    parser.add_argument("--benchmark", action="store_true", help="let cuDNN choose its algorithms by timing them")
    parser.add_argument(
        "--swish",
        choices=["silu", "product"],
        default="silu",
        help="compute swish with PyTorch's SiLU, or as x * sigmoid(x) (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, images and paths (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.kind in ("train", "test") and options.config is None:
        parser.error(f"{options.kind} needs --config")
    if options.kind == "weight" and options.compile:
        parser.error("weight does not support --compile: each step takes new paths and would recompile")
    if options.steps < 1 or options.warm_up < 0 or options.batch < 1:
        parser.error("--steps and --batch must be at least 1, --warm-up at least 0")
    return options


def measure_all(lines):
    """Measure several command lines (one JSON list of arguments per line) in this process; print one JSON line for each.

    Command lines with and without TF32 must not be mixed, because PyTorch's flags are global.
    """
    for line in lines:
        try:
            result = measure(parse_options(json.loads(line)))
        except torch.cuda.OutOfMemoryError as error:
            result = {"failed": str(error).splitlines()[0]}
        print(json.dumps(result), flush=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


if __name__ == "__main__":
    if sys.argv[1:] == ["-"]:
        measure_all(sys.stdin)
    else:
        print(json.dumps(measure(parse_options())))
