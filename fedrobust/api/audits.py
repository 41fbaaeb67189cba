"""Audits of trained models of any origin.

TensorFlow is imported inside functions, so that settings are checked without it.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedrobust.api.model_request import (
    check_epsilon,
    check_named,
    data_of,
    detector_for,
    interfaces_of,
    name_of,
    progress_teller,
    request_of,
    run_of,
    usual_epsilon,
    workers_map,
    working,
    write_json,
)
from fedrobust.checks import check_reach
from fedrobust.config import ConfigError
from fedrobust.cores import cores
from fedrobust.evasion import Threat
from fedrobust.report.card import write as write_card
from fedrobust.runs.environment import environment
from fedrobust.runs.events import CheckFinished, Listener, emit
from fedrobust.runs.record import probes_of
from fedrobust.runtime import start_tensorflow

if TYPE_CHECKING:
    import keras

    from fedrobust.evasion.models.predictor import Gradient, Predict
    from fedrobust.models.interfaces import Texts


def audit_model(
    model: "str | Path | keras.Model | Predict",
    data: str = "",
    *listeners: Listener,
    epsilon: float | str = "",
    norm: str = "linf",
    space: str = "native",
    bits: int = 0,
    tied: bool = False,
    effort: str = "standard",
    split: str = "test",
    images: int = 0,
    control: str | Path = "",
    teacher: str | Path = "",
    edge: str | Path = "",
    trained_on: Iterable[str] = (),
    seed: int = 0,
    input: "Texts" = "",
    labels: "Texts" = "",
    head: "Texts" = "",
    gradient: "Gradient | None" = None,
    name: str = "",
    detector: str = "",
    detector_rate: float = 0.0,
    data_root: str | Path = "",
    out: str | Path = "",
    force: bool = False,
) -> dict[str, Any]:
    """Audit a model's robustness, and return the card, which is also written to ``card.json``.

    Args:
        model: a ``.keras``, ``.onnx`` or ``.tflite`` file, a run folder, a Keras model, `torch_model` of a PyTorch
            module; or a function from images (n, height, width, channels) float32 in [0, 1] to logits or probabilities
            (n, classes), of any library.
        data: a MedMNIST name, "phantom", or an .npz file; of a run folder, the run's own if empty.
        listeners: called with every event.
        epsilon: of the verdict; the usual one of the norm if empty: "2/255" in linf, 0.5 in l2.
        norm: "linf" or "l2".
        space: "native" or "prepared".
        bits: 8 for adversarial images with 8-bit grey levels only.
        tied: perturb all colour channels alike.
        effort: "quick", "standard" or "full".
        split: of the data set.
        images: number of images of the split, stratified by class; 0 for all.
        control: the same model without its defence: a file or a run folder.
        teacher: the model that it was distilled from.
        edge: its exported LiteRT file.
        trained_on: names of the attacks that its training used, such as "fgsm".
        seed: of all random numbers.
        input: the images that the model takes, such as "0..255", "-1..1", "mean=0.5, std=0.25", "0..1 bgr"; by itself
            as its first layers show, else 0..1. Of companions: ["0..255",
            "control=0..1"]; they take what the model takes unless their layers show otherwise.
        labels: the data's label of each of its outputs, in order, as "1, 0" or by name.
        head: name or number of the output, of a model with several.
        gradient: of a function: (images, vectors (n, classes)) to vector-Jacobian products in the shape of the images:
            row i is the gradient by image i of ``(vectors[i] * predict(images)[i]).sum()``. Without it, a function is
            attacked by queries only; PyTorch modules have their own, ONNX files none.
        name: of a function; results of attacks are stored under it.
        detector: of attacked images, on which the model abstains, as in "mahalanobis"; empty: that of the study for a
            run folder, "none" for none. The verdict stays the model's own.
        detector_rate: share of clean images on which it may abstain; 0: that of the study, else 0.05.
        data_root: folder that is searched first for data.
        out: folder of the card; ``runs/NAME-audit`` if empty, with a number if that has another card. Finished parts of
            the same request are not run again.
        force: replace the card of another request in `out`.

    Raises:
        ModelFileError, PredictorError, DataError, ConfigError, ThreatError: an argument cannot be used.
        MisreadModelError: another pixel range or class order gives significantly more correct predictions; the message
            names it.
        OtherResultError: `out` has another card.

    Example:
        >>> card = fedrobust.audit_model("model.keras", "breastmnist")  # doctest: +SKIP
        >>> card["verdict"]["word"]  # doctest: +SKIP
        'not robust'
    """
    epsilon = usual_epsilon(norm) if epsilon == "" else epsilon
    check_epsilon(epsilon, norm)
    trained_on = tuple(trained_on)
    check_named(model, data, out)
    interfaces = interfaces_of(input, labels, head, ("control", "teacher", "edge"))
    chosen, rate, named, _ = detector_for(model, detector, detector_rate, key="detector_rate")
    if chosen is not None and space != "native":
        raise ConfigError(
            f"detector = {named!r} with space = {space!r}: it sees stored images; choose native"
        )
    start_tensorflow(cores())
    from fedrobust.audit.from_file import audit_file
    from fedrobust.audit.opened import model_digest
    from fedrobust.audit.plan import Plan

    threat = Threat(norm=norm, space=space, bits=bits, tied=tied)  # type: ignore[arg-type]
    plan = Plan(epsilon=epsilon, threat=threat, effort=effort, seed=seed)  # type: ignore[arg-type]
    dataset = data_of(model, data, data_root)
    if space == "native":
        check_reach([epsilon], norm, dataset.image_shape)
    used, (history, balanced) = _training_of(model)
    companions = {"control": control, "teacher": teacher, "edge": edge}
    asked = {
        "epsilon": str(epsilon),
        "effort": effort,
        "trained-on": trained_on or used,
        **({"detector": [named, rate]} if chosen is not None else {}),
        **{what: model_digest(path) if str(path) else "" for what, path in companions.items()},
    }
    request = request_of(model, dataset, threat, split, images, seed, name, interfaces, **asked)
    with working(request, out, f"{name_of(model, name)}-audit", force, listeners) as (folder, pool):
        card = audit_file(
            model,
            dataset,
            plan,
            split=split,
            images=images,
            control=control,
            teacher=teacher,
            edge=edge,
            interfaces=interfaces,
            gradient=gradient,
            name=name,
            trained_on=trained_on or used,
            history=history,
            balanced_history=balanced,
            folder=folder / "attacks",
            map=workers_map(pool),
            report=progress_teller(),
            note=lambda finding: emit(CheckFinished(finding.record())),
            environment=environment(cores()),
            detector=chosen,
            detector_rate=rate,
        )
    write_json(folder / "card.json", card.content)
    write_card(folder)
    return {**card.content, "folder": str(folder)}


def _training_of(model: Any) -> tuple[tuple[str, ...], tuple[tuple[float, ...], tuple[float, ...]]]:
    """Return the attacks that a run's clients trained on, and its accuracies under PGD-5 by round, see `probes_of`."""
    run = run_of(model)
    if run is None:
        return (), ((), ())
    return run.experiment.training.attacks_used, probes_of(run.record.rounds)
