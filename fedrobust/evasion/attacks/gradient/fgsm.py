"""The fast gradient sign method."""

from dataclasses import dataclass

from fedrobust.evasion.attacks.gradient.gradient_attack import GradientAttack
from fedrobust.evasion.contract import ATTACKS
from fedrobust.evasion.kernels import random_start
from fedrobust.evasion.search_state import SearchState


@ATTACKS.register("fgsm")
@dataclass(frozen=True, kw_only=True)
class FGSM(GradientAttack):
    """One signed step up the loss: x + epsilon sign(grad_x J(x, y)) (Goodfellow et al., 2014, arXiv:1412.6572, eq. 1).

    The sign does not depend on epsilon, so that a whole list of epsilons costs one gradient. In the norm l2 the step
    is along the gradient itself. Towards a target class it is Kurakin's one-step form (2016, arXiv:1611.01236).

    Attributes:
        random_start: begin at a random point of the threat (Tramèr et al., 2017, arXiv:1705.07204; Wong et al., 2020,
            arXiv:2001.03994); every epsilon then costs a gradient of its own.
    """

    random_start: bool = False

    @property
    def starts_clean(self) -> bool:
        """Its gradient is taken at the clean image, which it judges."""
        return not self.random_start

    @property
    def passes(self) -> int:
        """A gradient, and a look at the result."""
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
            seen = state.gradient(state.clean, self.climbed, self.aims(state), judge=not state.fresh)
            return state.threat.steepest(seen.gradients)

        state.once("direction", directions)
        state.keep()
        if len(state):
            state.query(state.clean + state.epsilon * state.once("direction", directions))
            state.keep()
