"""The cells of the table of defences: data sets, divisions, defences, seeds; cheap ones first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedrobust.config import Experiment
from fedrobust.config.centralized import centralized
from fedrobust.sweeps.cell import Cell
from fedrobust.sweeps.sweep import Sweep

STUDIES = {
    "pneumoniamnist": "pneumonia",
    "breastmnist": "breast",
    "dermamnist_rebuilt.npz": "derma",
}
"""The study whose training, rounds and network a data set has."""

DIVISIONS: Mapping[str, str] = {"iid": "iid", "Dirichlet 0.5": "dirichlet(alpha=0.5)", "central": ""}
"""How the training images lie at ten clients; "central": one client has all of them."""

SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Network:
    """What the table trains.

    Attributes:
        settings: what it changes in the study of a data set.
        rounds: of a data set whose study has too few or too many for this network.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    rounds: Mapping[str, int] = field(default_factory=dict)


NETWORKS: Mapping[str, Network] = {
    "mobilenetv2": Network(rounds={"pneumoniamnist": 20}),
    "edge-cnn": Network(
        {
            "model__name": "edge-cnn",
            "model__weights": "random",
            "model__image_size": 28,
            "training__learning_rate": 0.005,
        },
        {"pneumoniamnist": 20, "breastmnist": 100},
    ),
}
"""The studies' network from ImageNet weights, and a small one from random weights, whose cells take a minute. Its
learning rate and rounds are chosen by plain training's validation AUC and that of PGD on BreastMNIST."""

PLAIN = "plain"
"""The control: the same rounds, steps, batches and seeds without a defence."""


@dataclass(frozen=True)
class Defence:
    """A defence as it stands in the table.

    Attributes:
        passes: forward and backward passes for a batch in a round, in those of plain training, for the order of the
            cells.
        settings: what it changes in the study; ``{epsilon}`` stands for the table's, ``{loss}`` for the study's loss.
    """

    passes: float
    settings: Mapping[str, Any] = field(default_factory=dict)


def recipe(spec: str, passes: float, **more: Any) -> Defence:
    """Return the defence that is a training recipe."""
    return Defence(passes, {"training__recipe": spec, **more})


def longer(defence: Defence, epochs: int) -> Defence:
    """Return the defence with more local epochs in each round."""
    return Defence(defence.passes * epochs, {**defence.settings, "training__epochs": epochs})


def at_prediction(spec: str) -> Defence:
    """Return the defence that transforms images at prediction time."""
    return Defence(1.0, {"model__defence": spec})


def learned(name: str) -> Defence:
    """Return the prediction-time defence that is fitted to images attacked with the table's epsilon."""
    return at_prediction(name + FITTED)


FITTED = "(epsilon='{epsilon}')"


STEPS = "{}(epsilon='{{epsilon}}', steps=3, warmup=0.3)"
AROUND = "{}(recipe='pgd(epsilon=\"{{epsilon}}\", steps=3, warmup=0.3)'{})"
"""What recipes with an attack of several steps have in common, so that they differ in their loss alone."""

SINGLE_STEP = recipe("fgsm(epsilon='{epsilon}', random_start=True, share=1.0)", 2.0)
THREE_STEPS = recipe(STEPS.format("pgd"), 4.0)

DEFENCES: Mapping[str, Defence] = {
    PLAIN: Defence(1.0),
    "plain, 4 epochs": longer(Defence(1.0), 4),
    "label smoothing": Defence(1.0, {"training__loss": "{loss}(label_smoothing=0.1)"}),
    "Gaussian noise": Defence(1.0, {"training__augmentations": ["noise(deviation=0.1)"]}),
    "corruptions": Defence(1.0, {"training__augmentations": ["noise", "blur", "contrast", "jpeg"]}),
    "JPEG": at_prediction("jpeg(quality=75)"),
    "bit depth": at_prediction("bit-depth(bits=3)"),
    "median": at_prediction("median"),
    "total variation": at_prediction("total-variation"),
    "autoencoder": learned("autoencoder"),
    "rectifier": learned("rectifier"),
    "APE-GAN": learned("ape-gan"),
    "smoothing": at_prediction("smoothing(sigma=0.12)"),
    "Gaussian noise, smoothing": Defence(
        1.0,
        {
            "training__augmentations": ["noise(deviation=0.12)"],
            "model__defence": "smoothing(sigma=0.12)",
        },
    ),
    "free": recipe("free(epsilon='{epsilon}', replays=4)", 4.0),
    "free, 8 replays": recipe("free(epsilon='{epsilon}', replays=8)", 8.0),
    "fast FGSM": SINGLE_STEP,
    "fast FGSM, 2 epochs": longer(SINGLE_STEP, 2),
    "FGSM at 0.001": recipe("fgsm(epsilon=0.001, share=1.0)", 2.0),
    "GradAlign": recipe("grad-align(epsilon='{epsilon}')", 5.3),
    "GAN trainer": recipe("gan-trainer(epsilon='{epsilon}')", 4.0),
    "gradient penalty": recipe("gradient-penalty(weight=0.001)", 3.3),
    "gradient penalty, 0.1": recipe("gradient-penalty(weight=0.1)", 3.3),
    "gradient penalty, 1": recipe("gradient-penalty(weight=1.0)", 3.3),
    "PGD": THREE_STEPS,
    "MART": recipe(STEPS.format("mart"), 5.0),
    "AdvProp": recipe(AROUND.format("advprop", ""), 5.0),
    "AWP (PGD)": recipe(AROUND.format("awp", ""), 5.0),
    "AWP (PGD), gamma 0.001": recipe(AROUND.format("awp", ", gamma=0.001"), 5.0),
    "logit pairing": recipe(STEPS.format("logit-pairing"), 5.0),
    "TRADES": recipe("trades(epsilon='{epsilon}', steps=3, warmup=0.3, beta=3.0)", 5.3),
    "TRADES, beta 6": recipe("trades(epsilon='{epsilon}', steps=3, warmup=0.3, beta=6.0)", 5.3),
    "PGD, 4 epochs": longer(THREE_STEPS, 4),
    "PGD, 5 steps": recipe("pgd(epsilon='{epsilon}', steps=5, warmup=0.5)", 6.0),
    "PGD, 7 steps": recipe("pgd(epsilon='{epsilon}', steps=7, warmup=0.3)", 8.0),
    "PGD, 5 steps, no warm-up": recipe("pgd(epsilon='{epsilon}', steps=5)", 6.0),
}
"""All of them; a new one is a line here."""


