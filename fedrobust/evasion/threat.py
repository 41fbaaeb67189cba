"""The threat model: the norm that bounds a perturbation, and the images that an attacker can realise."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedrobust.errors import FedrobustError

Images = NDArray[np.float32]
Norm = Literal["linf", "l2", "l0"]

NORMS: tuple[Norm, ...] = ("linf", "l2", "l0")


class ThreatError(FedrobustError, ValueError):
    """A threat model is contradictory, or does not fit attack, model or images; the message says what is allowed."""


@dataclass(frozen=True, kw_only=True)
class Threat:
    """The images that an attacker may choose: within epsilon of the clean image, in [0, 1].

    Attributes:
        norm: of the perturbation: "linf", the largest change of a value; "l2", the Euclidean norm over all values of
            an image; "l0", the number of changed pixels, in any of their channels.
        space: "native" perturbs the stored pixels, and gradients pass through resizing and channel copies; "prepared"
            perturbs the network's prepared input, as in the paper's tables: no image file can hold such an image.
        bits: 8 allows only images that an 8-bit file can hold; 0 allows every float.
        tied: the channels of an image change together, as those of a grey image copied to red, green and blue.

    Raises:
        ThreatError: a value is unknown, or two contradict each other.

    Example:
        >>> threat = Threat(norm="linf")
        >>> clean = np.full((1, 2, 2, 1), 0.5, np.float32)
        >>> round(float(threat.project(clean + 0.3, clean, 0.1).max()), 4)
        0.6
    """

    norm: Norm = "linf"
    space: Literal["native", "prepared"] = "native"
    bits: Literal[0, 8] = 0
    tied: bool = False

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise ThreatError(f"norm = {self.norm!r}: choose one of {', '.join(NORMS)}")
        if self.space not in ("native", "prepared"):
            raise ThreatError(f"space = {self.space!r}: choose native or prepared")
        if self.bits not in (0, 8):
            raise ThreatError(f"bits = {self.bits}: choose 8, or 0 for floats")
        if self.bits and self.space == "prepared":
            raise ThreatError(
                "bits = 8 with space = 'prepared': the values of a prepared image are between grey levels; choose "
                "space = 'native'"
            )

    def __str__(self) -> str:
        extras = [f"{self.bits}-bit" if self.bits else "", "tied channels" if self.tied else ""]
        return ", ".join([self.norm, self.space, *filter(None, extras)])

    def project(self, images: Images, clean: Images, epsilon: ArrayLike) -> Images:
        """Return `images` projected onto the threat model, (n, height, width, channels) float32.

        Args:
            images: (n, height, width, channels), of any values.
            clean: the clean images, in the same shape.
            epsilon: one bound for all, or (n,).
        """
        bound = each(epsilon, len(images))
        if self.norm == "linf":
            return np.clip(np.clip(images, clean - bound, clean + bound), 0.0, 1.0)
        if self.norm == "l0":
            return _fewest(np.clip(images, 0.0, 1.0), clean, bound.ravel())
        # Clipping to [0, 1] comes last: it only shortens the perturbation, as the clean image is in [0, 1].
        change = images - clean
        length = lengths(change)[:, None, None, None]
        shrink = np.minimum(1.0, bound / np.maximum(length, 1e-12)) * (1 - 1e-7)
        return np.clip(clean + change * shrink.astype(np.float32), 0.0, 1.0)

    def stored(self, images: Images, clean: Images) -> Images:
        """Return `images` as an image file stores them: with `bits` = 8 rounded to grey levels, towards `clean`.

        Rounding towards the clean image, which has grey levels, keeps them within epsilon. A change of less than one
        grey level is lost, as in a file.
        """
        if not self.bits:
            return images
        # The tolerance keeps changes of exactly k levels, which float32 does not represent exactly.
        levels = np.trunc((images - clean) * np.float32(255) * np.float32(1 + 1e-5))
        return np.clip((np.rint(clean * np.float32(255)) + levels) / np.float32(255), 0.0, 1.0)

    def distance(self, images: Images, clean: Images) -> NDArray[np.float64]:
        """Return the norm of each perturbation, (n,), in this threat model's norm."""
        change = images.astype(np.float64) - clean
        if self.norm == "linf":
            return np.abs(change).max(axis=(1, 2, 3))
        if self.norm == "l2":
            return lengths(change)
        return (np.abs(change).max(axis=3) > 1e-6).sum(axis=(1, 2)).astype(np.float64)

    def steepest(self, gradient: Images) -> Images:
        """Return the steepest ascent step of norm one along `gradient`: its signs (linf) or its direction (l2)."""
        if self.norm == "linf":
            return np.sign(gradient)
        length = lengths(gradient)[:, None, None, None]
        return np.where(length > 0, gradient / np.maximum(length, 1e-30), 0.0).astype(np.float32)


def each(epsilon: ArrayLike, n: int) -> NDArray[np.float32]:
    """Return epsilon as (n, 1, 1, 1) float32, which broadcasts with images."""
    return np.broadcast_to(np.asarray(epsilon, np.float32), (n,))[:, None, None, None]


def column(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return one number an image as (n, 1, 1, 1) float32, which broadcasts with images."""
    return each(values, len(values))


def lengths(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the Euclidean norm of each image's values, (n,) float64, without underflow."""
    wide = values.astype(np.float64, copy=False)
    return np.sqrt(np.einsum("nhwc,nhwc->n", wide, wide))


def _fewest(images: Images, clean: Images, most: NDArray[np.float32]) -> Images:
    """Return `images` with only the `most` largest pixel changes kept (the projection in l0)."""
    n, height, width, _ = images.shape
    change = np.abs(images - clean).max(axis=3).reshape(n, -1)
    rank = np.argsort(np.argsort(-change, axis=1, kind="stable"), axis=1)
    kept = (rank < most[:, None]).reshape(n, height, width, 1)
    return np.where(kept, images, clean)
