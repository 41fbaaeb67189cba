"""Scale the update: boosting and model replacement."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedrobust.bounds import Real
from fedrobust.poisoning.context import AttackContext
from fedrobust.poisoning.contract import POISONING
from fedrobust.poisoning.update.finite import scaled


@POISONING.register("scaling")
@dataclass(frozen=True, kw_only=True)
class Scaling:
    """Multiply the update: explicit boosting (Bhagoji et al., 2018, arXiv:1811.12470, section 3.2).

    Attributes:
        factor: what it is multiplied by.
        statistics: ``honest``: BatchNorm statistics are sent as they were measured, as in the code of Sun et al. (2019,
            arXiv:1911.07963), which boosts trainable variables; ``same``: they are scaled like weights.
    """

    factor: Real = 10.0
    statistics: Literal["honest", "same"] = "honest"

    def update(self, update: np.ndarray, context: AttackContext) -> np.ndarray:
        """Return the scaled update."""
        return scaled(update, self.factor)


@POISONING.register("model-replacement")
@dataclass(frozen=True, kw_only=True)
class ModelReplacement:
    """Scale the update so that the mean becomes the attacker's model (Bagdasaryan et al., 2018, arXiv:1807.00459).

    The paper's gamma = n / eta for one attacker and weights that are equal (section 4.2; here eta is 1): n is how many
    clients take part in a round. With several attackers it is divided by how many of them a round has (their code:
    ``scale_weights / current_number_of_adversaries``). A client does not know who else was drawn: it takes the number
    expected, given that it was drawn itself, 1 + (m - 1)(n - 1) / (N - 1); that is m with full participation. A mean
    weighted by images is replaced as far as attackers have as many images as others. Put it behind what the model is
    to learn: ``"pixel-backdoor + model-replacement"``.

    Attributes:
        statistics: ``same``: BatchNorm statistics are scaled like weights, as in the code of the paper and of Xie et
            al. (DBA, ICLR 2020), which scale all of a model's state; ``honest``: they are sent as they were measured.
            Where the server averages moments, second moments are scaled, and the mean becomes the attacker's as long as
            that needs no variance below 0. It does where the means differ much: the variance that the attacker sends is
            that of a linear scaling less gamma (gamma - 1) times the squared difference of the means. It sends 0 there,
            and exact replacement is impossible. A server that recalibrates (``model.batchnorm-policy``, the default
            with 64 validation images) uses neither.
    """

    statistics: Literal["honest", "same"] = "same"

    def update(self, update: np.ndarray, context: AttackContext) -> np.ndarray:
        """Return the scaled update."""
        return scaled(update, self.factor(context))

    def factor(self, context: AttackContext) -> float:
        """Return what the update is multiplied by.

        Example:
            >>> ModelReplacement().factor(AttackContext(clients=10, malicious=2))
            5.0
            >>> round(ModelReplacement().factor(AttackContext(clients=100, sampled=10, malicious=10)), 2)
            5.5
        """
        return context.participants / context.expected_malicious

    def remarks(self, context: AttackContext) -> list[str]:
        """Return the factor where it is an expected one."""
        if context.participants == context.clients:
            return []
        return [
            f"model-replacement scales by {self.factor(context):.2f}: {context.participants} clients of a round over "
            f"{context.expected_malicious:.2f} malicious ones that are expected in it"
        ]
