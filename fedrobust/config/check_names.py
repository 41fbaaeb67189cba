"""Check all names in a study by building their objects before it starts."""

from fedrobust.config.model_parts import detector_of, removal_of
from fedrobust.config.naming import naming
from fedrobust.config.resolve import (
    attack_of,
    availability_of,
    defence_of,
    distillation_method_of,
    metrics_of,
    postprocessors_of,
    server_optimizer_of,
    site_shifts_of,
    threat_of,
)
from fedrobust.config.resolve_training import (
    algorithm_of,
    augmentations_of,
    loss_named,
    optimizer_of,
    recipe_of,
)
from fedrobust.config.sections import Data, Distillation, Evaluation, Federation, Model, Poisoning, Training
from fedrobust.config.tolerated import malicious_of, tolerated_of
from fedrobust.data.partition import method_named


def check_names(
    data: Data,
    model: Model,
    federation: Federation,
    training: Training,
    poisoning: Poisoning,
    evaluation: Evaluation,
    distillation: Distillation,
    seed: int,
    base: str = "",
) -> None:
    """Build every named object once, so that errors are raised before a study starts.

    A user's own modules are left out: they are imported when the study starts, and their folder need not be known
    before.

    Raises:
        FedrobustError: something cannot be made; see `fedrobust.config.resolve`.
    """
    malicious = malicious_of(poisoning, federation.clients, seed)
    if not _is_own(poisoning.attack):
        attack_of(poisoning, base)
    if not _is_own(federation.aggregator, *federation.pre_aggregators):
        defence_of(federation, tolerated_of(federation, poisoning, seed), base)
    if not _is_own(*federation.postprocessors):
        postprocessors_of(federation, max(len(malicious), tolerated_of(federation, poisoning, seed)), base)
    if not _is_own(training.algorithm):
        algorithm_of(training, base)
    if not _is_own(federation.server_optimizer):
        server_optimizer_of(federation, base)
    if not _is_own(data.partition):
        with naming("data.partition", data.partition):
            method_named(data.partition)
    if not _has_own(data.site_shifts):
        site_shifts_of(data, federation.clients, base)
    if not _has_own(federation.availability):
        availability_of(federation, base, malicious)
    if not _is_own(training.optimizer):
        optimizer_of(training, base)
    if not _is_own(training.loss):
        loss_named(training, base)
    if not _is_own(*training.augmentations):
        augmentations_of(training, base)
    if not _is_own(training.recipe):
        recipe_of(training, base)
    if not _is_own(model.detector):
        detector_of(model, base)
    if not _is_own(model.removal):
        removal_of(model, base)
    if not _is_own(distillation.method):
        distillation_method_of(distillation, base)
    if not _is_own(*evaluation.metrics):
        metrics_of(evaluation, base)
    ours = tuple(attack for attack in evaluation.attacks if not _is_own(attack))
    threat_of(evaluation.model_copy(update={"attacks": ours}), base)


def _is_own(*names: str) -> bool:
    return any(":" in name and not name.startswith("flower:") for name in names)


def _has_own(lines: tuple[str, ...]) -> bool:
    return _is_own(*(line.partition(":")[2] for line in lines))
