"""Checks of secure aggregation: the server sees sums alone, and all that needs single updates is refused by name."""

from collections.abc import Iterator, Sequence
from typing import Any

from fedrobust.aggregation import Mean
from fedrobust.config.sections import Distillation, Federation, Poisoning
from fedrobust.poisoning import Attack
from fedrobust.privacy import looks_at_replies

NAMED = "federation.secure-aggregation = true"
FEWEST = 2
"""Fewest clients in a sum: that of one is its update."""


def sums_suffice(federation: Federation, rule: Any, before: Sequence[Any]) -> Iterator[str]:
    """Rule and pre-aggregators need no single update.

    Args:
        federation: names them.
        rule: of the study.
        before: its pre-aggregators.
    """
    if not federation.secure_aggregation:
        return
    allowed = '"mean" or "mean(weighting=\'uniform\')"'
    sums = isinstance(rule, Mean) and rule.streams and rule.weighting != "capped"
    if not sums:
        yield (
            f'federation.aggregator = "{federation.aggregator}" with {NAMED}: the rule needs single updates or sizes, '
            f"and the server sees only their sum; allowed is {allowed}: robust rules and secure aggregation exclude "
            "each other"
        )
    if before:
        yield (
            f"federation.pre-aggregators = {list(federation.pre_aggregators)} with {NAMED}: they change single "
            "updates, which the server does not see; take them out"
        )


def nobody_looks(
    federation: Federation,
    poisoning: Poisoning,
    distillation: Distillation,
    postprocessors: Sequence[Any],
    attack: Attack,
    sampled: int,
) -> Iterator[str]:
    """No mechanism, attack or teacher uses single updates, and sums are of several clients.

    Args:
        federation: names the postprocessors.
        poisoning: names the attack.
        distillation: names the teacher.
        postprocessors: of the study.
        attack: of the study.
        sampled: clients in a round.
    """
    if not federation.secure_aggregation:
        return
    if looks_at_replies(postprocessors):
        yield (
            f"federation.postprocessors = {list(federation.postprocessors)} with {NAMED}: the server cannot clip "
            "updates that it does not see, and a malicious client does not clip its own; choose "
            "gaussian-dp(noise='distributed') or noise='local'"
        )
    if attack and attack.colludes:
        yield (
            f'poisoning.attack = "{poisoning.attack}" with {NAMED}: it is computed from the updates of honest clients, '
            'which nobody sees; choose an attack of single clients, such as "sign-flip" or "scaling"'
        )
    if distillation.enabled and distillation.teacher in ("clients", "local-models"):
        yield (
            f'distillation.teacher = "{distillation.teacher}" with {NAMED}: the server would get the models of single '
            'clients, or what they answer; set distillation.teacher = "global-model"'
        )
    if sampled < FEWEST:
        yield (
            f"federation.participation = {federation.participation} with {NAMED}: {sampled} client in a round, whose "
            "sum is its update; sample at least 2"
        )


def statistics_averaged(federation: Federation, shared: bool, recipe: str) -> Iterator[str]:
    """BatchNorm statistics travel in the same sum, whoever changed them.

    Args:
        federation: of the study.
        shared: whether the recipe's statistics are taken only from clients that changed them.
        recipe: as in the study.
    """
    if federation.secure_aggregation and shared:
        yield (
            f'training.recipe = "{recipe}" with {NAMED}: the server takes BatchNorm statistics only from clients that '
            "changed them, and sees no single client's; choose another recipe"
        )
