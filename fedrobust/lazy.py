"""TensorFlow, Keras and parts of SciPy, imported when something of them is first used.

Recipes, optimisers and networks are named in study files, listed and checked without TensorFlow, which takes seconds to
start. Their modules take `tf` and `keras` from here, with ``from __future__ import annotations`` for the types. So do
modules that few studies call and that need a large part of SciPy: all of `scipy.stats` takes longer than Flower.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__all__ = ["fft", "keras", "ndimage", "optimize", "stats", "tf"]


class OnFirstUse(ModuleType):
    """A module that is imported when one of its names is asked for.

    Args:
        name: dotted name of the module.

    Example:
        >>> calendar = OnFirstUse("calendar")
        >>> calendar.isleap(2024)
        True
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)


if TYPE_CHECKING:
    import keras
    import tensorflow as tf
    from scipy import fft, ndimage, optimize, stats
else:
    keras, tf = OnFirstUse("keras"), OnFirstUse("tensorflow")
    fft, ndimage, optimize, stats = (
        OnFirstUse(f"scipy.{name}") for name in ("fft", "ndimage", "optimize", "stats")
    )
