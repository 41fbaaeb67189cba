"""The trained layers of a network: all, the head, the last N layers, or the last K blocks; the others are frozen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from fedrobust.lazy import keras
from fedrobust.models.architecture import ModelError

ALLOWED = '"all", "head", "last-N" (the last N layers with weights) or "blocks:K" (the last K blocks)'

_FORM = re.compile(r"(?P<word>all|head)|last-(?P<last>[1-9][0-9]{0,5})|blocks:(?P<blocks>[1-9][0-9]{0,5})")
_BLOCK = re.compile(r".*?(?:block|stage)_?[0-9]+")


@dataclass(frozen=True)
class Layers:
    """The choice of trained layers, which always include the head (from features to logits).

    Attributes:
        kind: "all", "head", "last" (layers) or "blocks".
        count: number of layers with weights including the head, or of the backbone's blocks beside the head.

    Example:
        >>> Layers.parse("last-20")
        Layers(kind='last', count=20)
        >>> Layers.parse("head").within(Layers.parse("last-20")), Layers.parse("all").within(Layers.parse("head"))
        (True, False)
    """

    kind: Literal["all", "head", "last", "blocks"]
    count: int = 0

    @classmethod
    def parse(cls, text: str) -> Layers:
        """Read ``all``, ``head``, ``last-N`` or ``blocks:K``.

        Raises:
            ValueError: the text is none of these.
        """
        found = _FORM.fullmatch(text)
        if found is None:
            raise ValueError(f"allowed: {ALLOWED}")
        if found["last"]:
            return cls("last", int(found["last"]))
        if found["blocks"]:
            return cls("blocks", int(found["blocks"]))
        return cls("all" if found["word"] == "all" else "head")

    def within(self, other: Layers) -> bool:
        """Return whether `other` trains all layers that this does, as far as is known without the network."""
        if self.kind == "head" or other.kind == "all":
            return True
        return self.kind == other.kind and self.count <= other.count


def freeze(network: keras.Model, layers: Layers) -> tuple[keras.layers.Layer, ...]:
    """Set `trainable = False` in the layers that are not trained, and return them.

    A frozen BatchNorm normalises by its moving statistics also in training, and does not update them.

    Args:
        network: from `fedrobust.models.network.build_network`: a backbone, then the head.
        layers: the trained layers.

    Raises:
        ModelError: the backbone has fewer layers or blocks than asked for.
    """
    if layers.kind == "all":
        return ()
    backbone = next(layer for layer in network.layers if isinstance(layer, keras.Model))
    leaves = list(inner_layers(backbone))
    frozen = tuple(leaves[: len(leaves) - _trained(leaves, layers, network.name)])
    for layer in frozen:
        layer.trainable = False
    return frozen


def _trained(leaves: list[keras.layers.Layer], layers: Layers, name: str) -> int:
    """Return the number of trained layers from the end, including those without weights."""
    if layers.kind == "head":
        return 0
    if layers.kind == "last":
        wanted = layers.count - 1
        weighted = [place for place, layer in enumerate(leaves) if layer.weights]
        if wanted > len(weighted):
            raise ModelError(
                f'training.layers = "last-{layers.count}": {name} has {len(weighted) + 1} layers with weights; '
                'choose fewer, or "all"'
            )
        return len(leaves) - weighted[-wanted] if wanted else 0
    starts = _block_starts(leaves)
    if layers.count > len(starts):
        known = f"{name} has {len(starts)} blocks" if starts else f"no layer of {name} is named after a block"
        raise ModelError(
            f'training.layers = "blocks:{layers.count}": {known} (names such as block_16_project, conv5_block3_out, '
            'stage2_convolution); choose "last-N"'
        )
    return len(leaves) - starts[-layers.count]


def _block_starts(leaves: list[keras.layers.Layer]) -> list[int]:
    """Return the position at which each block begins; a layer without a block in its name belongs to the previous one.

    Branches of one block may alternate: a block begins at the first layer with its name.
    """
    starts: dict[str, int] = {}
    for place, layer in enumerate(leaves):
        if found := _BLOCK.match(layer.name):
            starts.setdefault(found[0], place)
    return sorted(starts.values())


def inner_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield the layers of a model and of nested models, in order."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from inner_layers(layer)
        else:
            yield layer
