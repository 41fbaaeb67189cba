"""Report a false training loss."""

from dataclasses import dataclass

from fedrobust.bounds import Real
from fedrobust.poisoning.contract import POISONING


@POISONING.register("false-loss")
@dataclass(frozen=True, kw_only=True)
class FalseLoss:
    """Report a training loss of the attacker's choice, against rules that weight clients by their losses.

    SFAT (Zhu et al., 2023, arXiv:2303.00250) favours small losses; no server can verify them. It is combined with an
    attack on the update, as in ``"sign-flip + false-loss"``.

    Attributes:
        loss: what is reported.
    """

    loss: Real = 0.0

    def claimed_loss(self, loss: float) -> float:
        """Return the loss that the client reports instead of `loss`, NaN if it did not train."""
        return self.loss