@dataclass(frozen=True)
class Place:
    """Where a cell stands in the table.

    Attributes:
        data: name of the data set.
        division: how its images lie at clients.
        defence: a name of `DEFENCES`.
        seed: of the study.
    """

    data: str
    division: str
    defence: str
    seed: int

    @property
    def name(self) -> str:
        """Of the cell, such as ``breastmnist/iid/PGD/0``."""
        return f"{self.data.removesuffix('.npz')}/{self.division}/{self.defence}/{self.seed}"


@dataclass(frozen=True)
class Protocol:
    """What is the same in every cell.

    Attributes:
        epsilon: of recipes and audit, linf on native pixels.
        effort: of the audit.
        images: test images audited, stratified by class; 0: all.
        rounds: of the studies; 0: those of the network or else of the study.
        changes: further settings of every study, in place of the study's.
        network: a name of `NETWORKS`.
    """

    epsilon: str = "4/255"
    effort: str = "standard"
    images: int = 200
    rounds: int = 0
    changes: Mapping[str, Any] = field(default_factory=dict)
    network: str = "mobilenetv2"


def experiment(place: Place, protocol: Protocol, experiments: Path) -> Experiment:
    """Return the study of a cell.

    Args:
        place: the cell.
        protocol: of the table.
        experiments: folder of the study files.
    """
    base = Experiment.load(experiments / f"{STUDIES[place.data]}.toml")
    network = NETWORKS[protocol.network]
    rounds = protocol.rounds or network.rounds.get(place.data, base.federation.rounds)
    settings = {
        "data__name": place.data,
        "data__partition": DIVISIONS[place.division] or "iid",
        "federation__rounds": rounds,
        "evaluation__every": rounds,
        "evaluation__attacks": [],
        "evaluation__examples": 0,
        "audit__epsilon": protocol.epsilon,
        "audit__effort": protocol.effort,
        "audit__images": protocol.images,
        "distillation__enabled": False,
        "export__enabled": False,
        "output__report": False,
        **network.settings,
        **protocol.changes,
        **{
            key: _filled(value, protocol.epsilon, base.training.loss)
            for key, value in DEFENCES[place.defence].settings.items()
        },
    }
    study = base.changed((), name="defences", seed=place.seed, **settings)
    return centralized(study) if place.division == "central" else study


def transformation(defence: Defence) -> str:
    """Return the spec of what a defence does to images at prediction time, whatever it was fitted to; "" if nothing."""
    return str(defence.settings.get("model__defence", "")).removesuffix(FITTED)


def _filled(value: Any, epsilon: str, loss: str) -> Any:
    return value.format(epsilon=epsilon, loss=loss) if isinstance(value, str) else value


def places(
    sets: Sequence[str], divisions: Sequence[str], defences: Sequence[str], seeds: Sequence[int]
) -> Iterator[Place]:
    """Yield all cells: one seed after the other, of each the cheap defences first."""
    ordered = sorted(defences, key=lambda name: DEFENCES[name].passes)
    for seed in seeds:
        for defence in ordered:
            for division in divisions:
                for data in sets:
                    yield Place(data, division, defence, seed)


def cells(found: Iterator[Place], protocol: Protocol, experiments: Path) -> dict[Place, Cell]:
    """Return the cells with their studies."""
    return {
        place: Cell(
            {
                "data.name": place.data,
                "data.partition": place.division,
                "training.recipe": place.defence,
                "seed": place.seed,
            },
            experiment(place, protocol, experiments),
        )
        for place in found
    }


def sweep(found: Mapping[Place, Cell]) -> Sweep:
    """Return the cells as a sweep."""
    axes: dict[str, tuple[Any, ...]] = {}
    for cell in found.values():
        for key, value in cell.settings.items():
            axes[key] = tuple(dict.fromkeys((*axes.get(key, ()), value)))
    return Sweep("defences", axes, tuple(found.values()))
