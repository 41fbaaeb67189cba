"""A Keras model as a torch module, for attack libraries that want one: same logits, same gradients, same images."""

import sys
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import tensorflow as tf
import torch

ABSENT = -100.0
"""The logit of classes that are not there: AutoAttack's targeted loss needs four, whatever the model has."""


class TorchModel(torch.nn.Module):
    """Forward and backward passes in compiled TensorFlow, (n, channels, height, width) in, logits out.

    Args:
        path: of a Keras file that takes (n, height, width, channels) in [0, 1] and answers with logits.
        classes: logits that it shows, filled up with `ABSENT`; as many as it has if 0.
        batch: most images in one pass.
    """

    def __init__(self, path: Path, classes: int = 0, batch: int = 128):
        super().__init__()
        model = keras.models.load_model(path, compile=False)
        images = tf.TensorSpec([None, *model.input_shape[1:]], tf.float32)
        missing = max(0, classes - model.output_shape[-1])

        @tf.function(input_signature=[images])
        def forward(x: tf.Tensor) -> tf.Tensor:
            return tf.pad(model(x, training=False), [[0, 0], [0, missing]], constant_values=ABSENT)

        @tf.function(input_signature=[images, tf.TensorSpec([None, None], tf.float32)])
        def backward(x: tf.Tensor, above: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                tape.watch(x)
                logits = forward(x)
            return tape.gradient(logits, x, output_gradients=above)

        self.passes = {"forward": 0, "backward": 0}

        def call(which: str, function: tf.types.experimental.PolymorphicFunction, *arrays: torch.Tensor):
            parts = []
            for start in range(0, len(arrays[0]), batch):
                part = [np.ascontiguousarray(array[start : start + batch].numpy()) for array in arrays]
                # As many shapes as multiples of 16: every other one would cost a pass of its own.
                filled = min(batch, -(-len(part[0]) // 16) * 16)
                rows = np.minimum(np.arange(filled), len(part[0]) - 1)
                parts.append(np.asarray(function(*[tf.constant(one[rows]) for one in part]))[: len(part[0])])
                self.passes[which] += len(part[0])
            return torch.from_numpy(np.concatenate(parts))

        class Passes(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                last = x.detach().permute(0, 2, 3, 1)
                ctx.save_for_backward(last)
                return call("forward", forward, last)

            @staticmethod
            def backward(ctx, above):
                (last,) = ctx.saved_tensors
                return call("backward", backward, last, above).permute(0, 3, 1, 2)

        self._passes = Passes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (n, classes)."""
        return self._passes.apply(x.float())


def to_torch(images: np.ndarray) -> torch.Tensor:
    """Return images (n, height, width, channels) as torch has them."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def from_torch(images: torch.Tensor) -> np.ndarray:
    """Return torch's images as (n, height, width, channels)."""
    return images.detach().numpy().transpose(0, 2, 3, 1)


def without_plots() -> None:
    """Let adv-lib be imported without visdom and torchvision, which it imports for plots and for LPIPS alone."""
    for name, inside in (("visdom", "Visdom"), ("torchvision", "models")):
        if name not in sys.modules:
            sys.modules[name] = ModuleType(name)
            setattr(sys.modules[name], inside, object)
