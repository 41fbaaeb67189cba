"""MPAF: drag the global model towards a model that has learnt nothing."""

from dataclasses import dataclass

import numpy as np

from fedrobust.bounds import Positive
from fedrobust.models.layout import Entry, Layout
from fedrobust.poisoning.context import AttackContext
from fedrobust.poisoning.contract import POISONING
from fedrobust.poisoning.update.finite import scaled


@POISONING.register("mpaf")
@dataclass(frozen=True, kw_only=True)
class MPAF:
    """Send lambda (w' - w_t), w' being a random model (Cao and Gong, CVPR Workshops 2022, arXiv:2203.08669).

    The clients are fake: they know the global weights of each round and nothing else. The base model w' is drawn once,
    from the study's seed, and shared by all of them. Its kernels are drawn as Keras initialises them (Glorot uniform),
    its scales are 1, its other arrays 0. BatchNorm statistics are sent as they came.

    Attributes:
        factor: lambda; the paper takes 1,000,000. Where norms are limited, a factor of about the number of clients does
            as well and is less conspicuous.
    """

    factor: Positive = 1e6

    trains = False
    discards_training = True
    replaces = True

    def update(self, update: np.ndarray, context: AttackContext) -> np.ndarray:
        """Return the scaled difference to the base model."""
        current = np.zeros_like(update) if context.current is None else context.current
        base = random_model(context.layout or one_array(len(current)), context.seed)
        return scaled(base.astype(np.float64) - current, self.factor)


def one_array(size: int) -> Layout:
    """Return the layout of a model that is a single kernel."""
    return Layout((Entry("kernel", (size, 1), "trainable"),))


def random_model(layout: Layout, seed: int) -> np.ndarray:
    """Return random trainable weights, (parameters,) float32.

    Example:
        >>> names = (Entry("dense/kernel", (2, 4), "trainable"), Entry("norm/gamma", (2,), "trainable"))
        >>> drawn = random_model(Layout(names), seed=0)
        >>> bool(np.abs(drawn[:8]).max() <= 1.0), drawn[8:].tolist()  # the limit is sqrt(6 / (2 + 4))
        (True, [1.0, 1.0])
    """
    draw = np.random.default_rng([seed, 8669])
    arrays = [_drawn(entry, draw) for entry in layout.of("trainable")]
    return np.concatenate(arrays) if arrays else np.zeros(0, np.float32)


def _drawn(entry: Entry, draw: np.random.Generator) -> np.ndarray:
    if len(entry.shape) < 2:
        is_scale = entry.path.rsplit("/", 1)[-1] == "gamma"
        return np.full(entry.size, 1.0 if is_scale else 0.0, np.float32)
    field = int(np.prod(entry.shape[:-2]))
    limit = np.sqrt(6 / (field * (entry.shape[-2] + entry.shape[-1])))
    return draw.uniform(-limit, limit, entry.size).astype(np.float32)
