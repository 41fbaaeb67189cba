"""What a malicious client keeps from round to round."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

Arrays = Mapping[str, np.ndarray]

RECORD = "attack"
"""The record of a node's state that holds a malicious client's memory."""

_OWN = "own/"


@dataclass(frozen=True, eq=False)
class AttackMemory:
    """A malicious client's memory, of the last round in which it took part.

    It lives with the client, as the state of a federated algorithm does: in the state of its Flower node. A simulation
    writes the nodes' states into its checkpoints, so that a resumed run continues with the same bits, and carries them
    to whichever thread or Ray worker runs the client next. In a deployment it is in the memory of the SuperNode. No
    client sees another one's memory: attackers who act alike use equal seeds and equal global weights.

    Attributes:
        round: that round; 0 if there was none.
        weights: the global weights (d,) float32 that the client was sent; None if not kept.
        update: the update (d,) float32 that it sent; None if not kept.
        own: what the attack itself keeps, by name.

    Example:
        >>> kept = AttackMemory(3, update=np.ones(2, np.float32), own={"trigger": np.zeros(1)})
        >>> again = AttackMemory.of(kept.arrays())
        >>> again.round, again.weights, again.update.tolist(), list(again.own)
        (3, None, [1.0, 1.0], ['trigger'])
    """

    round: int = 0
    weights: np.ndarray | None = None
    update: np.ndarray | None = None
    own: Arrays = field(default_factory=dict)

    @classmethod
    def of(cls, arrays: Arrays) -> "AttackMemory":
        """Return the memory that `arrays` hold; empty if there are none."""
        if not arrays:
            return cls()
        own = {name.removeprefix(_OWN): array for name, array in arrays.items() if name.startswith(_OWN)}
        return cls(int(arrays["round"][0]), arrays.get("weights"), arrays.get("update"), own)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the memory as arrays by name, which `of` reads."""
        found = {"round": np.array([self.round], np.int64)}
        if self.weights is not None:
            found["weights"] = self.weights
        if self.update is not None:
            found["update"] = self.update
        return found | {f"{_OWN}{name}": np.asarray(array) for name, array in self.own.items()}
