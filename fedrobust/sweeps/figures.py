"""The metrics of one run by name, for tables, heatmaps and comparisons."""

import math
from collections.abc import Iterable, Mapping, Sequence

from fedrobust.epsilon import epsilon_value
from fedrobust.errors import ConfigError
from fedrobust.runs.record import (
    AttackSuccessRecord,
    CardRecord,
    ClientsComparisonRecord,
    DefenceRecord,
    DurabilityRecord,
    EvaluationRecord,
    MetricsRecord,
    ModelEvaluationRecord,
    RemovalRecord,
    RoundRecord,
    RunRecord,
    ToleranceRecord,
    to_json,
)

SCORES = ("accuracy", "balanced_accuracy", "auc", "majority_rate")


def final_figures(run: RunRecord) -> dict[str, float]:
    """Return the metrics of the selected model, and those of the defence over all rounds.

    Args:
        run: a run's ``result.json``.

    Returns:
        ``accuracy``, ``balanced_accuracy``, ``auc``, ``majority_rate``, the scores of ``evaluation.metrics``,
        ``validation auc`` etc. of the selected round, if the validation split was evaluated;
        ``central auc`` etc. of the central baseline; means over the compared clients:
        ``clients global accuracy``, ``clients personal accuracy``, ``clients local accuracy``, likewise of
        balanced accuracy and AUC, and ``clients gain``; ``clients worse`` and ``clients better``: numbers of clients
        whose model is worse or better than their local one; ``worst-hospital balanced_accuracy``, ``worst-hospital
        robust accuracy`` (under the attack that costs most, at the largest epsilon) and ``hospital gap``;
        ``unseen auc`` etc., means over the sites that were held out;
        ``chance`` (balanced accuracy of a constant classifier), ``fgsm 4/255 accuracy`` etc., ``attack-success`` and
        ``attack-success without trigger``; means over rounds of
        ``true-positive-rate`` and ``malicious-influence`` (attacked rounds), ``false-positive-rate`` and
        ``rare-false-positive-rate``; ``rule-seconds`` and ``rule-bytes`` per round; ``seconds`` of the run;
        ``images`` and ``attack-success images``: numbers of test images behind the shares; ``tolerated`` and
        ``probability-of-more``, if there are attackers and the rule takes f, and ``oracle``, 1 if f is the true
        number; ``durability``: rounds that a targeted attack lasted after its end, at least (``durability censored``
        is 1 where it outlasted the run, else 0); ``before removal accuracy`` etc. and ``before removal
        attack-success`` of the model before a removal of backdoors; ``invalid-rounds``: number of rounds in
        which the attack failed; of the audit, ``audited accuracy``, ``audited balanced_accuracy`` (``audited low`` and
        ``audited high``: its 95 % interval over images) and ``audited worst-class recall`` under the worst attack on
        each image, ``audited clean balanced_accuracy`` of the same images without one, and ``audited images``;
        ``training-seconds`` of all rounds. Metrics that were not measured are left out.
    """
    evaluation = run.model_evaluation or (run.rounds[-1] if run.rounds else ModelEvaluationRecord())
    defended = [one.defence for one in run.rounds if one.defence]
    invalid = sum(not each.valid for each in defended)
    return {
        **evaluation_figures(evaluation, evaluation.attack_success),
        **_known(
            {
                **_validation_figures(run),
                **({f"central {name}": getattr(run.central, name) for name in SCORES} if run.central else {}),
                **(_client_figures(run.clients) if run.clients else {}),
                **_hospital_figures(run),
                "chance": _chance(run, evaluation.clean),
                **_defence_figures(defended),
                "refused": float(sum(one.clients.failed for one in run.rounds)),
                "rounds-without-change": float(sum(bool(one.kept) for one in run.rounds)),
                "seconds": run.seconds or None,
                **_tolerance_figures(run.tolerance),
                **_durability_figures(run.durability),
                **_removal_figures(run.removal),
                "invalid-rounds": float(invalid) if invalid else None,
                **(_audit_figures(run.audit) if run.audit else {}),
                "training-seconds": sum(one.training_seconds or 0.0 for one in run.rounds) or None,
            }
        ),
    }


