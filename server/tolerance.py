"""The number of attackers that a study's defence tolerates, and the probability of more in a round."""

from collections.abc import Sequence

from fedrobust.aggregation import AggregationPipeline
from fedrobust.availability import Availability
from fedrobust.config.sections import Federation
from fedrobust.lazy import stats
from fedrobust.runs.record import ToleranceRecord
from fedrobust.shares import sample_size
from fedrobust.spec import Spec


def tolerance_of(
    federation: Federation,
    defence: AggregationPipeline,
    tolerated: int,
    malicious: Sequence[int],
    availability: Availability,
) -> ToleranceRecord:
    """Return the study's ``tolerance`` in ``result.json``.

    With participation below 1, the number of malicious clients in a round is random: of N clients, m of them malicious,
    n are sampled, and more than f of these are malicious with probability P(X > f), X ~ Hypergeometric(N, m, n).

    Args:
        federation: the study's settings.
        defence: its rules.
        tolerated: malicious clients of a round that the study tolerates.
        malicious: the malicious clients.
        availability: the clients'; where some join late or leave, the probability is that of the worst round.

    Returns:
        f is ``given`` by the study, in ``federation.tolerate`` or as a rule's own f; else it is the ``truth``: the
        expected number of attackers, rounded up, or its quantile if the study gives one: an oracle.
    """
    own = any(
        "f" in Spec.parse(each).settings for each in (federation.aggregator, *federation.pre_aggregators)
    )
    f = tolerated if defence.tolerated is None else defence.tolerated
    populations = set(availability.populations(federation.rounds, malicious, federation.clients))
    more = [
        probability_of_more(f, members, attackers, sample_size(federation.participation, members))
        for members, attackers in populations
    ]
    return ToleranceRecord(
        clients=f,
        source="given" if own or federation.tolerate is not None else "truth",
        quantile=federation.tolerate_quantile,
        given=defence.tolerated is not None,
        sampled=sample_size(federation.participation, federation.clients),
        malicious=len(malicious),
        population=federation.clients,
        probability_of_more=max(more) if malicious else None,
    )


def probability_of_more(tolerated: int, population: int, malicious: int, sampled: int) -> float:
    """Return the probability that more than `tolerated` of `sampled` clients, drawn without replacement, are malicious.

    Example:
        >>> probability_of_more(1, population=4, malicious=2, sampled=2)  # 1 of the 6 pairs
        0.16666666666666666
        >>> probability_of_more(2, population=4, malicious=2, sampled=2)
        0.0
    """
    return float(stats.hypergeom.sf(tolerated, population, malicious, sampled))
