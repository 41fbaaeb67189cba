"""Size, memory, latency, accuracy and agreement of an exported file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedrobust.data.label_sets import packed
from fedrobust.edge.interpreter import Images
from fedrobust.edge.latency import Latency, measure_latency
from fedrobust.edge.memory import peak_memory
from fedrobust.edge.runner import opened
from fedrobust.evaluation.metrics import Metrics, NotFiniteError, measure
from fedrobust.evaluation.multilabel import measure_multilabel


@dataclass(frozen=True)
class EdgeResult:
    """The figures of one exported file; make it with `measure_export`.

    Args:
        format: a name of `fedrobust.edge.formats.FORMATS`.
        file: file name, without its folder.
        bytes: size of the file.
        changed: number of images on which the file names another class, or other findings, than the Keras model.
        max_logit_difference: largest distance of one of its logits from the Keras model's.
        latency: of one image.
        metrics: of its own logits.
        peak_bytes: what it adds to a process' memory, see `fedrobust.edge.memory.peak_memory`; None: not measured.
    """

    format: str
    file: str
    bytes: int
    changed: int
    max_logit_difference: float
    latency: Latency
    metrics: Metrics
    peak_bytes: int | None = None

    @property
    def agreement(self) -> float:
        """Share of images on which file and Keras model name the same class, or the same findings."""
        return (self.metrics.n - self.changed) / self.metrics.n

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
    memory: bool = False,
) -> EdgeResult:
    """Run the exported file at `path` on `images`, and compare it with its Keras model.

    Args:
        path: a file written by `fedrobust.edge.export.export`: ``<stem>.<format>.tflite`` or ``<stem>.onnx``.
        model_logits: the Keras model's logits of the same images, shape (n, classes).
        images: shape (n, height, width, channels), floats in [0, 1].
        labels: true classes or label sets, shape (n,).
        multilabel: whether `labels` are label sets, and logits findings.
        threads: threads of one inference.
        warmups: untimed runs before the latency's.
        runs: timed runs.
        memory: whether the peak memory is measured, in a process of its own.

    Raises:
        ValueError: shapes do not fit each other, `images` leave [0, 1], or logits are not finite.
    """
    interpreter = opened(path, threads)
    logits = interpreter.logits(images)
    if model_logits.shape != logits.shape:
        raise ValueError(f"model_logits have shape {model_logits.shape}: the file's have {logits.shape}")
    try:
        metrics = measure_multilabel(labels, logits) if multilabel else measure(labels, logits)
    except NotFiniteError as error:
        raise NotFiniteError(f"{path.name}: {error}") from error
    return EdgeResult(
        format="onnx" if path.suffix == ".onnx" else path.name.removesuffix(".tflite").rpartition(".")[2],
        file=path.name,
        bytes=path.stat().st_size,
        changed=int((_answers(logits, multilabel) != _answers(model_logits, multilabel)).sum()),
        max_logit_difference=float(np.abs(logits - model_logits).max()),
        latency=measure_latency(interpreter, images[0], warmups, runs),
        metrics=metrics,
        peak_bytes=peak_memory(path) if memory else None,
    )


def _answers(logits: NDArray[np.floating], multilabel: bool) -> NDArray[np.int64]:
    """Return the class, or the label set, of each row of `logits`, (n,)."""
    return packed(logits > 0).astype(np.int64) if multilabel else logits.argmax(axis=1)
