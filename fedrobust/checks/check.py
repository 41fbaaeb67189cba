"""The checks of a study, in ascending order of cost.

The checks of networks are imported inside of functions: they start TensorFlow.
"""

from collections.abc import Iterable, Iterator

from fedrobust.checks import (
    availability,
    data,
    privacy,
    rules,
    secure_aggregation,
    settings,
    strengths,
    unused,
)
from fedrobust.checks.class_order import kept_head
from fedrobust.checks.detector import detector_fits
from fedrobust.checks.distillation import classes_teach, method_fits, teacher_fits, transfer_labels
from fedrobust.checks.multilabel import labels_fit
from fedrobust.config.resolve_training import (
    augmentations_of,
    loss_named,
    optimizer_of,
)
from fedrobust.errors import ConfigError, FedrobustError
from fedrobust.study import Study
from fedrobust.study.student import student_of
from fedrobust.training.recipes.recipe import shares_statistics


def check(study: Study) -> None:
    """Check a study before its first round.

    Raises:
        ConfigError: settings, names, files and data do not fit together; the message has a line for each fault.
        DataError: the images cannot be had, or do not go round.
    """
    check_data(study)
    check_models(study)


def check_data(study: Study) -> None:
    """Run the checks that do not need TensorFlow; see `check`."""
    given = study.experiment
    _refuse(
        settings.named(
            lambda: study.defence,
            lambda: study.server_optimizer,
            lambda: study.algorithm,
            lambda: study.postprocessors,
            lambda: study.metrics,
            lambda: study.attack,
            lambda: study.distillation_method,
        ),
        _members(study),
        _protected(study),
        _promised(study),
        _summed(study),
        settings.tolerated_fits(given.federation, study.sampled),
        settings.attackers(given.poisoning, given.federation.clients, given.seed),
        _losses(study),
        _rules(study),
        settings.knowledge_is_used(given.poisoning, lambda: (study.attack, study.schedule)),
        _attack_happens(study),
        settings.attack_changes_training(
            given.poisoning,
            given.training,
            given.federation.rounds,
            lambda: (study.attack, study.schedule),
            study.changed,
        ),
        unused.refused(given),
        strengths.strengths(given.evaluation),
        strengths.of_the_norm(given.evaluation, given.audit),
        strengths.grey_levels(given.evaluation, given.audit),
        settings.network_file(given.model, study.base, given.data.root),
        settings.weights_file(given.model, study.base, given.data.root),
        settings.control_file(given.audit, study.base),
    )
    _refuse(labels_fit(study))
    _ = study.partition
    _refuse(
        settings.site_sizes(given.federation, study.defence.rule),
        kept_head(given.model, study.dataset, study.base, given.data.root),
        data.root_images(study.defence.rule, given.federation.aggregator, len(study.dataset.validation)),
        _attack(study),
        data.strengths_fit(given.evaluation, given.audit, given.model.image_size, study.problem),
        data.public_images(given.distillation, study.dataset, lambda: study.public),
        _distillation(study),
    )


def check_models(study: Study) -> None:
    """Check that recipes, attacks and networks fit the study's images; see `check`."""
    # Starts TensorFlow.
    from fedrobust.checks import models

    given = study.experiment
    _refuse(
        settings.named(
            lambda: study.recipe,
            lambda: optimizer_of(given.training, given.base),
            lambda: study.prediction_defence,
            lambda: study.detector,
            lambda: study.removal,
        ),
        settings.defended_space(given.model, given.evaluation),
        settings.detector_measured(given.model, given.evaluation, given.audit),
        _detector(study),
        models.networks(given.model, given.distillation, study.problem, study.network_name),
        models.normalised_alone(given.model, given.training, lambda: study.classifier),
        models.student_normalised_alone(
            given.distillation, lambda: _transfer_images(study), lambda: student_of(study)
        ),
        models.server_normalised_alone(
            given.model, study.defence.rule, given.federation.aggregator, lambda: study.classifier
        ),
        secure_aggregation.statistics_averaged(
            given.federation, shares_statistics(study.recipe), given.training.recipe
        ),
        privacy.statistics_sent(given.federation, study.promise, given.training, study.recipe),
        privacy.no_batch_statistics(given.privacy, given.model, lambda: study.classifier),
        models.rule_reads(study.defence.rule, given.federation.aggregator, lambda: study.classifier),
        rules.rule_sees(
            given.federation,
            given.training,
            study.defence.rule,
            study.algorithm,
            study.promise is not None,
            lambda: study.classifier.layout,
        ),
        models.attack_reads(study.attack, given.poisoning.attack, given.training, lambda: study.classifier),
        models.statistics_shared(
            given.model, given.training, study.recipe, study.algorithm, lambda: study.classifier
        ),
        models.second_batchnorm(given.model, given.training, study.recipe, lambda: study.classifier),
        models.algorithm_fits(given.model.name, given.training, study.algorithm, lambda: study.classifier),
        models.evasion(given.evaluation.attacks, study.problem, lambda: study.threat, study.evasion),
    )


