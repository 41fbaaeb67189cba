"""Which cells of a sweep have the same first rounds: those before an attack, or all but the last."""

import hashlib
import json
from typing import Any

from fedrobust.aggregation import Mean
from fedrobust.study import Study
from fedrobust.sweeps.cell import MODULES, content_of
from fedrobust.sweeps.values import flattened

ATTACKS = ("attack", "last-round", "every", "on-failure")
"""Settings of ``[poisoning]`` that change nothing before the attack begins."""

LATE = ("audit", "export")
"""Sections that are used after the last round alone."""

PREDICTION = ("defence", "detector", "detector-rate", "removal")
"""Settings of ``[model]`` for its use after training; rounds see them where a model is measured or asked."""


def shared_rounds(study: Study) -> int:
    """Return how many of a study's first rounds others may share; see `fork_key`.

    Those before its attack; without one that begins later, all but the last, whose models and clients later stages
    may use.

    Example:
        >>> from fedrobust.config import Experiment
        >>> shared_rounds(Study.of(Experiment.of(federation__rounds=5)))
        4
        >>> shared_rounds(Study.of(Experiment.of(
        ...     federation__rounds=5, poisoning__attack="ipm", poisoning__malicious=2, poisoning__first_round=3)))
        2
    """
    poisoning, rounds = study.experiment.poisoning, study.experiment.federation.rounds
    return poisoning.first_round - 1 if attacked_later(study) else rounds - 1


def attacked_later(study: Study) -> bool:
    """Return whether an attack begins after the first round, and has no memory of earlier ones.

    Its shared rounds are those before it, and cells with other attacks share them, too.

    Example:
        >>> from fedrobust.config import Experiment
        >>> attacked_later(Study.of(Experiment.of(
        ...     poisoning__attack="ipm", poisoning__malicious=2, poisoning__first_round=3)))
        True
    """
    settings = study.experiment
    begins = 1 < settings.poisoning.first_round <= settings.federation.rounds
    return bool(study.schedule.malicious) and begins and not study.attack.remembers


def why_alone(study: Study) -> str:
    """Return why a study's rounds are not shared with others, "" if they may be.

    Example:
        >>> from fedrobust.config import Experiment
        >>> why_alone(Study.of(Experiment.of(federation__rounds=1)))
        'it has one round'
        >>> why_alone(Study.of(Experiment.of(federation__rounds=2)))
        ''
    """
    settings = study.experiment
    if settings.federation.rounds == 1:
        return "it has one round"
    if settings.federation.average:
        return "the evaluated model is an average over rounds (federation.average)"
    if settings.training.recipe_from > 1:
        return "it keeps the model from before its recipe (training.recipe-from)"
    return ""


def fork_key(study: Study) -> str:
    """Return what is the same for studies whose `shared_rounds` are the same; "" if `study` shares none.

    Everything but what comes later: the audit, the export, distillation of the global model, and a prediction-time
    defence where no shared round uses it; before an attack also its kind, end, and period. Who is malicious belongs to
    the key: the record of a defence says how many of them it rejected, also in rounds in which they are honest.
    """
    if why_alone(study):
        return ""
    values = {name: section for name, section in content_of(study.experiment).items() if name not in LATE}
    if study.experiment.distillation.teacher == "global-model":
        del values["distillation"]
    if _predicts_late(study):
        values["model"] = _without(values["model"], PREDICTION)
    if attacked_later(study):
        values["poisoning"] = _without(values["poisoning"], ATTACKS)
    # Own modules count where the settings that name them do.
    modules = {key: digest for key, digest in values.pop(MODULES, {}).items() if key in flattened(values)}
    values |= {MODULES: modules} if modules else {}
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _predicts_late(study: Study) -> bool:
    """Return whether no shared round measures a model, and neither rule nor attackers ask one."""
    measured = study.experiment.evaluation.every <= shared_rounds(study)
    return not (measured or study.schedule.malicious) and isinstance(study.defence.rule, Mean)


def _without(section: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in section.items() if name not in names}
