"""The contract of prediction-time defences, and their registry.

A defence is a frozen dataclass of settings. It is part of the one model that evaluation, attacks, audit, distillation
and the exported files see; clients train without it. What is called on images is written with ``keras.ops``, so that
the same lines make a graph of tensors and a layer of the Keras file.
"""

from typing import Any, Protocol

from fedrobust.registry import Registry

DEFENCES = Registry("prediction-time defence", "fedrobust.defences")


class PredictionDefence(Protocol):
    """What every defence has. It may have a second method, ``stand_in(images)``.

    ``stand_in`` returns nearly the same images and has a useful gradient. Attacks then follow its gradient and are
    judged by the defence's answers (BPDA: Athalye et al., 2018, arXiv:1802.00420): a defence that rounds or compresses
    gives gradients of zero, which protect nobody. A defence without one is differentiated as it is.
    """

    def __call__(self, images: Any) -> Any:
        """Return `images` (n, height, width, channels) in [0, 1], in the same shape, as the network shall see them."""
        ...
