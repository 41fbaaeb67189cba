"""Reconstruction of images from captured updates, beside the most similar other training image."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from fedrobust.config import ConfigError
from fedrobust.exposure.updates import Updates
from fedrobust.leakage.captured import CapturedUpdate
from fedrobust.leakage.confidence import Floats
from fedrobust.leakage.contract import InversionAttack
from fedrobust.models.two_batchnorms import main_of
from fedrobust.randomness import Purpose, generator
from fedrobust.runs.record.leakage import InversionRecord

Images = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Inversion:
    """Inversion attacks on updates of one round of a run.

    A client's own images are too many for any known attack; attacked is the update that it would send if it had but a
    few of them, under the study's own training: epochs, batch size, optimiser, postprocessors.

    Attributes:
        updates: of the run.
        round: in which updates are captured.
        answers: logits (n, classes) of the round's global model on stored images: of the server's own.
        seed: of everything random.
        policy: of BatchNorm statistics. With "moments" a client sends those of its new weights, which its step did not
            use; they are left aside.
    """

    updates: Updates
    round: int
    answers: Callable[[np.ndarray], np.ndarray]
    seed: int
    policy: str = "recalibrate"

    def on_client(self, name: str, attack: InversionAttack, images: int, trial: int) -> InversionRecord:
        """Return the figures of one reconstruction.

        Args:
            name: of the attack, with its settings.
            attack: the attack.
            images: of the attacked client.
            trial: number of the trial, which chooses client and images.

        Raises:
            ConfigError: no client has so many images.
        """
        began, study = time.perf_counter(), self.updates.study
        honest = [
            client for client in range(study.partition.clients) if client not in study.schedule.malicious
        ]
        able = [client for client in honest if study.partition.sizes[client] >= images]
        if not able:
            raise ConfigError(
                f'attack = "{name}": images = {images}, and no honest client has as many; lower it to '
                f"{int(study.partition.sizes.max())}"
            )
        client = able[trial % len(able)]
        whole = study.shard(client)
        draw = generator(self.seed, Purpose.LEAKAGE, self.round, trial)
        few = whole.of_rows(np.sort(draw.permutation(len(whole))[:images]))
        training = study.experiment.training
        steps = training.epochs * -(-images // training.batch_size)
        shares = softmax(self.answers(study.dataset.validation.images)).mean(axis=0)
        before, after = self.updates.start(self.round), self.updates.sent(client, self.round, few)
        (classifier, start), (_, sent) = (main_of(study.classifier, each) for each in (before, after))
        captured = CapturedUpdate(
            classifier,
            start,
            sent.trainable - start.trainable,
            images,
            training.learning_rate * steps,
            shares,
            int(draw.integers(2**31)),
            self.own_statistics(start.statistics, sent.statistics),
        )
        found = attack(captured)
        truth = few.images / 255.0
        psnr = matched_psnr(truth, found.images)
        classes = study.problem.classes
        counts = [np.bincount(each, minlength=classes) for each in (few.labels, found.labels)]
        return InversionRecord(
            attack=name,
            client=client,
            round=self.round,
            images=images,
            steps=steps,
            batchnorm=batchnorm_of(study.model.norm, bool(study.classifier.layout.statistics)),
            labels_found=int(np.minimum(*counts).sum()),
            psnr=tuple(map(float, psnr)),
            neighbour_psnr=tuple(map(float, neighbour_psnr(truth, study.dataset.train.images))),
            matched=found.matched,
            seconds=time.perf_counter() - began,
        )

    def own_statistics(self, before: np.ndarray, sent: np.ndarray) -> np.ndarray:
        """Return the moving statistics that a client sent; none if they are not of its step, or do not leave it."""
        moving = self.policy != "moments" and not np.array_equal(before, sent)
        return sent if moving else np.zeros(0, np.float32)


def batchnorm_of(norm: str, statistics: bool) -> str:
    """Return the mode of BatchNorm in a client's step: by the batch, by kept statistics, or none in the network."""
    if norm == "frozen":
        return "evaluation"
    return "training" if statistics else "none"


def psnr_of(squared: Floats) -> Floats:
    """Return the peak signal-to-noise ratio in dB of mean squared errors of pixels in [0, 1]; at most 100.

    Example:
        >>> psnr_of(np.array([0.01, 0.0])).tolist()
        [20.0, 100.0]
    """
    found: Floats = -10 * np.log10(np.maximum(squared, 1e-10))
    return found


def distances(some: Images, others: Images) -> Floats:
    """Return mean squared errors of all pairs, (n, m)."""
    flat = [np.asarray(each, np.float64).reshape(len(each), -1) for each in (some, others)]
    found: Floats = np.stack([((flat[1] - one) ** 2).mean(axis=1) for one in flat[0]])
    return found


def matched_psnr(truth: Images, found: Images) -> Floats:
    """Return the PSNR of each true image against its reconstruction, paired for the smallest total error.

    Example:
        >>> one, other = np.zeros((1, 2, 2, 1)), np.full((1, 2, 2, 1), 0.1)
        >>> matched_psnr(np.concatenate([one, other]), np.concatenate([other, one])).tolist()
        [100.0, 100.0]
    """
    errors = distances(truth, found)
    rows, columns = linear_sum_assignment(errors)
    return psnr_of(errors[rows, columns])


def neighbour_psnr(truth: Images, train: NDArray[np.uint8]) -> Floats:
    """Return the PSNR of each image against the most similar other training image: what must be beaten.

    Copies of an image, as near as 1e-9, are passed over.
    """
    errors = distances(truth, train / 255.0)
    return psnr_of(np.where(errors < 1e-9, np.inf, errors).min(axis=1))


def softmax(logits: np.ndarray) -> Floats:
    """Return the probabilities (n, classes) of logits."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: Floats = shifted / shifted.sum(axis=1, keepdims=True)
    return found
