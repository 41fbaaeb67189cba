"""Votes of noisy copies of a run's model, and backdoors in its training that cannot change their majority."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fedrobust.audit.attack_cache import Report
from fedrobust.audit.certified import share
from fedrobust.audit.images import chosen_split
from fedrobust.audit.logistic_regression import Attackers, LogisticRegression, unlike
from fedrobust.config import ConfigError
from fedrobust.evaluation.parameter_smoothing import (
    ABSTAINS,
    Majority,
    certified_radius,
    largest_below,
    later_rounds,
    lipschitz_of_head,
    majority,
    paper_lipschitz,
)
from fedrobust.evasion.run import Progress
from fedrobust.lazy import tf
from fedrobust.models.layout import Weights
from fedrobust.privacy.crfl import ClippedAndNoisy
from fedrobust.randomness import Purpose, generator
from fedrobust.runs.run import Run
from fedrobust.study import Study

BATCH = 128
"""Images in a call of a network."""

MOST = 1e6
"""No larger radius is looked for."""


@dataclass(frozen=True)
class Votes:
    """How votes are made.

    Attributes:
        copies: M, noisy copies of the model.
        alpha: probability that a certificate is wrong.
        seed: of the noise.
    """

    copies: int = 1000
    alpha: float = 0.001
    seed: int = 0


def certified_training(
    run: Run,
    study: Study,
    votes: Votes,
    attackers: Attackers | None,
    radii: Sequence[float],
    *,
    split: str = "test",
    images: int = 0,
    report: Report = lambda name, progress: None,
) -> dict[str, Any]:
    """Return the smoothed model's accuracy, and the share that is certified against attackers, as plain data.

    Args:
        run: finished, with crfl.
        study: of the run.
        votes: copies and confidence.
        attackers: assumed; None: the votes alone.
        radii: magnitudes of backdoors in features and label, ascending.
        split: of the data set.
        images: number of images of the split, stratified by class; 0: all.
        report: called with a name and the progress.

    Raises:
        ConfigError: the run has no crfl, or its training does not fulfil the certificate's conditions.
    """
    server = server_of(study)
    if attackers is not None and (why := list(unlike(study, run.record))):
        raise ConfigError(
            "no backdoor's magnitude is certified for this run; the votes alone are counted without --malicious:\n"
            + "\n".join(why)
        )
    weights = weights_of(run, study, server)
    stored, labels, described = chosen_split(study.dataset, split, images)
    answer = answers(study, weights, stored)
    base = answer(weights.trainable)
    counts = counted(study, server, votes, weights, answer, len(labels), report)
    found = [majority(one, votes.copies, votes.alpha) for one in counts]
    given = np.array([one.label for one in found])
    result: dict[str, Any] = {
        "run": study.experiment.name,
        "model": weights.digest(),
        "data": described,
        "smoothing": {
            "norm": server.settings.norm,
            "sigma": server.settings.deviation,
            **asdict(votes),
        },
        "n": len(labels),
        "unsmoothed": share(base == labels),
        "smoothed": share(given == labels),
        "abstains": share(given == ABSTAINS),
        "majority": share(labels == np.bincount(labels).argmax()),
        "images": [
            {"label": int(label), "answer": one.label, "least": one.least, "most": one.most}
            for label, one in zip(labels, found, strict=True)
        ],
    }
    if attackers is None:
        return result
    own, papers, about = certificates(study, server, attackers, found)
    right = given == labels
    usual = [0.0, *sorted({float(f"{one:.2g}") for one in np.quantile(own, (0.25, 0.5, 0.75, 1.0)) if one})]
    rows = [
        {"radius": one, "accuracy": share(right & (own >= one)), "paper": share(right & (papers >= one))}
        for one in (radii or usual)
    ]
    for entry, one, paper in zip(result["images"], own, papers, strict=True):
        entry |= {"radius": float(one), "paper": float(paper)}
    return {**result, "attackers": asdict(attackers), "conditions": about, "certified": rows}


def server_of(study: Study) -> ClippedAndNoisy:
    """Return the part of the server that clips and adds noise.

    Raises:
        ConfigError: the study has none.
    """
    found = next((one for one in study.postprocessors if isinstance(one, ClippedAndNoisy)), None)
    if found is None:
        raise ConfigError(
            f"federation.postprocessors = {list(study.experiment.federation.postprocessors)}: the model was not "
            'clipped; train it with postprocessors = ["crfl(norm=15, deviation=0.01)"]'
        )
    return found


def weights_of(run: Run, study: Study, server: ClippedAndNoisy) -> Weights:
    """Return the weights of the last model, which is clipped.

    Raises:
        ConfigError: it is another model, or longer than clipped ones are.
    """
    found = study.classifier.weights_of(run.model())
    rounds = run.record.rounds
    if found is None or not rounds or rounds[-1].round != server.rounds or rounds[-1].kept:
        raise ConfigError(f"{run.path}: the model is not the one of the last round, number {server.rounds}")
    length = float(np.linalg.norm(found.trainable[places_of(study)].astype(np.float64)))
    if length > server.settings.norm * (1 + 1e-4):
        raise ConfigError(
            f"{run.path}: the trained weights have the norm {length:.4g}, above crfl's {server.settings.norm:g}: "
            f'the model was changed after the rounds (model.removal = "{study.experiment.model.removal}")'
        )
    return found


def places_of(study: Study) -> Any:
    """Return the positions of the weights that are trained in the last round."""
    part = study.trained_part(study.experiment.federation.rounds)
    return slice(None) if part is None else part.trainable


def answers(study: Study, weights: Weights, stored: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from trainable weights (d,) to the classes (n,) that images get; -1 for logits that are NaN."""
    classifier = study.classifier
    if study.experiment.training.features_are_cached and classifier.defence is None:
        features = study.features.of(stored)
        size, classes = features.shape[1], classifier.classes
        cut = size * classes
        return lambda one: _classes(features @ one[:cut].reshape(size, classes) + one[cut:])

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def logits(trainable: Any, statistics: Any, images: Any) -> Any:
        return classifier.answers(trainable, statistics, tf.cast(images, tf.float32) / 255.0)

    def answer(one: np.ndarray) -> np.ndarray:
        arrays = classifier.arrays(Weights(one, weights.statistics))
        parts = [logits(*arrays, tf.constant(stored[at : at + BATCH])) for at in range(0, len(stored), BATCH)]
        return _classes(np.concatenate([np.asarray(part) for part in parts]))

    return answer


