"""Resolve the names in a study's settings to objects; errors begin with the key."""

from typing import Any

from fedrobust.aggregation import (
    PRE_AGGREGATORS,
    RULES,
    SERVER_OPTIMIZERS,
    AggregationPipeline,
    ServerOptimizer,
)
from fedrobust.aggregation.contract import ByzantineTolerant
from fedrobust.aggregation.pipeline import check_stage
from fedrobust.availability import Availability
from fedrobust.config.messages import shown
from fedrobust.config.naming import make_importable, naming
from fedrobust.config.sections import (
    Data,
    Distillation,
    Evaluation,
    Federation,
    Poisoning,
)
from fedrobust.data.dataset import Dataset
from fedrobust.data.partition import Drawing, Partition, method_named, partition
from fedrobust.data.shifts import SiteShifts
from fedrobust.errors import ConfigError, FedrobustError
from fedrobust.evaluation.scores import METRICS, Metric
from fedrobust.evasion import Threat, attack_named
from fedrobust.poisoning import Attack
from fedrobust.privacy import POSTPROCESSORS, Cohort, Postprocessor
from fedrobust.privacy.cohort import Sampling
from fedrobust.shares import sample_size
from fedrobust.spec import Spec, SpecError, build
from fedrobust.training.distillation_methods import DISTILLATION_METHODS, DistillationMethod


def partition_of(
    data: Data, dataset: Dataset, clients: int, seed: int, base: str = ""
) -> Partition | Drawing:
    """Return the partition of the training images.

    Args:
        data: names the method.
        dataset: the images, with their sites.
        clients: number of clients.
        seed: the study's seed.
        base: folder of the study file, beside which modules of a user's own may lie.

    Raises:
        ConfigError: there is no such method, or it does not take the settings given.
        DataError: the images do not go round as asked.
    """
    make_importable(base)
    with naming("data.partition", data.partition):
        method_named(data.partition)
    labels, count = dataset.train.labels, dataset.problem.counts
    return partition(labels, clients, data.partition, seed=seed, sites=dataset.sites, count=count)


def site_shifts_of(data: Data, clients: int, base: str = "") -> SiteShifts:
    """Return what differs at the clients' hospitals.

    Raises:
        ConfigError: there is no such shift or client, or a shift does not take the settings given.
    """
    make_importable(base)
    with naming("data.site-shifts", list(data.site_shifts)):
        return SiteShifts.of(data.site_shifts, clients)


def availability_of(federation: Federation, base: str = "", malicious: tuple[int, ...] = ()) -> Availability:
    """Return who takes part in which round, whose replies are lost, and who is slow.

    Args:
        federation: names what clients do.
        base: folder of the study file.
        malicious: the malicious clients, which a line may mean.

    Raises:
        ConfigError: there is no such name or client, or it does not take the settings given.
    """
    make_importable(base)
    with naming("federation.availability", list(federation.availability)):
        return Availability.of(federation.availability, federation.clients, malicious)


def cohort_of(federation: Federation, malicious: int, delta: float) -> Cohort:
    """Return the clients of a round, as privacy mechanisms need them.

    Args:
        federation: clients, participation, sampling and rounds.
        malicious: most malicious clients in a round.
        delta: of the promise.
    """
    clients, share = federation.clients, federation.participation
    poisson = federation.sampling == "poisson"
    expected = share * clients if poisson else float(sample_size(share, clients))
    sampling: Sampling = "all" if expected == clients else "poisson" if poisson else "fixed"
    most = min(malicious, sample_size(share, clients))
    return Cohort(clients, expected, sampling, federation.rounds, most, delta)


def postprocessors_of(
    federation: Federation, malicious: int = 0, base: str = "", delta: float = 1e-3
) -> tuple[Postprocessor, ...]:
    """Return the postprocessors of updates.

    Args:
        federation: names them, and says how many clients take part in a round.
        malicious: most malicious clients in a round.
        base: folder of the study file, beside which modules of a user's own may lie.
        delta: of the study's promise.

    Raises:
        ConfigError: there is no such postprocessor, or it does not take the settings given.
    """
    make_importable(base)
    cohort = cohort_of(federation, malicious, delta)
    with naming("federation.postprocessors", list(federation.postprocessors)):
        made = [build(POSTPROCESSORS, each) for each in federation.postprocessors]
        return tuple(one.within(cohort) if hasattr(one, "within") else one for one in made)


def metrics_of(evaluation: Evaluation, base: str = "") -> dict[str, Metric]:
    """Return the metrics of ``evaluation.metrics`` by their names.

    Raises:
        ConfigError: there is no such metric, it does not take the settings given, or one stands twice.
    """
    make_importable(base)
    with naming("evaluation.metrics", list(evaluation.metrics)):
        if len(set(evaluation.metrics)) != len(evaluation.metrics):
            raise SpecError("one metric stands twice")
        return {name: build(METRICS, name) for name in evaluation.metrics}


