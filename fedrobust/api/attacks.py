"""Attacks on trained models of any origin.

TensorFlow is imported inside functions, so that settings are checked without it.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedrobust.api.model_request import (
    check_epsilon,
    check_named,
    data_of,
    interfaces_of,
    name_of,
    progress_teller,
    request_of,
    usual_epsilon,
    workers_map,
    working,
    write_json,
)
from fedrobust.checks import check_reach
from fedrobust.config import ConfigError
from fedrobust.cores import cores
from fedrobust.evasion import Threat, attack_named
from fedrobust.runs.environment import environment
from fedrobust.runs.events import Listener
from fedrobust.runtime import start_tensorflow

if TYPE_CHECKING:
    import keras

    from fedrobust.evasion.models.predictor import Gradient, Predict
    from fedrobust.models.interfaces import Texts


def attack_model(
    model: "str | Path | keras.Model | Predict",
    data: str = "",
    attacks: Iterable[str] = ("fgsm", "pgd"),
    epsilons: Iterable[float | str] = (),
    *listeners: Listener,
    norm: str = "linf",
    space: str = "native",
    bits: int = 0,
    tied: bool = False,
    split: str = "test",
    images: int = 0,
    seed: int = 0,
    input: "Texts" = "",
    labels: "Texts" = "",
    head: "Texts" = "",
    gradient: "Gradient | None" = None,
    name: str = "",
    data_root: str | Path = "",
    out: str | Path = "",
    force: bool = False,
) -> dict[str, Any]:
    """Attack a model, and return its accuracy under attack; the result is written to ``attack.json``.

    Args:
        model: a ``.keras``, ``.onnx`` or ``.tflite`` file, a run folder, a Keras model, `torch_model` of a PyTorch
            module; or a function from images (n, height, width, channels) float32 in [0, 1] to logits or probabilities
            (n, classes), of any library.
        data: a MedMNIST name, "phantom", or an .npz file; of a run folder, the run's own if empty.
        attacks: such as "pgd(steps=40)"; `fedrobust list attacks` names them.
        epsilons: numbers or fractions of 255; usual ones for the norm if empty.
        listeners: called with every event.
        norm: "linf", "l2" or "l0".
        space: "native" or "prepared".
        bits: 8 for adversarial images with 8-bit grey levels only.
        tied: perturb all colour channels alike.
        split: of the data set.
        images: number of images of the split, stratified by class; 0 for all.
        seed: of all random numbers.
        input: the images that the model takes, such as "0..255", "-1..1", "mean=0.5, std=0.25", "0..1 bgr"; by itself
            as its first layers show, else 0..1. Of the surrogate of a transfer attack: ["0..255", "surrogate=-1..1"];
            without, it is that of the model.
        labels: the data's label of each of its outputs, in order, as "1, 0" or by name.
        head: name or number of the output, of a model with several.
        gradient: of a function: (images, vectors (n, classes)) to vector-Jacobian products in the shape of the images:
            row i is the gradient by image i of ``(vectors[i] * predict(images)[i]).sum()``. Without it, a function is
            attacked by queries only; PyTorch modules have their own, ONNX files none.
        name: of a function; results of attacks are stored under it.
        data_root: folder that is searched first for data.
        out: folder of results; ``runs/NAME-attack`` if empty, with a number if that has other results. Finished parts
            of the same request are not run again.
        force: replace the results of another request in `out`.

    Raises:
        ModelFileError, PredictorError, DataError, ConfigError, ThreatError, SpecError: an argument cannot be used.
        MisreadModelError: another pixel range or class order gives significantly more correct predictions; the message
            names it.
        OtherResultError: `out` has other results.

    Example:
        >>> done = fedrobust.attack_model("runs/one", attacks=["pgd(steps=40)"], epsilons=["2/255"])  # doctest: +SKIP
        >>> done["attacked"][0]["metrics"]["accuracy"]  # doctest: +SKIP
    """
    attacks, epsilons = tuple(attacks), tuple(epsilons)
    for epsilon in epsilons:
        check_epsilon(epsilon, norm)
    check_named(model, data, out, attacks)
    interfaces = interfaces_of(input, labels, head, ("surrogate",))
    start_tensorflow(cores())
    from fedrobust.audit.plan import Plan
    from fedrobust.audit.table import attack_table

    threat = Threat(norm=norm, space=space, bits=bits, tied=tied)  # type: ignore[arg-type]
    plan = Plan(
        threat=threat, curve=tuple(epsilons), seed=seed, epsilon=next(iter(epsilons), usual_epsilon(norm))
    )
    _check_attacks(attacks, threat)
    dataset = data_of(model, data, data_root)
    if space == "native":
        check_reach(epsilons, norm, dataset.image_shape)
    asked = {"attacks": attacks, "epsilons": list(map(str, plan.curve))}
    request = request_of(model, dataset, threat, split, images, seed, name, interfaces, **asked)
    with working(request, out, f"{name_of(model, name)}-attack", force, listeners) as (folder, pool):
        table = attack_table(
            model,
            dataset,
            plan,
            attacks,
            split=split,
            images=images,
            interfaces=interfaces,
            gradient=gradient,
            name=name,
            folder=folder / "attacks",
            map=workers_map(pool),
            report=progress_teller(),
            environment=environment(cores()),
        )
    content = table.to_json()
    write_json(folder / "attack.json", content)
    return {**content, "folder": str(folder)}


def _check_attacks(attacks: tuple[str, ...], threat: Threat) -> None:
    """Check that attacks exist and search in the threat model's norm, before the model is opened."""
    for spec in attacks:
        norms = attack_named(spec).norms
        if threat.norm not in norms:
            raise ConfigError(f'attack = "{spec}": it searches in {", ".join(norms)}, norm = "{threat.norm}"')
        if attacks.count(spec) > 1:
            raise ConfigError(f'attack = "{spec}": given twice')
