"""Names about networks that need no Keras: input scaling, normalisation, and names in files."""

import re
from typing import Literal

Scaling = Literal["backbone", "unit"]

Normalization = Literal["batch", "group", "frozen"]


def keras_name(name: str) -> str:
    """Return a name that Keras and TensorFlow accept, for a registered name or a dotted path.

    Example:
        >>> keras_name("edge-cnn"), keras_name("my.models:build")
        ('edge-cnn', 'my.models_build')
    """
    return re.sub(r"^[^A-Za-z0-9.]", "x", re.sub(r"[^A-Za-z0-9_.-]", "_", name)) or "model"
