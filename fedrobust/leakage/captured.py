"""A client's captured update, and images that are reconstructed from it."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedrobust.models.layout import Weights

if TYPE_CHECKING:
    from fedrobust.models.classifier import Classifier

Images = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class CapturedUpdate:
    """What a server knows of one client's update.

    Attributes:
        classifier: the model as a function of its weights.
        start: the global weights that the client was sent.
        update: the difference that it sent, (d,) float32.
        images: number of its images.
        rate: learning rate times local steps, by which a plain gradient step divides the update.
        answers: mean softmax of the global model over the server's own images, (classes,).
        seed: of everything random.
        statistics: moving BatchNorm statistics that it sent along, (s,) float32; empty: none, or none of its step.
    """

    classifier: "Classifier"
    start: Weights
    update: NDArray[np.float32]
    images: int
    rate: float
    answers: NDArray[np.float64]
    seed: int
    statistics: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))

    @property
    def gradient(self) -> NDArray[np.float32]:
        """The mean gradient of the client's loss, (d,), if its local update was plain SGD: minus update / rate."""
        return -self.update / np.float32(self.rate)


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Images and labels inferred from an update.

    Attributes:
        images: (n, height, width, channels) in [0, 1].
        labels: (n,) int32.
        matched: cosine of the captured gradient and that of these images.
    """

    images: Images
    labels: NDArray[np.int32]
    matched: float
