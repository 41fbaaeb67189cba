"""The input format of a network: pixel range, normalisation, channel order, axis order, data type."""

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedrobust.epsilon import shortened
from fedrobust.errors import ConfigError

if TYPE_CHECKING:
    import tensorflow as tf

GRAMMAR = (
    "expected: a range (0..1, 0..255, -1..1) and, if the model needs them, mean=0.485 0.456 0.406, "
    "std=0.229 0.224 0.225 (subtracted and divided by after the range), bgr, channels-first, uint8; such as "
    '"0..255", "0..1 channels-first", "mean=0.5,std=0.25", "uint8"'
)
LONGEST = 400
"""Most characters of an input format."""

_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?"
_PART = re.compile(
    rf"(?P<low>{_NUMBER})\s*\.\.\s*(?P<high>{_NUMBER})(?=[\s,;]|$)"
    rf"|\[\s*(?P<left>{_NUMBER})\s*,\s*(?P<right>{_NUMBER})\s*\]"
    rf"|(?P<key>mean|std)\s*=\s*\[?\s*(?P<numbers>{_NUMBER}(?:[\s,]+{_NUMBER}(?![.0-9]))*)\s*\]?(?=[\s,;]|$)"
    r"|(?P<word>rgb|bgr|channels-first|channels-last|uint8|float32)(?=[\s,;]|$)"
)


@dataclass(frozen=True)
class InputFormat:
    """The transformation of images in [0, 1] to a network's input.

    In this order: channels are reversed for ``bgr``, pixels are mapped onto the range (and rounded to whole numbers for
    ``uint8``), ``mean`` is subtracted, the result is divided by ``std``, axes are moved for ``channels-first``.

    Attributes:
        low: value of black.
        high: value of white.
        mean: one number, or one a channel in the network's order; empty: 0.
        std: likewise; empty: 1.
        bgr: channels in the order blue, green, red.
        channels_first: (n, channels, height, width) in place of (n, height, width, channels).
        whole: pixels are rounded to whole numbers, as in uint8 images.

    Example:
        >>> InputFormat.parse("mean=0.5, std=0.25"), str(InputFormat.parse("0..255 bgr"))
        (InputFormat(low=0.0, high=1.0, mean=(0.5,), std=(0.25,), bgr=False, channels_first=False, whole=False), \
'0..255 bgr')
    """

    low: float = 0.0
    high: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    bgr: bool = False
    channels_first: bool = False
    whole: bool = False

    @classmethod
    def parse(cls, text: str, setting: str = "input") -> "InputFormat":
        """Return the format that a text describes.

        Args:
            text: such as "0..255" or "mean=0.485 0.456 0.406, std=0.229 0.224 0.225".
            setting: name of the setting, for the message.

        Raises:
            ConfigError: the text is not an input format; the message gives the grammar.

        Example:
            >>> InputFormat.parse("0-255")
            Traceback (most recent call last):
            fedrobust.errors.ConfigError: input = '0-255': '0-255' is not understood; expected: a range (0..1, 0..255, \
-1..1) and, if the model needs them, mean=0.485 0.456 0.406, std=0.229 0.224 0.225 (subtracted and divided by \
after the range), bgr, channels-first, uint8; such as "0..255", "0..1 channels-first", "mean=0.5,std=0.25", "uint8"
        """
        refused = f"{setting} = {shortened(text)}: "
        rest = text.strip(" \t\n,;").lower() if len(text) <= LONGEST else ""
        if not rest:
            raise ConfigError(f"{refused}{'too long' if text.strip() else 'empty'}; {GRAMMAR}")
        found: dict[str, Any] = {}
        while rest:
            part = _PART.match(rest)
            if part is None:
                raise ConfigError(f"{refused}{shortened(rest)} is not understood; {GRAMMAR}")
            for key, value in _meaning(part).items():
                if key in found:
                    raise ConfigError(f"{refused}{part.group().strip()!r} repeats an earlier part; {GRAMMAR}")
                found[key] = value
            rest = rest[part.end() :].lstrip(" \t\n,;")
        wrong = _contradiction(found)
        if wrong:
            raise ConfigError(f"{refused}{wrong}; {GRAMMAR}")
        if found.get("whole"):
            found |= {"low": 0.0, "high": 255.0}
        return cls(**found)

    def __str__(self) -> str:
        """Return the shortest text that `parse` reads as this format."""
        is_usual = self.whole or ((self.mean or self.std) and (self.low, self.high) == (0.0, 1.0))
        parts = ["uint8"] if self.whole else [] if is_usual else [self.range]
        for key, numbers in (("mean", self.mean), ("std", self.std)):
            parts += [f"{key}={' '.join(f'{number:g}' for number in numbers)}"] if numbers else []
        return " ".join([", ".join(parts), *["bgr"] * self.bgr, *["channels-first"] * self.channels_first])

    @property
    def range(self) -> str:
        """The pixel range, such as "0..255"."""
        return f"{self.low:g}..{self.high:g}"

    def check_channels(self, channels: int, name: str) -> None:
        """Refuse a format that does not fit the number of channels.

        Args:
            channels: of the model's input.
            name: of the model, for the message.

        Raises:
            ConfigError: ``mean``, ``std`` or ``bgr`` is for another number of channels.
        """
        for key, numbers in (("mean", self.mean), ("std", self.std)):
            if len(numbers) > 1 and len(numbers) != channels:
                raise ConfigError(
                    f"input = {str(self)!r}: {len(numbers)} numbers in {key}; {name} takes images of {channels} "
                    "channels: give one number, or one a channel"
                )
        if self.bgr and channels != 3:
            raise ConfigError(f"input = {str(self)!r}: bgr, but {name} takes images of {channels} channels")

    def __call__(self, images: "tf.Tensor") -> "tf.Tensor":
        """Return the network's input for float32 `images` (n, height, width, channels) in [0, 1].

        Rounding to whole numbers has the gradient of the identity.

        Source: Athalye et al. (2018), Obfuscated gradients give a false sense of security, arXiv:1802.00420 (BPDA with
        the identity).
        """
        import tensorflow as tf

        if self.bgr:
            images = tf.reverse(images, [-1])
        if (self.low, self.high) != (0.0, 1.0):
            images = images * (self.high - self.low)
            images = images + self.low if self.low else images
        if self.whole:
            images = _rounded()(images)
        if self.mean:
            images = images - tf.constant(self.mean, tf.float32)
        if self.std:
            images = images / tf.constant(self.std, tf.float32)
        return tf.transpose(images, (0, 3, 1, 2)) if self.channels_first else images


