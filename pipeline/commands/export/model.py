"""A trained network in plain PyTorch, written by @TOOL@.

    import torch
    import @MODULE@
    net = @MODULE@.load()  # reads @WEIGHTS@ beside this file
    with torch.no_grad():
        logits = net(images)  # [N, 3, @RESOLUTION@, @RESOLUTION@] float32 to [N, @CLASSES@]

`@FILE@.preprocessing.json` describes how an image is prepared, and names the classes. `build()` returns the same
architecture with new weights. The names of the tensors are those of the checkpoint.
"""

import json
from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn

WEIGHTS = Path(__file__).with_name("@WEIGHTS@")
# Side of the images in pixels. The network accepts others, but was trained for this one.
RESOLUTION = @RESOLUTION@

# A convolution: input channels, output channels, kernel size, stride, activation.
FIRST_STEM = @FIRST_STEM@
# A block: input channels, width (channels of the depthwise convolution), squeeze-excite channels (0: none), output channels,
# kernel size, stride, activation.
SECOND_STEM = @SECOND_STEM@
STAGES = [
@STAGES@]
FEATURE_MIX = @FEATURE_MIX@
# Input features, classes.
CLASSIFIER = @CLASSIFIER@

ACTIVATIONS = {"relu": nn.ReLU, "swish": nn.SiLU}


class ConvLayer(nn.Module):
    """Convolution, batch norm, activation. The batch norm precedes the convolution in the state dict."""

    def __init__(self, in_channels, out_channels, kernel_size, stride, activation):
        super().__init__()
        self.bn = nn.BatchNorm2d(out_channels)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False)
        self.act = ACTIVATIONS[activation]()

    def forward(self, x):
        return self.act(self.bn(self.conv(x)))


def conv_bn(in_channels, out_channels, kernel_size=1, stride=1, groups=1, activation=None):
    """Return a convolution, its batch norm, and an activation if there is one."""
    layers = OrderedDict(
        conv=nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, groups=groups, bias=False),
        bn=nn.BatchNorm2d(out_channels),
    )
    if activation:
        layers["act"] = ACTIVATIONS[activation]()
    return nn.Sequential(layers)


class SqueezeExcite(nn.Module):
    """Multiply each channel by a factor in (0, 1) that depends on the means of all channels."""

    def __init__(self, channels, se_channels, activation):
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, se_channels, 1)
        self.act = ACTIVATIONS[activation]()
        self.conv_expand = nn.Conv2d(se_channels, channels, 1)

    def forward(self, x):
        means = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.conv_expand(self.act(self.conv_reduce(means))))


class MBInvertedResBlock(nn.Module):
    """Inverted residual block: expand, depthwise, squeeze-excite, project, and the input added if the shapes are equal.

    drop_connect: in training, the probability that a sample skips a block that adds its input.
    """

    def __init__(
        self, in_channels, width, se_channels, out_channels, kernel_size, stride, activation, drop_connect=0.0
    ):
        super().__init__()
        # A block whose width is that of its input does not expand it.
        expands = width > in_channels
        self.inverted_bottleneck = conv_bn(in_channels, width, activation=activation) if expands else nn.Identity()
        self.depth_conv = conv_bn(width, width, kernel_size, stride, width, activation)
        self.squeeze_excite = SqueezeExcite(width, se_channels, activation) if se_channels else nn.Identity()
        self.point_linear = conv_bn(width, out_channels)
        self.has_residual = in_channels == out_channels and stride == 1
        self.drop_connect = drop_connect

    def forward(self, x):
        y = self.depth_conv(self.inverted_bottleneck(x))
        y = self.point_linear(self.squeeze_excite(y))
        if not self.has_residual:
            return y
        if self.training and self.drop_connect > 0.0:
            stays = torch.rand(y.shape[0], 1, 1, 1, device=y.device) >= self.drop_connect
            y = y * stays / (1.0 - self.drop_connect)
        return y + x


def build(dropout=0.0, drop_connect=0.0):
    """Return the network with new weights: normalized images [N, 3, H, W] to logits [N, classes].

    dropout: in training, the share of the classifier's inputs that are set to 0.
    drop_connect: in training, the probability that a sample skips the last block; earlier blocks in proportion.
    """
    count = 1 + sum(map(len, STAGES))
    rates = (drop_connect * index / count for index in range(1, count + 1))
    layers = OrderedDict(first_stem=ConvLayer(*FIRST_STEM), second_stem=MBInvertedResBlock(*SECOND_STEM, next(rates)))
    for number, blocks in enumerate(STAGES, 1):
        layers[f"stage{number}"] = nn.Sequential(*(MBInvertedResBlock(*block, next(rates)) for block in blocks))
    layers["feature_mix_layer"] = ConvLayer(*FEATURE_MIX)
    layers["global_avg_pooling"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["dropout"] = nn.Dropout(dropout)
    layers["classifier"] = nn.Sequential(OrderedDict(linear=nn.Linear(*CLASSIFIER)))
    return nn.Sequential(layers)


def load(weights=WEIGHTS, device="cpu", **options):
    """Return the network with trained weights, in evaluation mode.

    weights: a safetensors file.
    options: those of build.
    """
    network = build(**options)
    network.load_state_dict(read_safetensors(weights))
    return network.to(device).eval()


def read_safetensors(path):
    """Return the tensors of a safetensors file by name, with the package safetensors if it is installed."""
    try:
        from safetensors.torch import load_file
    except ImportError:
        return parse_safetensors(bytearray(Path(path).read_bytes()))
    return load_file(path)


def parse_safetensors(content):
    """Return the tensors in the bytes of a safetensors file, of the two types that a network has."""
    dtypes = {"F32": torch.float32, "I64": torch.int64}
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    tensors = {}
    for name, tensor in header.items():
        begin, end = (start + offset for offset in tensor["data_offsets"])
        values = torch.frombuffer(content[begin:end], dtype=dtypes[tensor["dtype"]])
        tensors[name] = values.reshape(tensor["shape"])
    return tensors
