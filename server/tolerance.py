"""The number of attackers that a study's defence tolerates, and the probability of more in a round."""

from collections.abc import Sequence

from fedrobust.aggregation import AggregationPipeline
from fedrobust.availability import Availability
from fedrobust.config.sections import Federation
from fedrobust.config.tolerated import in_a_round
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

    With participation below 1, the number of malicious clients in a round is random, see
    `fedrobust.config.tolerated.in_a_round`; the probability is that of more than f.

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
        float(in_a_round(federation.sampling, federation.participation, members, attackers).sf(f))
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