UNIT = InputFormat()
"""Images in [0, 1], unchanged."""


def _meaning(part: re.Match[str]) -> dict[str, Any]:
    """Return the attributes that one part of the text sets."""
    if part["word"]:
        word = part["word"]
        return {
            "rgb": {"bgr": False},
            "bgr": {"bgr": True},
            "channels-first": {"channels_first": True},
            "channels-last": {"channels_first": False},
            "uint8": {"whole": True},
            "float32": {"whole": False},
        }[word]
    if part["key"]:
        return {part["key"]: tuple(float(number) for number in re.findall(_NUMBER, part["numbers"]))}
    low, high = part["low"] or part["left"], part["high"] or part["right"]
    return {"low": float(low), "high": float(high)}


def _contradiction(found: dict[str, Any]) -> str:
    """Return why these attributes contradict each other; empty if they do not."""
    low, high = found.get("low", 0.0), found.get("high", 1.0)
    if not all(map(math.isfinite, (low, high))) or not low < high:
        return f"the range {low:g}..{high:g} does not rise"
    if not all(0 < number < math.inf for number in found.get("std", ())):
        return "a standard deviation is not above 0"
    if not all(map(math.isfinite, found.get("mean", ()))):
        return "a mean is not finite"
    if found.get("whole") and "low" in found and (low, high) != (0.0, 255.0):
        return f"uint8 images run from 0 to 255, not from {low:g} to {high:g}"
    return ""


def _rounded() -> Any:
    """Return the rounding to whole numbers, with the gradient of the identity."""
    import tensorflow as tf

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def rounded(images: tf.Tensor) -> tuple[tf.Tensor, Any]:
        return tf.round(images), lambda upstream: upstream

    return rounded