def _chance(run: RunRecord, clean: MetricsRecord | None) -> float | None:
    """Return the balanced accuracy of a constant classifier: 0.5 of findings, else 1 / the classes of test images."""
    if run.dataset and run.dataset.multilabel:
        return 0.5
    if clean and clean.chance:
        return clean.chance
    if run.dataset is None:
        return None
    # Records of early versions have no recalls, and some no counts either.
    counts = run.dataset.counts.get("test") or (1,) * len(run.dataset.labels)
    present = sum(number > 0 for number in counts)
    return 1 / present if present else None


def _audit_figures(card: CardRecord) -> dict[str, float | None]:
    """Return the metrics of each audited image's worst case, beside those of the same images without an attack."""
    attacked = card.attacked
    if attacked is None:
        return {}
    interval = attacked.interval.balanced_accuracy or (None, None)
    return {
        "audited accuracy": attacked.accuracy,
        "audited balanced_accuracy": attacked.balanced_accuracy,
        "audited low": interval[0],
        "audited high": interval[1],
        "audited worst-class recall": min((one for one in attacked.recall if one is not None), default=None),
        "audited clean balanced_accuracy": card.clean.balanced_accuracy if card.clean else None,
        "audited images": attacked.n,
    }


def _validation_figures(run: RunRecord) -> dict[str, float | None]:
    """Return the metrics of the selected round on the validation split."""
    number = run.model.selected_round if run.model else None
    found = [one.validation for one in run.rounds if one.round == number and one.validation is not None]
    return {f"validation {name}": getattr(one, name) for one in found for name in SCORES}


def _client_figures(compared: ClientsComparisonRecord) -> dict[str, float | None]:
    """Return means over the compared clients."""
    found: dict[str, float | None] = {}
    for name in ("global_model", "personal", "local"):
        models = [model for one in compared.clients if (model := getattr(one, name)) is not None]
        for score in ("accuracy", "balanced_accuracy", "auc"):
            key = f"clients {name.removesuffix('_model')} {score}"
            found[key] = _mean(getattr(model, score) for model in models)
    if any(one.interval for one in compared.clients):
        found["clients gain"] = _mean(one.gain for one in compared.clients)
        found |= {"clients worse": float(len(compared.worse)), "clients better": float(len(compared.better))}
    return found


def _hospital_figures(run: RunRecord) -> dict[str, float | None]:
    """Return the lowest balanced accuracy of a hospital and the gap to the best, and means over unseen sites."""
    measured = [one.metrics for one in run.hospitals.hospitals if one.metrics] if run.hospitals else []
    scores = [
        each.balanced_accuracy
        for each in measured
        if each.balanced_accuracy is not None and not each.one_class
    ]
    attacked = [
        metrics.accuracy
        for one in (run.hospitals.hospitals if run.hospitals else ())
        for curve in one.robust.values()
        for metrics in curve.values()
        if metrics.accuracy is not None
    ]
    unseen = tuple((run.unseen or {}).values())
    return {
        "worst-hospital balanced_accuracy": min(scores, default=None),
        "worst-hospital robust accuracy": min(attacked, default=None),
        "hospital gap": run.hospitals.gap if run.hospitals else None,
        **(
            {f"unseen {name}": _mean(getattr(one, name) for one in unseen) for name in SCORES}
            if unseen
            else {}
        ),
    }


def _defence_figures(defended: Sequence[DefenceRecord]) -> dict[str, float | None]:
    """Return means over the rounds; of detection metrics, over the attacked rounds."""
    attacked = [each for each in defended if each.attacked]
    return {
        "true-positive-rate": _mean(each.true_positive_rate for each in attacked),
        "malicious-influence": _mean(each.malicious_influence for each in attacked),
        "false-positive-rate": _mean(each.false_positive_rate for each in defended),
        "rare-false-positive-rate": _mean(each.rare_false_positive_rate for each in defended),
        "rule-seconds": _mean(each.seconds for each in defended),
        "rule-bytes": _mean(each.bytes for each in defended),
        "distance": _mean(
            each.distance / each.honest_norm
            for each in defended
            if each.distance is not None and each.honest_norm
        ),
    }


