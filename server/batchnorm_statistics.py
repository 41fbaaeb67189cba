"""The next BatchNorm statistics from those of the clients of a round."""

import numpy as np

from fedrobust.aggregation import (
    Aggregation,
    AggregationPipeline,
    averages,
    coordinate_median,
    streams,
)
from server.accumulators import Collected


def next_statistics(
    defence: AggregationPipeline, aggregation: Aggregation, collected: Collected, current: np.ndarray
) -> np.ndarray:
    """Return the next BatchNorm statistics, followed by the aggregates of the algorithm's arrays beside weights.

    With a mean of weights they are the clients' mean statistics, with the same weights. With a robust rule they are
    the median over the accepted clients, so that they tolerate attackers, too. Clients that measured none do not count;
    if no other is left, or the rule accepts nobody, the statistics stay as they are, and the arrays are zero.

    Args:
        defence: pre-aggregators and rule.
        aggregation: their result.
        collected: the clients' statistics and arrays.
        current: (s,) the statistics that the clients were sent.
    """
    influence = aggregation.influence
    if influence is not None and not influence.any():
        beside = collected.statistics.shape[1] - len(current)
        return np.concatenate([current, np.zeros(beside, np.float32)])
    everybody = np.ones(len(collected.client_ids), bool)
    found = _aggregate(defence, aggregation, collected, everybody)
    if collected.measured.all():
        return found
    measured = collected.measured
    if influence is not None:
        measured = measured & (influence > 0)
    found[: len(current)] = current
    if measured.any():
        found[: len(current)] = _aggregate(defence, aggregation, collected, measured)[: len(current)]
    return found


def _aggregate(
    defence: AggregationPipeline, aggregation: Aggregation, collected: Collected, counted: np.ndarray
) -> np.ndarray:
    """Return the mean or the median of the rows of the clients in the mask `counted`, at least one."""
    rows, influence = collected.statistics, aggregation.influence
    if streams(defence.rule) and not defence.before:
        typical = float(np.median(collected.examples)) if collected.typical is None else collected.typical
        mean = defence.rule.start(rows.shape[1])
        for row, claim in zip(rows[counted], collected.examples[counted], strict=True):
            mean.add(row, defence.rule.weight(int(claim), typical))
        return mean.result()
    if averages(defence.rule) and not defence.before and influence is not None:
        shares = influence * counted
        return np.asarray(shares @ rows / shares.sum(), np.float32)
    accepted = counted if influence is None else counted & (influence > 0)
    return coordinate_median(rows, None if accepted.all() else np.flatnonzero(accepted))
