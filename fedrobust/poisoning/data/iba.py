"""IBA: a backdoor whose trigger is drawn for each image by a network that attackers train."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from fedrobust.bounds import Count, PixelEpsilon, Positive, PositiveShare
from fedrobust.epsilon import epsilon_value
from fedrobust.models.layout import Weights
from fedrobust.poisoning.context import AttackContext
from fedrobust.poisoning.contract import POISONING, Problem, require_class
from fedrobust.poisoning.data.a3fl import batches
from fedrobust.poisoning.data.learnt_backdoor import LearntBackdoor

if TYPE_CHECKING:
    from fedrobust.training.trigger_generator import TriggerGenerator


@POISONING.register("iba")
@dataclass(frozen=True, kw_only=True)
class IBA(LearntBackdoor):
    """Train a generator of faint triggers against the global model (Nguyen et al., NeurIPS 2023, section 4).

    A trigger is epsilon times the noise that a small convolutional network draws for the image, so that nobody sees it
    and no two images share it. Before its local training a malicious client trains the network by Adam, the global
    model being fixed, until enough of its images are classified as the target; then it trains as with any backdoor. The
    network is kept from round to round; each malicious client has its own, of equal first weights, and success is
    measured with that of the first one. In the official code the networks of a round's attackers are averaged, and all
    go on with the average, which is measured. Here others than the first train on triggers that are not measured: with
    several malicious clients the attack may be weaker, which was not measured. The paper plants the backdoor in seldom
    changed weights and bounds the update: ``"iba + neurotoxin + norm-bound(norm=2.0)"``.

    Such a trigger fools models that nobody poisoned, too. The control is ``"iba(share=0)"``: the networks are trained,
    and the updates are honest.

    The paper's network is a U-Net, or an autoencoder for grey images; here it has three convolutions.

    Attributes:
        target: the target class.
        share: share of a malicious client's images of other classes that get the trigger; 0: the control.
        epsilon: largest change of a pixel, a number or a fraction of 255.
        passes: most passes over the client's images of other classes in a round.
        enough: share of these images at which a round's training of the network ends.
        rate: learning rate of Adam.
    """

    epsilon: PixelEpsilon = 0.06
    passes: Count = 20
    enough: PositiveShare = 0.7
    rate: Positive = 0.01

    def __post_init__(self) -> None:
        if epsilon_value(self.epsilon) <= 0.5 / 255:
            raise ValueError(
                f"epsilon = {self.epsilon}: images of 8 bits hold no change of half a grey level (0.5/255) or less"
            )

    def prepare(self, context: AttackContext) -> Mapping[str, np.ndarray]:
        """Return the weights of the network after this round's training."""
        tools = context.tools
        images = tools.clean.images[tools.clean.labels != self.target]
        generator = generator_of(tools.clean.images.shape[3])
        weights = context.memory.own.get("generator", generator.initial(context.seed))
        current = Weights(np.asarray(context.current), np.asarray(context.statistics))
        moments, number, epsilon = np.zeros((2, generator.size)), 0, epsilon_value(self.epsilon)
        for _ in range(self.passes if len(images) else 0):
            for rows in batches(len(images)):
                clean = images[rows] / np.float32(255)
                shown = clean + np.float32(epsilon) * generator.noise(weights, clean)
                wanted = np.full(len(clean), self.target, np.int32)
                slope = tools.gradients(current, np.clip(shown, 0, 1), wanted) * (epsilon / len(clean))
                inside = (shown > 0) & (shown < 1)
                number += 1
                step = adam(generator.gradient(weights, clean, slope * inside), moments, number)
                weights = (weights - self.rate * step).astype(np.float32)
            answers = tools.logits(current, drawn(generator, weights, images, epsilon)).argmax(1)
            if (answers == self.target).mean() >= self.enough:
                break
        return {"generator": weights}

    def stamped(self, images: np.ndarray, context: AttackContext) -> np.ndarray:
        """Return `images` with triggers of the network that the client has trained so far."""
        generator = generator_of(images.shape[3])
        weights = context.memory.own.get("generator", generator.initial(context.seed))
        return drawn(generator, weights, images, epsilon_value(self.epsilon))

    def require(self, problem: Problem, image_size: int) -> None:
        """Refuse an unknown target class."""
        require_class(self, "target", problem)


@cache
def generator_of(channels: int) -> "TriggerGenerator":
    """Return the generator for images of so many channels, shared by the clients of a process."""
    # Starts TensorFlow.
    from fedrobust.training.trigger_generator import TriggerGenerator

    return TriggerGenerator(channels)


def drawn(
    generator: "TriggerGenerator", weights: np.ndarray, images: np.ndarray, epsilon: float
) -> np.ndarray:
    """Return uint8 `images` with the generator's triggers, in batches."""
    marked = np.empty_like(images)
    for rows in batches(len(images)):
        clean = images[rows] / np.float32(255)
        shown = clean + np.float32(epsilon) * generator.noise(weights, clean)
        marked[rows] = np.rint(255 * np.clip(shown, 0, 1)).astype(np.uint8)
    return marked


def adam(gradient: np.ndarray, moments: np.ndarray, number: int) -> np.ndarray:
    """Return the step of Adam for a learning rate of 1 (Kingma and Ba, 2014, arXiv:1412.6980), and update `moments`.

    Args:
        gradient: (d,).
        moments: (2, d), the averages of gradients and of their squares; changed in place.
        number: of the step, from 1.

    Example:
        >>> adam(np.array([0.5, -2.0]), np.zeros((2, 2)), 1).round(3).tolist()
        [1.0, -1.0]
    """
    moments[0] += 0.1 * (gradient - moments[0])
    moments[1] += 0.001 * (np.square(gradient, dtype=np.float64) - moments[1])
    first, second = moments[0] / (1 - 0.9**number), moments[1] / (1 - 0.999**number)
    step: np.ndarray = first / (np.sqrt(second) + 1e-8)
    return step
