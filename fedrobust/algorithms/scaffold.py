"""SCAFFOLD: control variates against client drift."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.algorithms.contract import ALGORITHMS, Received, State, Train
from fedrobust.models.layout import Layout, Weights


@ALGORITHMS.register("scaffold")
@dataclass(frozen=True, kw_only=True)
class Scaffold:
    """Correct each gradient by the difference of global and own control variate (Karimireddy et al., 2019).

    arXiv:1910.06378, Algorithm 1: a client's steps use g_i(y) - c_i + c, which with heterogeneous clients approximates
    the mean of all gradients. Afterwards c_i is the mean of the client's gradients along its steps: with plain SGD the
    paper's option II, c_i - c + (x - y_i) / (K lr), and defined for any optimiser. The server adds the mean change of
    c_i, times the share of the population that took part, to c. Where the rule weights clients by their images, it is
    the share of the weight, so that c is the weighted mean of all c_i (0 for clients that never took part) and the
    optimum is that of the weighted loss. Messages in both directions are twice as long as in federated averaging.

    Malicious clients: c is a second attack surface. Every honest client adds it to each of its gradients, so that a
    poisoned c affects all clients in all later rounds, and no rule can detect its effect in honest updates. With a rule
    other than a mean, c changes by the median over the accepted clients; with a mean, one client can change it
    arbitrarily, by up to 1e6 for each value. `federation.postprocessors` at clients are refused, because control
    variates would be sent without them.
    """

    steered: ClassVar[bool] = True

    def client(
        self, start: Weights, state: State, train: Train
    ) -> tuple[Weights, State, dict[str, np.ndarray]]:
        """Return the corrected weights, the client's new control variate, and the change of it."""
        none = np.zeros_like(start.trainable)
        own = state.get("control", none)
        trained = train(start, correction=train.broadcast.get("control", none) - own)
        assert trained.gradient is not None  # of a steered update
        return trained, {"control": trained.gradient}, {"control": trained.gradient - own}

    def sends(self, layout: Layout) -> dict[str, int]:
        """Return the length of a control variate."""
        return {"control": layout.parameters}

    def broadcasts(self, memory: State) -> State:
        """Return the global control variate."""
        return memory

    def server(
        self, update: np.ndarray, memory: State, received: Received
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return the update unchanged, and the new global control variate."""
        before = memory.get("control", np.zeros_like(update))
        change = np.float32(received.share) * received.arrays["control"]
        return update, {"control": np.asarray(before + change, np.float32)}
