"""The contract of prediction-time defences, and their registry.

A defence is a frozen dataclass of settings. It is part of the model in evaluation, attacks, audit, distillation and
exported files; clients train without it. It is written with ``keras.ops``, so that the same code serves TensorFlow
graphs and layers of the Keras file.

A learned defence has no `__call__`: its method ``fitted`` returns the defence. The server fits it once, after the last
round, to the selected model and the validation images; test images are never used.
"""

from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

from fedrobust.registry import Registry

if TYPE_CHECKING:
    from fedrobust.defences.fitting import Fitting

DEFENCES = Registry("prediction-time defence", "fedrobust.defences")


class PredictionDefence(Protocol):
    """A function of images; it may have a second method, ``stand_in(images)``.

    ``stand_in`` is a differentiable approximation of the defence, whose gradient attacks use (BPDA: Athalye et al.,
    2018, arXiv:1802.00420), while their success is evaluated with the defence itself: rounding or compression has a
    gradient of zero, which masks gradients without making the model robust. A defence without ``stand_in`` is
    differentiated itself.

    A defence that lets the network vote has a method ``combined(logits)`` as well: ``__call__`` then returns k images
    for each, (n k, height, width, channels) with those of one image in a row, and ``combined`` makes the network's
    logits (n k, classes) into (n, classes).
    """

    def __call__(self, images: Any) -> Any:
        """Return the transformed `images`, in the same shape: (n, height, width, channels) in [0, 1]."""
        ...


def combined(defence: Any, logits: Any) -> Any:
    """Return one row of `logits` an image: combined by a defence that gave the network several copies of it.

    Example:
        >>> combined(None, [[1.0, 2.0]])
        [[1.0, 2.0]]
    """
    return defence.combined(logits) if is_vote(defence) else logits


def is_vote(defence: Any) -> bool:
    """Return whether a defence gives the network several copies of an image."""
    return hasattr(defence, "combined")


class LearnedDefence(Protocol):
    """Settings of a defence that is fitted to images and to a model."""

    def fitted(self, to: "Fitting") -> PredictionDefence:
        """Return the defence fitted to the images and the model of `to`; the same for the same seed."""
        ...


def is_learned(defence: Any) -> TypeGuard[LearnedDefence]:
    """Return whether a defence has to be fitted before images can be given to it.

    Example:
        >>> from fedrobust.defences.bit_depth import BitDepth
        >>> is_learned(BitDepth()), is_learned(None)
        (False, False)
    """
    return hasattr(defence, "fitted")
