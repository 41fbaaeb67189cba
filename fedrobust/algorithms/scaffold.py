"""Control variates against client drift."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.algorithms.contract import ALGORITHMS, Received, State, Train
from fedrobust.models.layout import Layout, Weights


@ALGORITHMS.register("scaffold")
@dataclass(frozen=True, kw_only=True)
class Scaffold:
    """Correct each gradient by the difference of global and own control variate (Karimireddy et al., 2019).

    arXiv:1910.06378, Algorithm 1: a client steps along g_i(y) - c_i + c, so that with unlike clients each one's steps
    lead where the mean of all gradients does. Afterwards c_i is the mean of its own gradients along its steps: with
    plain SGD that is the paper's option II, c_i - c + (x - y_i) / (K lr), and it is the same with any optimiser. The
    server adds the share of the population that took part, times the mean of the changes of c_i, to c. What is sent is
    twice as much as in federated averaging, either way.

    Malicious clients: c is a second way into the model. Every honest client adds it to each of its gradients, so that a
    poisoned c acts on all clients, in all later rounds, and no rule sees the update that it makes in honest hands. With
    a rule other than a mean, c moves by the median of the changes among the accepted clients; with a mean, one client
    can move it at will, by up to 1e6 a number. Differential privacy by `federation.postprocessors` is refused: the
    control variates would leave the clients unprotected.
    """

    steered: ClassVar[bool] = True

    def client(
        self, start: Weights, state: State, train: Train
    ) -> tuple[Weights, State, dict[str, np.ndarray]]:
        """Return the corrected weights, the client's new control variate, and the change of it."""
        none = np.zeros_like(start.trainable)
        own = state.get("control", none)
        trained = train(start, correction=train.told.get("control", none) - own)
        assert trained.gradient is not None  # of a steered update
        return trained, {"control": trained.gradient}, {"control": trained.gradient - own}

    def sends(self, layout: Layout) -> dict[str, int]:
        """Return the length of a control variate."""
        return {"control": layout.parameters}

    def tells(self, memory: State) -> State:
        """Return the global control variate."""
        return memory

    def server(
        self, update: np.ndarray, memory: State, received: Received
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return the update as it is, and the new global control variate."""
        before = memory.get("control", np.zeros_like(update))
        change = np.float32(received.share) * received.arrays["control"]
        return update, {"control": np.asarray(before + change, np.float32)}
