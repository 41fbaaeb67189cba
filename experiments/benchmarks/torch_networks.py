"""MobileNetV2, DenseNet121 and the edge CNN in PyTorch, as this project's are: same layers, same order, no dropout."""

import torch
from torch import nn

STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""MobileNetV2's: expansion, channels, blocks, stride (Sandler et al., 2018, arXiv:1801.04381, table 2)."""

BLOCKS, GROWTH = (6, 12, 24, 16), 32
"""DenseNet121's: layers of each block, channels that each adds (Huang et al., 2016, arXiv:1608.06993, table 1)."""


def convolution(into: int, out: int, size: int, stride: int = 1, groups: int = 1, last: str = "relu6"):
    """A convolution, BatchNorm, and what comes last: "relu6", "relu" or nothing."""
    ends = {"relu6": [nn.ReLU6()], "relu": [nn.ReLU()], "": []}
    return nn.Sequential(
        nn.Conv2d(into, out, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out, eps=1e-3, momentum=0.1),
        *ends[last],
    )


class Inverted(nn.Module):
    """MobileNetV2's block, (n, channels, height, width) in and out."""

    def __init__(self, into: int, out: int, expansion: int, stride: int):
        super().__init__()
        wide = into * expansion
        self.short = stride == 1 and into == out
        self.way = nn.Sequential(
            *([convolution(into, wide, 1)] if expansion > 1 else []),
            convolution(wide, wide, 3, stride, groups=wide),
            convolution(wide, out, 1, last=""),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's outputs."""
        return x + self.way(x) if self.short else self.way(x)


class Dense(nn.Module):
    """DenseNet's layer."""

    def __init__(self, into: int):
        super().__init__()
        self.way = nn.Sequential(
            *normalized(into),
            nn.Conv2d(into, 4 * GROWTH, 1, bias=False),
            *normalized(4 * GROWTH),
            nn.Conv2d(4 * GROWTH, GROWTH, 3, padding=1, bias=False),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the inputs and the channels that the layer adds."""
        return torch.cat([x, self.way(x)], 1)


def normalized(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels, eps=1.001e-5, momentum=0.1), nn.ReLU()]


def mobilenetv2() -> tuple[nn.Module, int]:
    layers, channels = [convolution(3, 32, 3, 2)], 32
    for expansion, out, blocks, stride in STAGES:
        for number in range(blocks):
            layers.append(Inverted(channels, out, expansion, stride if number == 0 else 1))
            channels = out
    return nn.Sequential(*layers, convolution(channels, 1280, 1)), 1280


def densenet121() -> tuple[nn.Module, int]:
    layers = [convolution(3, 64, 7, 2, last="relu"), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for number, count in enumerate(BLOCKS):
        if number:
            halved = channels // 2
            layers += [*normalized(channels), nn.Conv2d(channels, halved, 1, bias=False), nn.AvgPool2d(2)]
            channels = halved
        for _ in range(count):
            layers.append(Dense(channels))
            channels += GROWTH
    return nn.Sequential(*layers, *normalized(channels)), channels


def edge_cnn() -> tuple[nn.Module, int]:
    return nn.Sequential(
        convolution(1, 32, 3, last="relu"),
        nn.MaxPool2d(2),
        convolution(32, 64, 3, 2, last="relu"),
        convolution(64, 128, 3, 2, last="relu"),
    ), 128


NETWORKS = {"mobilenetv2": mobilenetv2, "densenet121": densenet121, "edge-cnn": edge_cnn}


class Network(nn.Module):
    """A network from native grey images (n, 1, height, width) in [0, 1] to two logits.

    Args:
        name: of `NETWORKS`.
        size: of the images that it works on; those of native size are taken as they are.
    """

    def __init__(self, name: str, size: int):
        super().__init__()
        self.features, channels = NETWORKS[name]()
        self.head = nn.Linear(channels, 2)
        self.size, self.colours = size, 1 if name == "edge-cnn" else 3

    def forward(self, native: torch.Tensor) -> torch.Tensor:
        """Return logits (n, 2)."""
        x = native
        if x.shape[-1] != self.size:
            x = nn.functional.interpolate(x, self.size, mode="bilinear", align_corners=False)
        x = 2 * x.repeat(1, self.colours, 1, 1) - 1
        return self.head(self.features(x.contiguous(memory_format=torch.channels_last)).mean((2, 3)))
