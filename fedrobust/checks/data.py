"""Checks of settings against a study's images and their partition."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fedrobust.aggregation import FedDF, FLShield, FLTrust
from fedrobust.checks.reach import check_reach
from fedrobust.checks.settings import shown
from fedrobust.config.sections import Audit, Distillation, Evaluation
from fedrobust.data.dataset import Dataset, Split
from fedrobust.data.partition import Partition
from fedrobust.data.partition.drawn import Drawing
from fedrobust.data.problem import Problem
from fedrobust.data.transfer_set import TransferSet
from fedrobust.errors import ConfigError, FedrobustError, told
from fedrobust.poisoning import Attack, AttackContext
from fedrobust.spec import SpecError

MOST_LOOKED_AT = 100
"""Number of malicious clients whose images are checked, if clients' images are drawn on demand."""

PROBES = tuple(10.0**power for power in range(-3, 13, 3))
"""Norms of the updates on which an attack is tried."""


def root_images(rule: Any, name: str, there: int) -> Iterator[str]:
    """A rule needs at most as many server images as there are.

    Args:
        rule: the study's.
        name: as the study writes it.
        there: images of the validation split.
    """
    if isinstance(rule, FedDF) and not there:
        yield (
            f'federation.aggregator = "{name}": it distils on images of the validation split, which has none; choose '
            "another rule"
        )
    if isinstance(rule, FLTrust | FLShield | FedDF) and rule.images > there:
        yield (
            f'federation.aggregator = "{name}": images = {rule.images}: the root images come from the validation '
            f"split, which has {there}"
        )


def attack_fits(attack: Attack, name: str, problem: Problem, image_size: int) -> Iterator[str]:
    """The poisoning attack's classes exist, and its triggers are inside the images."""
    try:
        attack.require(problem, image_size)
    except ValueError as error:
        yield f'poisoning.attack = "{name}": {error}'


def attack_acts(
    attack: Attack,
    name: str,
    malicious: Sequence[int],
    shard: Callable[[int], Split],
    context: Callable[[int], AttackContext],
) -> Iterator[str]:
    """An attack changes the images, the labels, the update or the claims of a malicious client, unless it is a control.

    Args:
        attack: the study's, which fits its images.
        name: as the study writes it.
        malicious: clients whose images are looked at.
        shard: returns a client's images.
        context: returns what a malicious client knows before the first round.
    """
    if not malicious or attack.colludes or attack.is_control:
        return
    if any(hasattr(part, "training") for part in attack.parts):
        return
    try:
        if _sends_otherwise(attack) or _trains_on_others(attack, malicious, shard, context):
            return
    except SpecError:  # it needs the global model, which is not built yet
        return
    except Exception as error:  # a user's own attack
        yield f'poisoning.attack = "{name}": it fails: {told(error)}'
        return
    yield (
        f'poisoning.attack = "{name}": it would change nothing: no image and no label of the malicious clients '
        f"{shown(tuple(malicious))}, nor what they send; choose other settings, or other clients"
    )


def looked_at(malicious: tuple[int, ...], partition: Partition | Drawing) -> tuple[int, ...]:
    """Return the malicious clients whose images are checked: a few if images are drawn on demand."""
    return malicious[:MOST_LOOKED_AT] if isinstance(partition, Drawing) else malicious


def _sends_otherwise(attack: Attack) -> bool:
    """Return whether any tried update, or any claim, is changed."""
    update = np.random.default_rng(0).standard_normal(64, dtype=np.float32)
    context = AttackContext(malicious=2, clients=10)
    for size in PROBES if any(hasattr(part, "update") for part in attack.parts) else ():
        if not np.array_equal(attack.update(update * np.float32(size), context), update * np.float32(size)):
            return True
    lies = any(attack.claimed_loss(loss) != loss for loss in (0.1, 1.0))
    return lies or any(attack.claim(examples) != examples for examples in (10, 1000))


def _trains_on_others(
    attack: Attack,
    clients: Sequence[int],
    shard: Callable[[int], Split],
    context: Callable[[int], AttackContext],
) -> bool:
    """Return whether any of the `clients` trains on changed images or labels."""
    if not attack.trains:
        return True
    for client in clients:
        own = shard(client)
        images, labels = attack.data(own.images, own.labels, context(client))
        if not (np.array_equal(images, own.images) and np.array_equal(labels, own.labels)):
            return True
    return False


def strengths_fit(evaluation: Evaluation, audit: Audit, image_size: int, problem: Problem) -> Iterator[str]:
    """Epsilons are at most the largest distance of two images, in the study's norm and space.

    Args:
        evaluation: names them.
        audit: names others.
        image_size: side of what the network takes.
        problem: the stored images.
    """
    shape = problem.image_shape if evaluation.space == "native" else (image_size, image_size, 3)
    given = {"evaluation.epsilons": evaluation.epsilons if evaluation.attacks else ()}
    if audit.enabled:
        given |= {"audit.epsilon": (audit.epsilon,), "audit.epsilons": audit.epsilons}
    for setting, epsilons in given.items():
        for epsilon in epsilons:
            try:
                check_reach([epsilon], evaluation.norm, shape, setting)
            except ConfigError as error:
                yield str(error)


def fingerprint(image: np.ndarray) -> bytes:
    """Return a digest of an image's pixels: sets of digests are small where those of images are not."""
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def public_images(
    distillation: Distillation, dataset: Dataset, public: Callable[[], TransferSet | None]
) -> Iterator[str]:
    """A student's public images have the shape of the study's, and are neither a hospital's nor test images.

    Args:
        distillation: names the public images.
        dataset: the study's.
        public: returns the public images.
    """
    if not (distillation.enabled and distillation.public):
        return
    key = f'distillation.public = "{distillation.public}"'
    try:
        other = public()
    except FedrobustError as error:
        yield f"{key}: {error}"
        return
    assert other is not None
    if other.image_shape != dataset.image_shape:
        yield f"{key}: images of {other.image_shape}, the study's are {dataset.image_shape}"
        return
    given = [fingerprint(image) for image in other.images]
    for split, what, why in (
        (dataset.train, "training images of the hospitals", "which the server must not see"),
        (
            dataset.test,
            "test images of the study",
            "and the student's figures would be those of images that it learnt",
        ),
    ):
        own = set(map(fingerprint, split.images))
        if known := sum(each in own for each in given):
            yield (
                f"{key}: {known:,} of its {len(given):,} images are {what}, {why}; name other images, or leave it "
                "empty for the validation split"
            )
