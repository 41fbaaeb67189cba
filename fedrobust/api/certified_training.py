"""Votes of noisy copies of a run's model, and backdoors in its training that cannot change them.

TensorFlow is imported inside functions, so that settings are checked without it.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fedrobust.api.leakage import study_of
from fedrobust.api.model_request import progress_teller
from fedrobust.config import ConfigError
from fedrobust.cores import cores
from fedrobust.runs.events import Listener, listening
from fedrobust.runs.run import Run
from fedrobust.runtime import start_tensorflow

MOST_COPIES = 1_000_000


def certify_training(
    run: str | Path,
    *listeners: Listener,
    malicious: int = 0,
    poisoned: float = 1.0,
    boost: float = 1.0,
    attacked_rounds: int = 1,
    copies: int = 1000,
    alpha: float = 0.001,
    radii: Iterable[float] = (),
    split: str = "test",
    images: int = 0,
    seed: int = 0,
    data_root: str | Path = "",
) -> dict[str, Any]:
    """Return what a run with ``crfl`` answers by the votes of noisy copies, and which backdoors cannot change it.

    CRFL (Xie et al., 2021, arXiv:2106.08283), Algorithm 2. Votes are counted for every model. The certificate holds
    where training is logistic regression on fixed features by plain SGD, ``training.layers = "head"``; elsewhere it is
    refused. The magnitude of a backdoor is its length in these features and the one-hot label, not in pixels; one that
    changes labels has at least sqrt(2).

    Args:
        run: folder of a finished simulation with ``federation.postprocessors = ["crfl(norm=15, deviation=0.01)"]``.
        listeners: called with every event.
        malicious: attackers to certify against, assumed to be the clients with the largest weight; 0: votes alone.
        poisoned: share of their images that have the backdoor.
        boost: factor of their updates, with and without the backdoor.
        attacked_rounds: rounds in which they attack.
        copies: noisy copies of the model.
        alpha: probability that a certificate of an image is wrong.
        radii: magnitudes; by default 0 and quartiles of what is certified.
        split: of the data set.
        images: number of images of the split, stratified by class; 0 for all.
        seed: of the noise.
        data_root: folder that is searched first for data.

    Returns:
        ``smoothed`` and ``unsmoothed`` accuracy, ``abstains``; with attackers ``certified``: for each radius
        ``accuracy`` (``value``, ``successes``, ``n``, ``interval``), and ``paper``: the same by the paper's formula;
        ``conditions``: the quantities of both; ``images``: label, answer (-1: abstains) and limits of each.

    Raises:
        RunFolderError, ConfigError, DataError: the run or a setting cannot be used.

    Example:
        >>> found = fedrobust.certify_training("runs/breast", malicious=1)  # doctest: +SKIP
        >>> found["certified"][1]["accuracy"]["value"]  # doctest: +SKIP
        0.68
    """
    radii = sorted(radii)
    _check(copies, alpha, poisoned, boost, radii)
    finished = Run.open(run)
    study = study_of(finished, data_root)
    clients, rounds = study.experiment.federation.clients, study.experiment.federation.rounds
    if not 0 <= malicious < clients:
        raise ConfigError(
            f"malicious = {malicious}: choose a whole number from 0, below the {clients} clients"
        )
    if not 1 <= attacked_rounds <= rounds:
        raise ConfigError(f"attacked-rounds = {attacked_rounds}: choose a whole number from 1 to {rounds}")
    if attacked_rounds > 1 and boost > 1:
        raise ConfigError(
            f"boost = {boost:g} with attacked-rounds = {attacked_rounds}: boosted updates bring models farther apart "
            "in each later round; choose boost = 1, or attacked-rounds = 1"
        )
    start_tensorflow(cores())
    # Starts TensorFlow.
    from fedrobust.audit.certified_training import Votes, certified_training
    from fedrobust.audit.logistic_regression import Attackers

    attackers = Attackers(malicious, poisoned, boost, attacked_rounds) if malicious else None
    with listening(*listeners):
        return certified_training(
            finished,
            study,
            Votes(copies, alpha, seed),
            attackers,
            radii,
            split=split,
            images=images,
            report=progress_teller(),
        )


def _check(copies: int, alpha: float, poisoned: float, boost: float, radii: list[float]) -> None:
    if not 1 <= copies <= MOST_COPIES:
        raise ConfigError(f"copies = {copies}: choose a whole number from 1 to {MOST_COPIES}")
    if not 0 < alpha < 0.5:
        raise ConfigError(f"alpha = {alpha}: choose a number above 0, below 0.5")
    if not 0 < poisoned <= 1:
        raise ConfigError(f"poisoned = {poisoned}: choose a share above 0, up to 1")
    if not 1 <= boost <= 1e6:
        raise ConfigError(f"boost = {boost}: choose a factor from 1 to 1e6")
    if radii and not 0 <= radii[0] <= radii[-1] <= 1e6:
        raise ConfigError(f"radii = {radii}: choose numbers from 0 to 1e6")
