"""Detectors of attacked images, on which a trained model abstains.

TensorFlow is imported inside functions, so that settings are checked without it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedrobust.api.model_request import check_epsilon, data_of, detector_for, interfaces_of
from fedrobust.config import ConfigError
from fedrobust.cores import cores
from fedrobust.detectors import DETECTORS
from fedrobust.epsilon import epsilon_value
from fedrobust.evasion import Threat
from fedrobust.runtime import start_tensorflow

if TYPE_CHECKING:
    import keras

    from fedrobust.models.interfaces import Texts

DEFAULT = "feature-squeezing"
"""The detector of a model whose study has none."""


def detect_attacks(
    model: "str | Path | keras.Model",
    data: str = "",
    detector: str = "",
    epsilon: float | str = "4/255",
    *,
    rate: float = 0.0,
    norm: str = "linf",
    split: str = "test",
    images: int = 0,
    seed: int = 0,
    input: "Texts" = "",
    labels: "Texts" = "",
    head: "Texts" = "",
    data_root: str | Path = "",
) -> dict[str, Any]:
    """Return what it costs to abstain where a detector is suspicious, and what an attacker who knows it leaves.

    The detector and its threshold are fitted to validation images. An image is robust if it is answered, and rightly,
    without an attack, and no attacked image is answered wrongly: abstaining on a clean image counts as an error,
    abstaining on an attacked one does not (Tramer, 2022, arXiv:2107.11630). An attacker who only wants no answer is
    not considered.

    Args:
        model: a ``.keras`` file, a run folder or a Keras model.
        data: a MedMNIST name, "phantom", or an .npz file; of a run folder, the run's own if empty.
        detector: "feature-squeezing", "mahalanobis", with settings, or a dotted path; empty: that of the run's study
            (`model.detector`), else "feature-squeezing".
        epsilon: of the attacks.
        rate: share of clean validation images on which the model may abstain; 0: that of the run's study, else 0.05.
        norm: "linf" or "l2".
        split: of the data set: "test" or "train"; the detector is fitted to the validation images.
        images: number of images of the split, stratified by class; 0 for all.
        seed: of the attacks.
        input: the images that the model takes; see `attack_model`.
        labels: the data's label of each of its outputs; see `attack_model`.
        head: name or number of the output, of a model with several.
        data_root: folder that is searched first for data.

    Returns:
        ``detector``: ``settings``, ``chosen`` (by whom), ``rate``, ``threshold``; ``clean``: ``coverage`` (answered),
        ``false-alarms``, ``right``, ``right-of-answered``; ``attacked``: ``robust``, ``robust-unaware`` (of an attacker
        who does not know the detector), ``fooled-and-detected``; each a share with ``value``, ``successes``, ``n`` and
        ``interval``.

    Raises:
        ModelFileError, ModelError, DataError, ConfigError, SpecError: an argument cannot be used.

    Example:
        >>> found = fedrobust.detect_attacks("runs/breast", detector="mahalanobis")  # doctest: +SKIP
        >>> found["clean"]["coverage"]["value"], found["attacked"]["robust"]["value"]  # doctest: +SKIP
    """
    if norm not in ("linf", "l2"):
        raise ConfigError(f"norm = {norm!r}: choose linf or l2")
    check_epsilon(epsilon, norm)
    chosen, rate, _, who = detector_for(model, detector, rate, otherwise=DEFAULT)
    if chosen is None:
        raise ConfigError(
            f'detector = "none": there is nothing to measure; name one of {", ".join(DETECTORS)}, or leave it out for '
            "the run's own"
        )
    interfaces = interfaces_of(input, labels, head)
    start_tensorflow(cores())
    from fedrobust.audit.detection import detection

    dataset = data_of(model, data, data_root)
    if dataset.multilabel:
        raise ConfigError(f"{dataset.name}: multi-label; detectors take data with one class an image")
    found = detection(
        model,
        dataset,
        chosen,
        Threat(norm=norm),  # type: ignore[arg-type]
        epsilon_value(epsilon),
        rate=rate,
        split=split,
        images=images,
        seed=seed,
        interfaces=interfaces,
    )
    return {**found, "detector": {**found["detector"], "chosen": who}}
