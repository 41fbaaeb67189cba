"""The cells of the paper's study files: their names, and the order in which they are run."""

from pathlib import Path

from fedrobust.config import Experiment
from fedrobust.data.dataset import NotHereError
from fedrobust.spec import Spec
from fedrobust.sweeps.cell import Cell
from fedrobust.sweeps.sweep import Sweep

HERE = Path(__file__).parent

FILES = ("table1", "table3", "distillation", "mednist", "batchnorm", "done-right", "whole", "federated")

TRAINING_IMAGES = {
    "breastmnist": 546,
    "pneumoniamnist": 4708,
    "dermamnist_rebuilt.npz": 7007,
    "mednist28.npz": 41267,
    "octmnist": 97477,
}

STEP_MILLISECONDS = {"mobilenetv2": 39, "densenet121": 110, "resnet50": 190}
"""Milliseconds of a step with a batch of 32 on two cores; used only to order the cells."""


def paper() -> Sweep:
    """Return the cells of all study files as one sweep, cheapest first."""
    sweeps = [Sweep.load(HERE / f"{name}.toml") for name in FILES]
    cells = sorted((cell for sweep in sweeps for cell in sweep.cells), key=lambda cell: cost(cell.experiment))
    axes = {key: values for sweep in sweeps for key, values in sweep.axes.items()}
    return Sweep("paper", axes, tuple(cells))


def cost(experiment: Experiment) -> float:
    """Return the approximate seconds of a cell on two cores, without its audit."""
    training, rounds = experiment.training, experiment.federation.rounds
    adversarial = 0 if training.recipe == "plain" else rounds - training.recipe_from + 1
    passes = training.epochs * (rounds + adversarial)
    images = TRAINING_IMAGES[experiment.data.name] * (1 + experiment.data.augment)
    return images * passes / 32 * STEP_MILLISECONDS[experiment.model.name] / 1000


def name_of(experiment: Experiment) -> str:
    """Return a cell's name in the results, such as ``table3/breastmnist/densenet121-random/fgsm-0.001``."""
    data, model, training = experiment.data, experiment.model, experiment.training
    weights = model.weights if model.weights in ("random", "imagenet") else "file"
    parts = [experiment.name, data.name.removesuffix(".npz"), f"{model.name}-{weights}"]
    recipe = Spec.parse(training.recipe)
    defence = recipe.name
    if "epsilon" in recipe.settings:
        defence += f"-{recipe.settings['epsilon']}".replace("/", "of")
    if experiment.name == "done-right" and training.recipe == "plain" and experiment.federation.rounds > 1:
        defence = f"plain-{training.epochs * experiment.federation.rounds}-epochs"
    parts.append(defence)
    if experiment.name == "distillation":
        parts.append("as-the-paper" if model.scaling == "unit" else "done-right")
    if experiment.name == "mednist" and model.scaling == "backbone":
        parts.append("done-right")
    if experiment.name == "batchnorm":
        parts += [
            f"momentum-{model.batchnorm_momentum}-{model.batchnorm_policy}",
            f"undersample-{data.undersample}-augment-{data.augment}".lower(),
        ]
    if experiment.name == "federated":
        parts.append(Spec.parse(data.partition).name)
        if experiment.poisoning.attack != "none":
            parts += ["poisoned", experiment.federation.aggregator]
    return "/".join([*parts, f"seed-{experiment.seed}"])


def named(sweep: Sweep) -> dict[str, Cell]:
    """Return the cells of a sweep by name.

    Raises:
        ValueError: two cells have one name.
    """
    cells = {name_of(cell.experiment): cell for cell in sweep.cells}
    if len(cells) != len(sweep.cells):
        raise ValueError("two cells have one name")
    return cells


def hash_of(cell: Cell) -> str:
    """Return a cell's hash; "" if its data, which it depends on, are missing and cannot be downloaded."""
    try:
        return cell.hash
    except NotHereError:
        return ""
