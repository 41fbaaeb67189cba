"""The fast gradient sign method."""

from dataclasses import dataclass
from typing import ClassVar

from fedrobust.evasion.attacks.gradient.gradient_attack import GradientAttack
from fedrobust.evasion.contract import ATTACKS
from fedrobust.evasion.kernels import random_start
from fedrobust.evasion.search_state import SearchState


@ATTACKS.register("fgsm")
@dataclass(frozen=True, kw_only=True)
class FGSM(GradientAttack):
    """One signed gradient step: x + epsilon sign(grad_x J(x, y)) (Goodfellow et al., 2014, arXiv:1412.6572, eq. 1).

    The sign does not depend on epsilon, so that all epsilons cost one gradient. In l2 the step is along the normalised
    gradient. With a target class it is Kurakin's one-step form (2016, arXiv:1611.01236).

    Attributes:
        random_start: start at a random image within the threat model (Tramèr et al., 2017, arXiv:1705.07204; Wong et
            al., 2020, arXiv:2001.03994); every epsilon then costs one gradient.
    """

    multilabel: ClassVar[bool] = True
    nests: ClassVar[bool] = False  # one step of the full epsilon, as in publications

    random_start: bool = False

    @property
    def starts_clean(self) -> bool:
        """Its gradient is taken at the clean image, which is evaluated with it."""
        return not self.random_start

    @property
    def passes(self) -> int:
        """One gradient and one query."""
        return 2

    def run(self, state: SearchState) -> None:
        """Take one step from the clean image."""
        if self.random_start:
            start = random_start(state, state.keys)
            gradient = state.gradient(start, self.climbed, self.aims(state)).gradients
            size = 1.25 * state.epsilon
            state.query(start + size * state.threat.steepest(gradient))
            state.keep()
            return

        def directions():  # type: ignore[no-untyped-def]
            seen = state.gradient(state.clean, self.climbed, self.aims(state), evaluate=not state.restart)
            return state.threat.steepest(seen.gradients)

        state.cached("direction", directions)
        state.keep()
        if len(state):
            state.query(state.clean + state.epsilon * state.cached("direction", directions))
            state.keep()
