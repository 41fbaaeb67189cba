"""The last layer of a classifier, from features to outputs, and the layer of logits that it stands for."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Activation = Literal["", "softmax", "sigmoid"]


@dataclass(frozen=True, eq=False)
class Head:
    """The last layer of a classifier.

    Attributes:
        kernel: (features, outputs) float32.
        bias: (outputs,) float32.
        activation: of its outputs; empty: none.
    """

    kernel: np.ndarray
    bias: np.ndarray
    activation: Activation

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return len(self.bias)

    def logits(self, classes: int, multilabel: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return kernel and bias of one logit a class, or a finding.

        One output z with a sigmoid becomes the two logits -z/2 and z/2, whose softmax is the same. Of findings, each
        has an output of its own, without activation or with a sigmoid.

        Args:
            classes: number of the data's classes or findings.
            multilabel: whether they are findings, which may occur together.

        Raises:
            ValueError: it has other outputs, or an activation of the other kind; the message says which.

        Example:
            >>> head = Head(np.full((3, 1), 4.0), np.full(1, 2.0), "sigmoid")
            >>> kernel, bias = head.logits(2)
            >>> kernel[0].tolist(), bias.tolist()
            ([-2.0, 2.0], [-1.0, 1.0])
        """
        if self.outputs == 1 and classes == 2 and self.activation == "sigmoid" and not multilabel:
            signs = np.array([-0.5, 0.5], self.kernel.dtype)
            return self.kernel * signs, self.bias * signs
        if self.outputs != classes:
            what = "output" if self.outputs == 1 else "outputs"
            of = "findings" if multilabel else "classes"
            raise ValueError(f"its last layer has {self.outputs} {what}, the data {classes} {of}")
        if multilabel and self.activation == "softmax":
            raise ValueError(
                f"its last layer has {self.outputs} outputs with a softmax, which exclude each other; the data's "
                "findings may occur together"
            )
        if self.activation == "sigmoid" and not multilabel:
            raise ValueError(
                f"its last layer has {self.outputs} outputs with a sigmoid, which tell findings apart that may occur "
                "together; classes exclude each other"
            )
        return self.kernel, self.bias
