"""Flower's arithmetic, round for round."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import strategy

from fedrobust.aggregation import SERVER_OPTIMIZERS
from fedrobust.flower.identity import server_identity

CASES = [
    (
        "fedavgm",
        strategy.FedAvgM,
        {"learning_rate": 0.5, "momentum": 0.8},
        {"server_learning_rate": 0.5, "server_momentum": 0.8},
    ),
    ("fedadam", strategy.FedAdam, {"eta": 0.03}, {"eta": 0.03}),
    ("fedyogi", strategy.FedYogi, {"eta": 0.02, "tau": 0.01}, {"eta": 0.02, "tau": 0.01}),
]


def reply(weights):
    content = RecordDict(
        {"arrays": ArrayRecord({"w": Array(weights)}), "metrics": MetricRecord({"num-examples": 1})}
    )
    return Message(content, reply_to=Message(RecordDict(), 0, "train"))


@pytest.mark.parametrize(("name", "theirs", "settings", "flower_settings"), CASES)
def test_flower(name, theirs, settings, flower_settings, draw):
    optimizer, flower = SERVER_OPTIMIZERS[name](**settings), theirs(**flower_settings)
    weights = expected = draw.standard_normal(50).astype(np.float32)
    memory = {}
    with server_identity():
        for round in range(1, 6):
            update = 0.1 * draw.standard_normal(50).astype(np.float32)
            flower.current_arrays = ArrayRecord({"w": Array(expected)})
            if name != "fedavgm":
                flower.current_arrays = {"w": expected}
            arrays, _ = flower.aggregate_train(round, [reply(expected + update)])
            expected = next(iter(arrays.values())).numpy()
            step, memory = optimizer(update, memory, round)
            weights = weights + step
            np.testing.assert_allclose(weights, expected, rtol=1e-4, atol=1e-6)
    assert step.dtype == np.float32
