"""FedDF: average the clients' models, then distil their ensemble into the average."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.aggregation.answers import Fusion
from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext, known
from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import Count, Positive, Whole


@RULES.register("feddf")
@dataclass(frozen=True, kw_only=True)
class FedDF:
    """Distil the ensemble of the clients' models into their average (Lin et al., 2020, arXiv:2006.07242, Algorithm 1).

    The clients' mean, weighted by their claimed images, is trained by Adam to minimise KL(mean of the clients' logits
    || own logits) on the server's images without their labels (equation 1): those of the validation split. Every client
    counts alike in the ensemble. The next round continues from the fused model.

    In the paper the steps, up to 10,000, end when the accuracy on other validation images does; here their number is
    fixed, because the validation images are those of the distillation. BatchNorm statistics stay the clients' mean, or
    are measured anew, also of the teachers, where the study recalibrates.

    It tolerates no malicious client: it starts from a mean, and one client's large logits can be those of the ensemble.
    The server needs single models, so that secure aggregation excludes it.

    Attributes:
        steps: of gradient descent in a round.
        batch_size: images in a step.
        learning_rate: Adam's at the first step of a round; it decays by a cosine (Appendix B: 0.001).
        temperature: divides the logits of both; the paper has 1.
        images: number of the server's images; 0: all of the validation split.

    Raises:
        InfeasibleError: statistics or models are not known.

    Example:
        >>> class HalfWay:  # a model that one step takes half way to the mean of its teachers
        ...     def fused(self, models, start, fusion, round):
        ...         mean = np.mean([update for update, statistics in models], axis=0)
        ...         return start[0] + (1 - 0.5**fusion.steps) * (mean - start[0])
        >>> updates = Updates.of(np.array([[0.0], [8.0]], np.float32))
        >>> context = AggregationContext(
        ...     np.arange(2), np.array([30, 10]), statistics=np.zeros((2, 0)), model=HalfWay()
        ... )
        >>> FedDF(steps=1)(updates, context).update.tolist()  # from the mean 2, half way to 4
        [3.0]
    """

    AVERAGES: ClassVar[bool] = True
    OWN_STATISTICS: ClassVar[bool] = True
    TO_SCALE: ClassVar[bool] = True

    steps: Count = 200
    batch_size: Count = 64
    learning_rate: Positive = 0.001
    temperature: Positive = 1.0
    images: Whole = 0

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the update of the fused model; the influence is that of the mean before."""
        model = known(context.model, self, "answers of models (model)")
        statistics = known(context.statistics, self, "the clients' BatchNorm statistics (statistics)")
        sizes = np.maximum(np.asarray(context.examples, np.float64), 1e-12)
        shares = sizes / sizes.sum()

        fusion = Fusion(
            images=self.images,
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            temperature=self.temperature,
        )
        start = updates.combined(shares), np.asarray(shares @ statistics, np.float32)
        fused = model.fused(zip(np.asarray(updates), statistics, strict=True), start, fusion, context.round)
        return Aggregation(np.asarray(fused, np.float32), shares)
