"""Size, latency, accuracy and agreement of an exported file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedrobust.data.label_sets import packed
from fedrobust.edge.interpreter import Images, Interpreter
from fedrobust.edge.latency import Latency, measure_latency
from fedrobust.evaluation.metrics import Metrics, measure
from fedrobust.evaluation.multilabel import measure_multilabel


@dataclass(frozen=True)
class EdgeResult:
    """The figures of one exported file; make it with `measure_export`.

    Args:
        format: "float32", "dynamic" or "int8".
        file: file name, without its folder.
        bytes: size of the file.
        agreement: share of images on which file and Keras model name the same class, or the same findings.
        max_logit_difference: largest distance of one of its logits from the Keras model's.
        latency: of one image.
        metrics: of its own logits.
    """

    format: str
    file: str
    bytes: int
    agreement: float
    max_logit_difference: float
    latency: Latency
    metrics: Metrics

    @property
    def accuracy(self) -> float:
        """Share of correctly classified images."""
        return self.metrics.accuracy


def measure_export(
    path: Path,
    model_logits: NDArray[np.floating],
    images: Images,
    labels: ArrayLike,
    multilabel: bool = False,
    *,
    threads: int = 1,
    warmups: int = 10,
    runs: int = 200,
) -> EdgeResult:
    """Run the exported file at `path` on `images`, and compare it with its Keras model.

    Args:
        path: a file written by `fedrobust.edge.export.export`: ``<stem>.<format>.tflite``.
        model_logits: the Keras model's logits of the same images, shape (n, classes).
        images: shape (n, height, width, channels), floats in [0, 1].
        labels: true classes or label sets, shape (n,).
        multilabel: whether `labels` are label sets, and logits findings.
        threads: threads of one inference.
        warmups: untimed runs before the latency's.
        runs: timed runs.

    Raises:
        ValueError: shapes do not fit each other, `images` leave [0, 1], or logits are not finite.
    """
    interpreter = Interpreter.open(path, threads)
    logits = interpreter.logits(images)
    if model_logits.shape != logits.shape:
        raise ValueError(f"model_logits have shape {model_logits.shape}: the file's have {logits.shape}")
    return EdgeResult(
        format=path.name.removesuffix(".tflite").rpartition(".")[2],
        file=path.name,
        bytes=path.stat().st_size,
        agreement=float(np.mean(_answers(logits, multilabel) == _answers(model_logits, multilabel))),
        max_logit_difference=float(np.abs(logits - model_logits).max()),
        latency=measure_latency(interpreter, images[0], warmups, runs),
        metrics=measure_multilabel(labels, logits) if multilabel else measure(labels, logits),
    )


def _answers(logits: NDArray[np.floating], multilabel: bool) -> NDArray[np.int64]:
    """Return the class, or the label set, of each row of `logits`, (n,)."""
    return packed(logits > 0).astype(np.int64) if multilabel else logits.argmax(axis=1)
