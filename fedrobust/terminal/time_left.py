"""The estimated time of the rest of a run: its rounds with their evaluations, the audit, the student."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fedrobust.config import Experiment
from fedrobust.config.resolve import distillation_method_of
from fedrobust.config.resolve_training import recipe_of
from fedrobust.errors import FedrobustError
from fedrobust.runs.events import Event, ForecastMade, RoundFinished, StageStarted, StudyResumed, StudyStarted
from fedrobust.runs.forecast import duration
from fedrobust.training.distillation_methods.contract import passes_of_step
from fedrobust.training.recipes.recipe import passes_of_batch

SWEEP = 4
"""Forward passes of an evaluation beside those at each epsilon: the clean one, and a gradient."""

STAGES = {
    "auditing the global model": "the audit",
    "distilling the student": "the student",
    "auditing the student": "the student's audit",
}
"""Stages that take time, in their order, by the names that their events have."""


class TimeLeft:
    """Estimates the seconds that a run still takes, from its forecast and the measured time of its rounds.

    What follows the rounds is forecast in trial steps, and scaled by what the rounds took beside their own forecast.

    Args:
        clock: returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self.clock = clock
        self.folder = ""
        self.rounds = self.done = 0
        self.round_seconds = self.measured = 0.0
        self.seen = 0
        self.after: dict[str, float] = {}
        self.since = clock()

    def __call__(self, event: Event) -> None:
        """Take one event."""
        match event:
            case StudyStarted():
                self.folder, self.rounds = event.folder, event.rounds
            case StudyResumed():
                self.done = event.rounds
            case ForecastMade():
                self._forecast(event.figures)
            case RoundFinished():
                self.done = event.record.round
                self.measured += event.record.seconds or 0.0
                self.seen += 1
                self.since = self.clock()
            case StageStarted() if event.stage.startswith(("measuring", "exporting", *STAGES)):
                self.done = self.rounds  # also of a study that stopped early
                self._enter(event.stage)
            case _:
                pass

    @property
    def seconds(self) -> float | None:
        """Seconds left; None where nothing is known."""
        if not self.round_seconds:
            return None
        a_round = self.measured / self.seen if self.measured else self.round_seconds
        pace = a_round / self.round_seconds
        left = (self.rounds - self.done) * a_round + pace * sum(self.after.values())
        return max(0.0, left - (self.clock() - self.since))

    def line(self) -> str:
        """Return the time left as text; empty where nothing is known, or where the rest is not forecast."""
        seconds = self.seconds
        return f"about {duration(seconds)} left" if seconds else ""

    def _enter(self, stage: str) -> None:
        self.since = self.clock()
        names = list(STAGES)
        reached = next((place for place, name in enumerate(names) if stage.startswith(name)), None)
        if reached is not None:
            self.after = {name: self.after[name] for name in names[reached:] if name in self.after}
        elif stage.endswith("the student"):  # measured or exported: of the student nothing else is forecast
            self.after = {name: self.after[name] for name in names[2:] if name in self.after}

    def _forecast(self, figures: Mapping[str, Any]) -> None:
        try:
            study = Experiment.recorded(Path(self.folder, "experiment.toml"))
        except (FedrobustError, OSError):
            return
        evaluated = figures["evaluations"] / max(1, figures["rounds"])
        self.round_seconds = figures["training-seconds"] + evaluated * figures["evaluation-seconds"]
        self.after = stage_seconds(study, figures)
        self.since = self.clock()


def stage_seconds(study: Experiment, figures: Mapping[str, Any]) -> dict[str, float]:
    """Return the forecast seconds of the stages after the rounds, by the names that their events have.

    Args:
        study: its settings.
        figures: of the forecast, as in ``result.json``.
    """
    # Both import TensorFlow, which is started before the forecast, and not by a terminal.
    from fedrobust.audit.plan import Plan
    from fedrobust.training.distillation import TARGET_STEPS

    # Neither audit nor student trains with the clients' recipe.
    plain_step = figures["step-seconds"] / passes_of_batch(recipe_of(study.training, study.base))
    an_image = plain_step / study.training.batch_size / 3 / max(1, figures["workers"])
    all_images = figures["evaluation-seconds"] / (SWEEP + len(study.evaluation.epsilons))
    found: dict[str, float] = {}
    if study.audit.enabled:
        passes = Plan(effort=study.audit.effort).passes
        # As many images as asked for cost no more than all.
        audited = min(all_images, study.audit.images * an_image) if study.audit.images else all_images
        found["auditing the global model"] = passes * audited
        if study.audit.student:
            found["auditing the student"] = 2 * passes * audited  # with its control
    if study.distillation.enabled:
        method = distillation_method_of(study.distillation, study.base)
        # The control makes as many steps, of one pass each.
        found["distilling the student"] = TARGET_STEPS * (1 + passes_of_step(method)) * plain_step
    return found
