"""The families of named objects: the registry of each, and the settings that name its members."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fedrobust.aggregation import PRE_AGGREGATORS, RULES, SERVER_OPTIMIZERS
from fedrobust.algorithms import ALGORITHMS
from fedrobust.availability import AVAILABILITY
from fedrobust.data.partition import PARTITIONS
from fedrobust.data.shifts import SITE_SHIFTS
from fedrobust.defences import DEFENCES
from fedrobust.detectors import DETECTORS
from fedrobust.evaluation.scores import METRICS
from fedrobust.evasion import ATTACKS
from fedrobust.leakage import LEAKAGE
from fedrobust.models.architectures import ARCHITECTURES
from fedrobust.models.keras_applications import NAMES
from fedrobust.poisoning import POISONING
from fedrobust.privacy import POSTPROCESSORS
from fedrobust.registry import Registry
from fedrobust.removal import REMOVALS
from fedrobust.training.augmentations import AUGMENTATIONS
from fedrobust.training.distillation_methods import DISTILLATION_METHODS
from fedrobust.training.losses import LOSSES
from fedrobust.training.optimizers import OPTIMIZERS
from fedrobust.training.recipes import RECIPES


@dataclass(frozen=True)
class Family:
    """One family.

    Attributes:
        registry: its members by name.
        keys: dotted keys of a study that name members.
        others: names beside the members'.
        written: how a member is written there, in the place of ``{}``.
        forms: how things without a registered name are written, with a line of summary each.
        command: how a member is written on the command line, in the place of ``{}``, if no key names it.
    """

    registry: Registry
    keys: tuple[str, ...]
    others: tuple[str, ...] = ()
    written: str = "{}"
    forms: Mapping[str, str] = field(default_factory=dict)
    command: str = ""


OWN_NETWORKS = {
    "keras:EfficientNetV2B0": "any backbone of keras.applications, such as ConvNeXtTiny, MobileNetV3Small, ResNet101",
    "mine.keras": "the network in a Keras file beside the study",
    "my_module:build": "a function (height, width, channels) -> keras.Model from images to features",
}
"""How networks without a registered name are written."""

FAMILIES = {
    "models": Family(ARCHITECTURES, ("model.name", "distillation.student"), NAMES, forms=OWN_NETWORKS),
    "partitions": Family(PARTITIONS, ("data.partition",)),
    "availability": Family(AVAILABILITY, ("federation.availability",), written="all: {}"),
    "site-shifts": Family(SITE_SHIFTS, ("data.site-shifts",), written="all: {}"),
    "recipes": Family(RECIPES, ("training.recipe",)),
    "optimizers": Family(OPTIMIZERS, ("training.optimizer",)),
    "losses": Family(LOSSES, ("training.loss",)),
    "augmentations": Family(AUGMENTATIONS, ("training.augmentations",)),
    "algorithms": Family(ALGORITHMS, ("training.algorithm",)),
    "distillation-methods": Family(DISTILLATION_METHODS, ("distillation.method",)),
    "defences": Family(DEFENCES, ("model.defence",)),
    "detectors": Family(DETECTORS, ("model.detector",)),
    "removals": Family(REMOVALS, ("model.removal",)),
    "postprocessors": Family(POSTPROCESSORS, ("federation.postprocessors",)),
    "rules": Family(RULES, ("federation.aggregator",)),
    "pre-aggregators": Family(PRE_AGGREGATORS, ("federation.pre-aggregators",)),
    "server-optimizers": Family(SERVER_OPTIMIZERS, ("federation.server-optimizer",)),
    "poisoning": Family(POISONING, ("poisoning.attack",)),
    "metrics": Family(METRICS, ("evaluation.metrics",)),
    "attacks": Family(ATTACKS, ("evaluation.attacks",)),
    "leakage": Family(LEAKAGE, (), command='fedrobust leakage RUN --attack "{}"'),
}
"""The families shown by `fedrobust list`, by its argument."""
