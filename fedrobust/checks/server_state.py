"""Algorithms whose state at the server counts clients alike, beside a rule that counts images."""

from collections.abc import Iterator

from fedrobust.config import Experiment
from fedrobust.spec import Spec

ALIKE = ("scaffold", "feddyn")
"""Algorithms that add the share of clients that took part, times the aggregate, to a state at the server."""


def told_of_weights(study: Experiment) -> Iterator[str]:
    """Yield a sentence if the server's state does not fit the weights of the mean.

    With a mean weighted by images, (clients of the round / all clients) times the mean of a round is not the mean over
    all clients, and a state that sums it over rounds ends beside the optimum if shards are of unequal size.

    Example:
        >>> for said in told_of_weights(Experiment.of(training__algorithm="feddyn", federation__participation=0.5)):
        ...     print(said[:70])
        training.algorithm = "feddyn" with federation.participation = 0.5: the
        >>> list(told_of_weights(Experiment.of(training__algorithm="feddyn")))
        []
    """
    federation, rule = study.federation, Spec.parse(study.federation.aggregator)
    algorithm = Spec.parse(study.training.algorithm).name
    by_images = rule.name == "mean" and rule.settings.get("weighting") != "uniform"
    if algorithm in ALIKE and by_images and federation.participation < 1:
        yield (
            f'training.algorithm = "{study.training.algorithm}" with federation.participation = '
            f"{federation.participation:g}: the server's state counts clients alike, and federation.aggregator = "
            f'"{federation.aggregator}" counts images; if shards are of unequal size, training ends beside the '
            "optimum: choose \"mean(weighting='uniform')\""
        )
