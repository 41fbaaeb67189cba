"""Names about networks that need no Keras: input scaling, normalisation, and names in files."""

import re
from typing import Literal

from fedrobust.models.network_file import is_network_file, pinned_parts

Scaling = str
"""``"backbone"``, ``"unit"``, or an input format, see `fedrobust.models.input_format.InputFormat`."""

Normalization = Literal["batch", "group", "frozen", "two-batch"]
"""What stands where an architecture has BatchNorm; two-batch: a second set for adversarial images, see `AdvProp`."""


def keras_name(name: str) -> str:
    """Return a name that Keras and TensorFlow accept, for a registered name, a dotted path or a file.

    Example:
        >>> keras_name("edge-cnn"), keras_name("my.models:build"), keras_name("/srv/mine.keras")
        ('edge-cnn', 'my.models_build', 'mine')
    """
    if is_network_file(name):
        name = pinned_parts(name)[0].stem
    return re.sub(r"^[^A-Za-z0-9.]", "x", re.sub(r"[^A-Za-z0-9_.-]", "_", name)) or "model"
