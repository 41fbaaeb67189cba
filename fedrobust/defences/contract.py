"""The contract of prediction-time defences, and their registry.

A defence is a frozen dataclass of settings. It is part of the model in evaluation, attacks, audit, distillation and
exported files; clients train without it. It is written with ``keras.ops``, so that the same code serves TensorFlow
graphs and layers of the Keras file.
"""

from typing import Any, Protocol

from fedrobust.registry import Registry

DEFENCES = Registry("prediction-time defence", "fedrobust.defences")


class PredictionDefence(Protocol):
    """A function of images; it may have a second method, ``stand_in(images)``.

    ``stand_in`` is a differentiable approximation of the defence, whose gradient attacks use (BPDA: Athalye et al.,
    2018, arXiv:1802.00420), while their success is evaluated with the defence itself: rounding or compression has a
    gradient of zero, which masks gradients without making the model robust. A defence without ``stand_in`` is
    differentiated itself.
    """

    def __call__(self, images: Any) -> Any:
        """Return the transformed `images`, in the same shape: (n, height, width, channels) in [0, 1]."""
        ...