def _classes(logits: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(logits).all(axis=1), logits.argmax(axis=1), -1)


def counted(
    study: Study,
    server: ClippedAndNoisy,
    votes: Votes,
    weights: Weights,
    answer: Callable[[np.ndarray], np.ndarray],
    images: int,
    report: Report,
) -> np.ndarray:
    """Return how many copies give each image each class, (n, classes)."""
    counts, places = np.zeros((images, study.problem.classes), np.int64), places_of(study)
    for copy in range(votes.copies):
        noisy = weights.trainable.copy()
        draw = generator(votes.seed, Purpose.MODEL_NOISE, 0, copy)
        noisy[places] += server.noise(len(noisy[places]), draw)
        found = answer(noisy)
        sound = np.flatnonzero(found >= 0)
        counts[sound, found[sound]] += 1
        report("parameter smoothing", Progress(copy + 1, votes.copies - copy - 1))
    return counts


def certificates(
    study: Study, server: ClippedAndNoisy, attackers: Attackers, found: Sequence[Majority]
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Return the certified radius of each image, that of the paper's formula, (n,) each, and what they rest on.

    The certified one bounds the weights of local steps, where the paper has rho, and the features that a backdoor may
    lengthen. It counts no later rounds, and takes the noise of the test: plain SGD with eta <= 1 / beta brings two
    models no farther apart when all else, noise included, is the same. So attackers may act in several rounds. The
    paper's formula is that of one attack in the first round, with all later rounds.

    Raises:
        ConfigError: the learning rate is too large.
    """
    training = LogisticRegression.of(study, server, study.initial()[1])
    if not training.contracts:
        raise ConfigError(
            f"training.learning-rate = {training.rate:g}: with features up to {training.features:.4g} the loss is "
            f"{training.features**2 / 2:.4g}-smooth, and no rate above {2 / training.features**2:.3g} is certified"
        )
    moves, once = training.moves(attackers), training.moves(Attackers(**{**asdict(attackers), "rounds": 1}))
    rho, sigma, rounds = server.settings.norm, server.settings.deviation, server.rounds

    def lipschitz(radius: float) -> float:
        features = training.features + radius
        return lipschitz_of_head(training.longest(features), features)

    def certified(one: Majority) -> float:
        return largest_below(lambda r: certified_radius(one.divergence, sigma, lipschitz(r), moves), MOST)

    later = later_rounds([rho] * (rounds - 1), [sigma] * (rounds - 1))
    papers = [certified_radius(one.divergence, sigma, paper_lipschitz(rho), once, later) for one in found]
    about = {
        "space": "features and one-hot label",
        "features": training.features,
        "start": training.start,
        "lipschitz": lipschitz(0.0),
        "paper-lipschitz": paper_lipschitz(rho),
        "later-rounds": later,
        "moves": moves,
        "label-change": math.sqrt(2),
    }
    return np.array([certified(one) for one in found]), np.array(papers), about
