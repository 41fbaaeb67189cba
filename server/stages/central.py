"""The central baseline: the model trained on all training images in one place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fedrobust.aggregation import Memory
from fedrobust.data.dataset import Split
from fedrobust.models.layout import Weights
from fedrobust.runs.record import EvaluationRecord, MetricsRecord
from fedrobust.study.local_training import LocalTraining
from server.stages.evaluation import Evaluator
from server.stages.measurable import measurable
from server.weight_average import WeightAverage

CLIENT = 0
"""The client number of its random numbers."""


@dataclass(frozen=True, eq=False)
class CentralBaseline:
    """Trains one model on all training images, as one client.

    It starts from the federation's initial weights, and makes about as many steps as all clients together: one pass
    over the images for each pass of a client.

    Attributes:
        training: of a client in a round.
        images: the training split, without poisoning.
        start: the initial weights.
        rounds: in which it trains, ascending; as many as a client is sampled in on average.
        average: of the weights over rounds, if the study evaluates that.
        evaluator: of the global model.
        measure: returns weights with recalibrated BatchNorm statistics, as for the global model; None: not done.
    """

    training: LocalTraining
    images: Split
    start: Weights
    rounds: Sequence[int]
    evaluator: Evaluator
    average: WeightAverage | None = None
    measure: Callable[[Weights], Weights] | None = None

    def __call__(self) -> MetricsRecord | None:
        """Return the metrics of the model after the last round on the test images.

        Raises:
            UnmeasurableError: its logits are not finite.
        """
        with measurable("the model of all images in one place (evaluation.baselines)"):
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