def _durability_figures(durability: DurabilityRecord | None) -> dict[str, float | None]:
    if durability is None:
        return {}
    return {
        "durability": float(durability.at_least),
        "durability censored": float(durability.rounds is None),
    }


def _removal_figures(removal: RemovalRecord | None) -> dict[str, float | None]:
    """Return the metrics of the model before a removal of backdoors; those after it are the model's own."""
    if removal is None:
        return {}
    before, success = removal.before.clean, removal.before.attack_success
    return {
        **({f"before removal {name}": getattr(before, name) for name in SCORES} if before else {}),
        "before removal attack-success": success.rate if success else None,
    }


def _tolerance_figures(tolerance: ToleranceRecord | None) -> dict[str, float | None]:
    if tolerance is None or not tolerance.malicious or not tolerance.given:
        return {}
    return {
        "tolerated": tolerance.clients,
        "probability-of-more": tolerance.probability_of_more,
        "oracle": float(tolerance.oracle),
    }


def evaluation_figures(evaluation: EvaluationRecord, success: AttackSuccessRecord | None) -> dict[str, float]:
    """Return the metrics of one evaluation, of a round or of the selected model."""
    clean = evaluation.clean
    figures: dict[str, float | None] = {name: getattr(clean, name, None) for name in SCORES}
    figures |= clean.further if clean else {}
    figures["images"] = clean.n if clean else None
    for attack, curve in evaluation.robust.items():
        for epsilon, metrics in curve.items():
            for name in ("accuracy", "balanced_accuracy"):
                figures[f"{attack} {epsilon} {name}"] = metrics.score(name)
    if success:
        figures["attack-success"] = success.rate
        figures["attack-success without trigger"] = success.without_trigger
        figures["attack-success images"] = success.n
    return _known(figures)


def round_figures(one: RoundRecord) -> dict[str, float]:
    """Return the metrics of one round."""
    defence = to_json(one.defence) if one.defence else {}
    return {
        **evaluation_figures(one, one.attack_success),
        **_known(
            {
                **{name: value for name, value in defence.items() if _is_number(value)},
                "trained": one.clients.trained,
                "failed": one.clients.failed,
                "loss": one.clients.loss,
                "seconds": one.seconds,
            }
        ),
    }


def attacked_accuracy(name: str) -> tuple[str, float] | None:
    """Return the attack and the epsilon of a metric that is an accuracy under attack; None if it is another metric.

    Example:
        >>> attacked_accuracy("pgd(steps=40, restarts=2) 8/255 accuracy") == ("pgd(steps=40, restarts=2)", 8 / 255)
        True
        >>> attacked_accuracy("clients global accuracy"), attacked_accuracy("fgsm 0.1 balanced_accuracy")
        (None, None)
    """
    attack, _, rest = name.removesuffix(" accuracy").rpartition(" ")
    if not attack or not name.endswith(" accuracy"):
        return None
    try:
        return attack, epsilon_value(rest)
    except ConfigError:  # other metrics end in the same word
        return None


def strongest_epsilon(names: Sequence[str]) -> str | None:
    """Return the name of the FGSM accuracy shown in a heatmap: with the largest epsilon up to 4/255, else the smallest.

    Example:
        >>> strongest_epsilon(["accuracy", "fgsm 0.005 accuracy", "fgsm 4/255 accuracy", "fgsm 8/255 accuracy"])
        'fgsm 4/255 accuracy'
    """
    attacked = ((attacked_accuracy(name), name) for name in names)
    found = {key[1]: name for key, name in attacked if key is not None and key[0] == "fgsm"}
    fitting = [epsilon for epsilon in found if epsilon <= 4 / 255 + 1e-9]
    if not found:
        return None
    return found[max(fitting) if fitting else min(found)]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _known(figures: Mapping[str, float | None]) -> dict[str, float]:
    """Return the measured values as floats."""
    return {
        name: float(value) for name, value in figures.items() if value is not None and math.isfinite(value)
    }
