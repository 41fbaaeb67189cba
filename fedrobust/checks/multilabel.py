"""Checks of settings that need classes which exclude each other, against multi-label data."""

from collections.abc import Iterator

from fedrobust.config.resolve_training import (
    loss_of,
)
from fedrobust.config.sections import Evaluation
from fedrobust.data.dataset import Dataset
from fedrobust.defences.contract import is_learned, is_vote
from fedrobust.evasion import attack_named
from fedrobust.evasion.multilabel import attacked_findings, fault
from fedrobust.study import Study

PARTITIONS = ("iid", "quantity", "site")
"""Partitions that do not divide images by class."""

DATA_SHIFTS = ("label-noise", "prevalence", "without-classes")
"""Site shifts that change or select labels."""


def labels_fit(study: Study) -> Iterator[str]:
    """Settings that are defined by classes are not combined with multi-label data, nor the other way round."""
    given, dataset = study.experiment, study.dataset
    loss_of(given.training, given.base, dataset.multilabel)
    if not dataset.multilabel:
        if given.evaluation.attacked_finding != "any":
            yield (
                f'evaluation.attacked-finding = "{given.evaluation.attacked_finding}": an image of {dataset.name} has '
                'one class; leave it at "any"'
            )
        return
    for setting, value, allowed in _refused(study):
        yield f"{setting} = {value}: it needs one class an image, {dataset.name} is multi-label; {allowed}"
    yield from _attacks(given.evaluation, dataset)


def _refused(study: Study) -> Iterator[tuple[str, str, str]]:
    """Yield each setting that needs classes, its value, and what is allowed."""
    given = study.experiment
    data, training, evaluation = given.data, given.training, given.evaluation
    partition = data.partition.partition("(")[0].strip()
    if partition not in PARTITIONS and ":" not in partition:
        yield "data.partition", f'"{data.partition}"', f"choose one of {', '.join(PARTITIONS)}"
    if data.undersample:
        yield (
            "data.undersample",
            "true",
            "set it to false, or weigh answers: binary-cross-entropy(balanced=True)",
        )
    for line in data.site_shifts:
        named = [shift for shift in DATA_SHIFTS if shift in line]
        if named:
            yield "data.site-shifts", f'"{line}"', f"leave {named[0]} out"
    if getattr(study.recipe, "one_class", False):
        yield "training.recipe", f'"{training.recipe}"', "choose another, such as pgd"
    if given.distillation.enabled and getattr(study.distillation_method, "one_class", False):
        yield "distillation.method", f'"{given.distillation.method}"', "choose soft-labels"
    if given.distillation.enabled and given.distillation.teacher == "class-logits":
        yield "distillation.teacher", '"class-logits"', 'choose "global-model"'
    if training.class_weights == "balanced":
        allowed = 'set it to "none", and training.loss = "binary-cross-entropy(balanced=True)"'
        yield "training.class-weights", '"balanced"', allowed
    if is_learned(study.prediction_defence) or is_vote(study.prediction_defence):
        allowed = "choose one that only transforms images, such as jpeg"
        yield "model.defence", f'"{given.model.defence}"', allowed
    if any(hasattr(part, "data") or hasattr(part, "criterion") for part in study.attack.parts):
        allowed = "choose an attack on the update or the training, such as sign-flip"
        yield "poisoning.attack", f'"{given.poisoning.attack}"', allowed
    if study.removal is not None:
        yield "model.removal", f'"{given.model.removal}"', 'set it to "none"'
    for name, metric in study.metrics.items():
        if not getattr(metric, "multilabel", False):
            yield "evaluation.metrics", f'"{name}"', "leave it out"
    if evaluation.select == "best" and evaluation.select_by == "worst-client":
        yield "evaluation.select-by", '"worst-client"', "choose auc, balanced-accuracy, accuracy or loss"
    if "local" in evaluation.baselines:
        yield "evaluation.baselines", str(list(evaluation.baselines)), "leave local out"
    if hasattr(study.algorithm, "personal"):
        yield (
            "training.algorithm",
            f'"{training.algorithm}"',
            "choose one without personal models, such as fedavg",
        )
    if given.audit.enabled:
        yield "audit.enabled", "true", "its checks are those of classes; set audit.enabled = false"


def _attacks(evaluation: Evaluation, dataset: Dataset) -> Iterator[str]:
    for spec in evaluation.attacks:
        reason = fault(attack_named(spec))
        if reason:
            yield f'evaluation.attacks = "{spec}": {reason}'
    try:
        attacked_findings(evaluation.attacked_finding, dataset.label_names)
    except ValueError as error:
        yield f'evaluation.attacked-finding = "{evaluation.attacked_finding}": {error}'
