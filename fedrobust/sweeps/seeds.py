"""A study with several seeds, as a sweep over ``seed``."""

from pathlib import Path
from typing import Any

from fedrobust.config import ConfigError, Experiment
from fedrobust.sweeps.source import SweepSource
from fedrobust.sweeps.sweep import Sweep
from fedrobust.sweeps.values import flattened

MOST_SEEDS = 1000


def seeds_of(experiment: Experiment, seeds: int) -> tuple[Sweep, SweepSource]:
    """Return the sweep of a study over its own seed and those that follow it, and the source to resume it.

    Args:
        experiment: the study.
        seeds: their number.

    Raises:
        ConfigError: there are not 2 to `MOST_SEEDS` of them, or the study is not valid with one of them.

    Example:
        >>> sweep, _ = seeds_of(Experiment.of(seed=7), 3)
        >>> [cell.experiment.seed for cell in sweep.cells]
        [7, 8, 9]
    """
    if not 2 <= seeds <= MOST_SEEDS:
        raise ConfigError(
            f"seeds = {seeds}: allowed: 2 to {MOST_SEEDS}; a mean and its interval need at least two"
        )
    changed: dict[str, Any] = {"seed": list(range(experiment.seed, experiment.seed + seeds))}
    if isinstance(
        experiment.poisoning.malicious, tuple
    ):  # one value, which in a sweep would be a list of values
        changed["poisoning.malicious"] = [list(experiment.poisoning.malicious)]
    base = Path(experiment.base).resolve()
    sweep = Sweep.of(experiment.name, {**flattened(experiment.to_dict()), **changed}, base=base)
    overrides = tuple(f"{key}={value}" for key, value in changed.items())
    return sweep, SweepSource(experiment.to_toml(), sweep.name, str(base), overrides)