def distillation_method_of(distillation: Distillation, base: str = "") -> DistillationMethod:
    """Return the method by which the student learns from its teacher.

    Raises:
        ConfigError: there is no such method, or it does not take the settings given.
    """
    make_importable(base)
    with naming("distillation.method", distillation.method):
        method: DistillationMethod = build(DISTILLATION_METHODS, distillation.method)
    return method


def defence_of(federation: Federation, tolerated: int, base: str = "") -> AggregationPipeline:
    """Return the server's pre-aggregators and aggregation rule.

    Args:
        federation: names them.
        tolerated: malicious clients of a round that they tolerate; see `fedrobust.config.tolerated.tolerated_of`.
        base: folder of the study file, beside which modules of a user's own may lie.

    Raises:
        ConfigError: there is no such rule, it wants settings that it has not got, or it cannot tolerate as many
            malicious clients among as many as take part in a round.
    """
    make_importable(base)
    sampled = sample_size(federation.participation, federation.clients)
    with naming("federation.pre-aggregators", list(federation.pre_aggregators)):
        before = tuple(build(PRE_AGGREGATORS, each, f=tolerated) for each in federation.pre_aggregators)
    with naming("federation.aggregator", federation.aggregator):
        if federation.aggregator.startswith("flower:"):
            # Importing flwr is slow, and few studies have one of its rules.
            from fedrobust.flower.rule import flower_rule

            rule = flower_rule(federation.aggregator, tolerated)
        else:
            rule = build(RULES, federation.aggregator, f=tolerated)
        defence = AggregationPipeline(rule, before, sampled)
    with naming("federation.pre-aggregators", list(federation.pre_aggregators)):
        defence.check_order()
    for place, (stage, seen) in enumerate(defence.stages(sampled)):
        key, value, advice = _source_of(federation, place, stage, seen)
        try:
            check_stage(stage, seen)
        except (FedrobustError, TypeError, ValueError) as error:
            raise ConfigError(f"{key} = {shown(value)}: {error}{advice}") from error
    return defence


def _source_of(federation: Federation, place: int, stage: Any, seen: int) -> tuple[str, object, str]:
    """Return the setting that a stage of the defence is infeasible by, its value, and advice.

    It is the stage's own, or ``federation.tolerate`` if that gives an f which is too large.

    Args:
        federation: names the stages.
        place: of the stage among them.
        stage: it.
        seen: number of updates that it gets.
    """
    specs, advice = (*federation.pre_aggregators, federation.aggregator), ""
    is_f = isinstance(stage, ByzantineTolerant) and stage.min_clients(stage.f) > seen
    if is_f and "f" not in Spec.parse(specs[place]).settings:
        if federation.tolerate is not None:
            return "federation.tolerate", federation.tolerate, ""
        if stage.f:
            advice = (
                "; f is the number of malicious clients in a round, unless federation.tolerate gives another"
            )
    if place < len(federation.pre_aggregators):
        return "federation.pre-aggregators", list(federation.pre_aggregators), advice
    return "federation.aggregator", federation.aggregator, advice


def server_optimizer_of(federation: Federation, base: str = "") -> ServerOptimizer | None:
    """Return the server optimiser, None for a plain step.

    Raises:
        ConfigError: there is no such optimiser, or it does not take the settings given.
    """
    name = federation.server_optimizer
    if name == "none":
        return None
    make_importable(base)
    with naming("federation.server-optimizer", name):
        optimizer: ServerOptimizer = build(SERVER_OPTIMIZERS, name)
    return optimizer


def attack_of(poisoning: Poisoning, base: str = "") -> Attack:
    """Return the study's poisoning attack; it is false if there is none.

    Raises:
        ConfigError: there is no such attack, or it does not take the settings given.
    """
    make_importable(base)
    with naming("poisoning.attack", poisoning.attack):
        return Attack.parse(poisoning.attack)


def threat_of(evaluation: Evaluation, base: str = "") -> Threat:
    """Return the threat model of a study's evasion attacks, after building each attack once.

    Raises:
        ConfigError: there is no such attack, it does not take the settings given, or does not search in the norm.
    """
    make_importable(base)
    threat = Threat(norm=evaluation.norm, space=evaluation.space, bits=evaluation.bits)
    for spec in evaluation.attacks:
        with naming("evaluation.attacks", spec):
            attack = attack_named(spec)
            if threat.norm not in attack.norms:
                raise SpecError(
                    f'it searches in {", ".join(attack.norms)}, evaluation.norm = "{threat.norm}"'
                )
    return threat
