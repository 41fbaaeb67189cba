"""The model that all training images in one place come to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fedrobust.aggregation import Memory
from fedrobust.data.dataset import Split
from fedrobust.models.layout import Weights
from fedrobust.runs.record import EvaluationRecord, MetricsRecord
from fedrobust.study.local_training import LocalTraining
from server.stages.evaluation import Evaluator
from server.weight_average import WeightAverage

CLIENT = 0
"""Whose draws are used."""


@dataclass(frozen=True, eq=False)
class CentralBaseline:
    """Trains one model on all training images, as one client that has them all.

    It begins with the weights that the federation begins with, and makes about as many steps as all clients of the
    federation do together: a pass over the images for every pass that a client makes.

    Attributes:
        training: of a client in a round.
        images: the training split, as it is without malicious clients.
        start: the first weights.
        rounds: in which it trains, ascending: as many as a client takes part in on average.
        average: of the weights over rounds, where the study evaluates that.
        evaluator: of the global model.
        measure: returns weights with BatchNorm statistics as the study measures those of the global model; None where
            it does not.
    """

    training: LocalTraining
    images: Split
    start: Weights
    rounds: Sequence[int]
    evaluator: Evaluator
    average: WeightAverage | None = None
    measure: Callable[[Weights], Weights] | None = None

    def __call__(self) -> MetricsRecord | None:
        """Return the figures of the model after the last round on the test images.

        Raises:
            NotFiniteError: it answers with numbers that are not finite.
        """
        return EvaluationRecord.of(self.evaluator.test(self.trained(), attacked=False)).clean

    def trained(self) -> Weights:
        """Return the weights after the last round."""
        weights = found = self.start
        memory: Memory = {}
        for round in self.rounds:
            weights, _ = self.training(self.images, weights, round, CLIENT)
            found = weights
            if self.average is not None:
                found, memory = self.average.after(weights, memory)
        return found if self.measure is None else self.measure(found)