def _transfer_images(study: Study) -> int:
    """Return the number of images that the student learns from, without their copies."""
    return len(study.dataset.validation) if study.public is None else len(study.public.images)


def check_protection(study: Study) -> None:
    """Check at a site that what protects its images holds, without trust in the server; needs none of its images.

    Raises:
        ConfigError: a promise of privacy is broken by another setting; the message has a line for each fault.
    """
    given = study.experiment
    _refuse(
        _protected(study),
        _promised(study),
        privacy.nothing_sent_beside(given.privacy, given.training, study.algorithm),
        privacy.no_batch_statistics(given.privacy, given.model, lambda: study.classifier),
    )


def _detector(study: Study) -> Iterator[str]:
    images = len(study.dataset.validation)
    yield from detector_fits(study.experiment.model, study.detector, study.prediction_defence, images)


def _distillation(study: Study) -> Iterator[str]:
    given, method = study.experiment, study.distillation_method
    loss = loss_named(given.training, given.base)
    native = min(study.problem.image_shape[:2])
    yield from method_fits(given.distillation, given.model, given.training, method, loss, native)
    yield from teacher_fits(
        given.distillation, given.poisoning, given.training, study.attack, study.algorithm
    )
    yield from classes_teach(given.distillation, given.federation, given.training, method, loss)
    names, multilabel = study.dataset.label_names, study.dataset.multilabel
    yield from transfer_labels(given.distillation, method, names, multilabel, lambda: study.public)


def _members(study: Study) -> Iterator[str]:
    given = study.experiment
    yield from availability.members(given.federation, study.schedule.malicious, study.availability)


def _attack_happens(study: Study) -> Iterator[str]:
    given = study.experiment
    yield from availability.attack_happens(
        given.federation, given.poisoning, study.schedule, study.availability
    )


def _protected(study: Study) -> Iterator[str]:
    given = study.experiment
    yield from settings.protected(given.federation, given.training, study.algorithm, study.postprocessors)


def _promised(study: Study) -> Iterator[str]:
    """Yield why the promise of the clients would not hold."""
    given, promise = study.experiment, study.promise
    federation, training, algorithm = given.federation, given.training, study.algorithm
    yield from privacy.promised(federation, study.postprocessors)
    yield from privacy.last_model_kept(federation, given.evaluation, study.postprocessors)
    yield from privacy.sensitivity_known(federation, promise, study.defence.rule, study.defence.before)
    yield from privacy.sampling_known(federation, promise, training, algorithm)
    yield from privacy.nothing_beside(federation, promise, given.distillation)
    yield from privacy.delta_small(given.privacy, promise, federation.clients)
    yield from privacy.losses_unread(given.privacy, federation, study.defence.rule)
    yield from privacy.examples_protected(
        given.privacy,
        given.data,
        training,
        algorithm,
        study.attack,
        given.distillation,
        loss_named(training, given.base),
        augmentations_of(training, given.base),
    )


def _summed(study: Study) -> Iterator[str]:
    """Yield what needs single updates, which secure aggregation hides."""
    given, defence = study.experiment, study.defence
    yield from secure_aggregation.sums_suffice(given.federation, defence.rule, defence.before)
    yield from secure_aggregation.nobody_looks(
        given.federation,
        given.poisoning,
        given.distillation,
        study.postprocessors,
        study.attack,
        study.sampled,
    )


def _losses(study: Study) -> Iterator[str]:
    given = study.experiment
    yield from settings.losses_compare(given.federation, given.training, study.defence.rule, study.attack)


def _rules(study: Study) -> Iterator[str]:
    given, defence = study.experiment, study.defence
    yield from rules.updates_to_scale(given.federation, given.training, defence.rule, study.algorithm)
    yield from rules.fused_as_trained(given.federation, given.training, defence.rule)
    yield from rules.claims_count(given.federation, given.poisoning, study.attack, defence, study.sampled)
    yield from rules.knowledge_suffices(
        given.federation, given.poisoning, study.attack, defence, study.sampled
    )


def _attack(study: Study) -> Iterator[str]:
    """Yield why the poisoning attack does not fit the images, or else why it would change nothing."""
    attack, name = study.attack, study.experiment.poisoning.attack
    misfits = list(data.attack_fits(attack, name, study.problem, study.experiment.model.image_size))
    malicious = data.looked_at(study.schedule.malicious, study.partition)
    yield from misfits or data.attack_acts(attack, name, malicious, study.shard, study.attack_context)


def _refuse(*checks: Iterable[str]) -> None:
    """Run all `checks`, each of which yields errors, and raise one error with all of them."""
    found: list[str] = []
    for one in checks:
        found += _told(one)
    if found:
        raise ConfigError("\n".join(dict.fromkeys(found)))


def _told(check: Iterable[str]) -> Iterator[str]:
    try:
        yield from check
    except FedrobustError as error:
        yield str(error)
