"""Checks of aggregation rules against what clients send them; no images are needed."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fedrobust.aggregation import AggregationContext, AggregationPipeline, Updates
from fedrobust.aggregation.rules.feddf import FedDF
from fedrobust.config.sections import Federation, Poisoning, Training
from fedrobust.errors import FedrobustError
from fedrobust.models.layout import Layout
from fedrobust.poisoning import Attack


def updates_to_scale(federation: Federation, training: Training, rule: Any, algorithm: Any) -> Iterator[str]:
    """A rule that knows the scale of an update gets updates as clients trained them, of all that they trained.

    Rules with ``TO_SCALE = True`` compare updates with the server's own, or ask the models that they lead to.

    Args:
        federation: names the rule.
        training: names the algorithm.
        rule: of the study.
        algorithm: of the study; with ``normalises = True`` its clients send updates divided by a factor, with
            ``average = False`` without the part that is their own.
    """
    if not getattr(rule, "TO_SCALE", False):
        return
    given = f'federation.aggregator = "{federation.aggregator}" with training.algorithm = "{training.algorithm}": '
    if not getattr(algorithm, "average", True):
        yield (
            f"{given}clients do not send the part that is their own, and the rule compares their updates with the "
            "server's own update of all parts, or asks models that have the initial part in its place; set average = "
            "True, or choose another rule"
        )
    if getattr(algorithm, "normalises", False):
        yield (
            f"{given}clients send their updates divided by their local steps, and the rule compares them with the "
            "server's own update or asks the models that they lead to; choose another algorithm, such as fedavg, or "
            "another rule"
        )


def fused_as_trained(federation: Federation, training: Training, rule: Any) -> Iterator[str]:
    """A rule that trains the fused model at the server trains the layers that the clients train.

    Args:
        federation: names the rule.
        training: names the layers of later rounds.
        rule: of the study.
    """
    if isinstance(rule, FedDF) and training.unfreeze:
        yield (
            f'federation.aggregator = "{federation.aggregator}" with training.unfreeze = {list(training.unfreeze)}: '
            "the server trains all layers in every round, also those that are still frozen, which keep none of it; "
            "take training.unfreeze out, or choose another rule"
        )


def rule_sees(
    federation: Federation,
    training: Training,
    rule: Any,
    algorithm: Any,
    hidden: bool,
    layout: Callable[[], Layout],
) -> Iterator[str]:
    """A rule that looks at a part of the model is sent it: ``READS`` names the statistics or the head.

    Args:
        federation: names the rule.
        training: names the algorithm.
        rule: of the study.
        algorithm: of the study.
        hidden: whether a promise of privacy replaces the statistics that clients send by the global ones.
        layout: returns the model's arrays.
    """
    reads = getattr(rule, "READS", "")
    kept = not getattr(algorithm, "average", True)
    name, own = (
        f'federation.aggregator = "{federation.aggregator}"',
        f'training.algorithm = "{training.algorithm}"',
    )
    if reads == "statistics" and hidden:
        yield (
            f"{name} with federation.postprocessors = {list(federation.postprocessors)}: the rule compares clients by "
            "their BatchNorm statistics, which this promise of privacy hides; choose another rule"
        )
    elif reads == "statistics" and kept and getattr(algorithm, "own_statistics", False):
        yield (
            f"{name} with {own}: the rule compares clients by their BatchNorm statistics, which they do not send; set "
            "average = True, or choose another rule"
        )
    elif reads == "head" and kept and algorithm.own(layout())[layout().head].all():
        yield (
            f"{name} with {own}: the rule compares clients by their output layers, which they do not send; set "
            "average = True, or choose another rule"
        )


def claims_count(
    federation: Federation, poisoning: Poisoning, attack: Attack, defence: AggregationPipeline, sampled: int
) -> Iterator[str]:
    """A false number of images alone is an attack on a rule that weights clients by it.

    Args:
        federation: names the rule.
        poisoning: names the attack.
        attack: of the study.
        defence: of the study.
        sampled: clients of a round.
    """
    if (
        attack
        and all(hasattr(part, "claim") for part in attack.parts)
        and not _weighs_claims(defence, sampled)
    ):
        yield (
            f'poisoning.attack = "{poisoning.attack}" with federation.aggregator = "{federation.aggregator}": this '
            "rule does not weight clients by the number of images that they claim, and nothing would change; choose "
            'federation.aggregator = "mean", or another attack'
        )


def knowledge_suffices(
    federation: Federation, poisoning: Poisoning, attack: Attack, defence: AggregationPipeline, sampled: int
) -> Iterator[str]:
    """Colluding clients that know their own updates only can try a defence without the server's images and memory.

    Args:
        federation: names the rule.
        poisoning: names the attack, and what it knows.
        attack: of the study.
        defence: of the study.
        sampled: clients of a round.
    """
    if poisoning.knowledge == "all" or not attack.probes:
        return
    given = (
        f'poisoning.knowledge = "own" with poisoning.attack = "{poisoning.attack}" and federation.aggregator = '
        f'"{federation.aggregator}"'
    )
    if getattr(defence.rule, "TO_SCALE", False):
        yield (
            f"{given}: the attack tries the rule, which needs images that only the server has; choose knowledge = "
            '"all", another rule, or an attack that does not try it, such as alie or min-max'
        )
    elif _remembers(defence, sampled):
        yield (
            f"{given}: the attack tries the rule, which remembers updates of earlier rounds that only the server has "
            'seen; choose knowledge = "all", another rule, or an attack that does not try it, such as alie or min-max'
        )


def _remembers(defence: AggregationPipeline, sampled: int) -> bool:
    """Return whether a tried aggregate leaves a memory; False where a rule cannot be tried: it needs the model."""
    n = min(sampled, 32)
    updates = np.random.default_rng(0).standard_normal((n, 16), dtype=np.float32)
    known = AggregationContext(
        np.arange(n), np.full(n, 100), losses=np.ones(n), current=np.ones(16, np.float32)
    )
    try:
        return bool(defence.among(n)(Updates(updates), known).memory)
    except (FedrobustError, ValueError, ArithmeticError):
        return False


def _weighs_claims(defence: AggregationPipeline, sampled: int) -> bool:
    """Return whether a tried aggregate depends on a client's claim; also where a rule cannot be tried."""
    n = min(sampled, 32)
    updates = np.random.default_rng(0).standard_normal((n, 16), dtype=np.float32)
    claims = np.full(n, 100)
    try:
        usual, other = (
            defence.among(n)(
                Updates(updates), AggregationContext(np.arange(n), each, losses=np.ones(n))
            ).update
            for each in (claims, np.where(np.arange(n) == 0, 10_000, claims))
        )
    except (FedrobustError, ValueError, ArithmeticError):  # it needs the model, or images
        return True
    return not np.allclose(usual, other)
