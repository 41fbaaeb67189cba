"""The evaluation of the selected global model."""

from fedrobust.config.sections import Evaluation
from fedrobust.evaluation.metrics import NotFiniteError
from fedrobust.models.layout import Weights
from fedrobust.poisoning import SuccessCriterion
from fedrobust.runs.record import EvaluationRecord, ModelEvaluationRecord, RunRecord
from server.errors import UnmeasurableError
from server.stages.evaluation import Evaluator
from server.stages.predictions import predictions_of


def selected_evaluation(
    run: RunRecord,
    settings: Evaluation,
    evaluator: Evaluator,
    criterion: SuccessCriterion | None,
    weights: Weights,
) -> ModelEvaluationRecord:
    """Return the evaluation of the selected round, from its record if it was evaluated.

    The attack success is None if the attack failed in a round.

    Args:
        run: with the rounds so far.
        settings: of ``[evaluation]``.
        evaluator: of the global model.
        criterion: of the poisoning attack's success; None without an attack that has one.
        weights: of the selected round.

    Raises:
        UnmeasurableError: the model's logits are not finite.
    """
    selected = run.model.selected_round if run.model else None
    chosen = run.rounds[selected - 1] if selected else None
    ran = all(one.valid for one in run.rounds)
    if chosen and chosen.clean and (chosen.robust or not settings.attacks):
        success = chosen.attack_success if ran else None
        return ModelEvaluationRecord(
            clean=chosen.clean,
            robust=chosen.robust,
            attack_success=success,
            predictions=predictions_of(evaluator, weights),
        )
    try:
        measured = EvaluationRecord.of(evaluator.test(weights))
    except NotFiniteError as error:
        raise UnmeasurableError(f"the selected model cannot be measured: {error}") from error
    success = None if criterion is None or not ran else evaluator.success(weights, criterion)
    return ModelEvaluationRecord(
        clean=measured.clean,
        robust=measured.robust,
        attack_success=success,
        predictions=predictions_of(evaluator, weights),
    )
